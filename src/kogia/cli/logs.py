"""`kogia logs POD`: a container's output; without a Pod `kogia.main` shows Kogia's own logs instead."""

from __future__ import annotations

import sys
from typing import Any

from kogia.cli import names
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.exec import default_container, selected_pods
from kogia.cli.flags import Flags, Options, duration, integer
from kogia.cli.main import CommandError

Obj = dict[str, Any]


def add_options(parser: Flags) -> None:
    parser.usage = "[TYPE/]NAME [CONTAINER]"
    parser.add("-c", "--container", default="")
    parser.switch("-f", "--follow")
    parser.switch("-p", "--previous")
    parser.add("-l", "--selector", default="")
    parser.add("--since", default=0.0, convert=duration, help="only logs newer than this, such as 5s or 3h")
    parser.add("--since-time", default="")
    parser.add("--tail", convert=integer, default=-1)
    parser.add("--limit-bytes", convert=integer, default=0)
    parser.switch("--timestamps")
    parser.switch("--all-containers")
    parser.switch("--prefix")
    parser.switch("--ignore-errors", help="go on with the next container when one has no logs")
    parser.switch("--all-pods", help="logs of all Pods of TYPE/NAME, each line with its source")
    parser.add("--max-log-requests", convert=integer, default=5, help="how many logs may be followed at once")
    parser.switch("--insecure-skip-tls-verify-backend", help="accepted as kubectl's; ignored")
    parser.add("--pod-running-timeout", default="20s", help="accepted as kubectl's; ignored")


def run(options: Options) -> int:
    if options.since and options.since_time:
        raise CommandError("error: at most one of `sinceTime` or `sinceSeconds` may be specified")
    if len(options.words) > 2 or (not options.words and not options.selector):
        raise CommandError("error: expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\n"
                           "POD or TYPE/NAME is a required argument for the logs command\nSee 'kogia logs -h' for help and examples")  # fmt: skip
    if options.words and options.selector:
        raise CommandError("error: only a selector (-l) or a POD name is allowed")
    if len(options.words) == 2:
        if options.container:
            raise CommandError("error: only one of -c or an inline [CONTAINER] arg is allowed")
        options.container = options.words[1]
    if options.all_containers and options.container:
        raise CommandError(f"error: --all-containers=true should not be specified with container name {options.container}")
    api = connect(options)
    sources = [(pod, container) for pod in _pods(api, options) for container in _containers(pod, options)]
    if options.follow and len(sources) > 1:
        return _follow_all(api, options, sources)
    for pod, container in sources:
        try:
            _copy(api, options, pod, container)
        except ApiFailure as error:
            if not options.ignore_errors:
                raise
            print(f"error: {error.status.get('message', '')}", file=sys.stderr)
    return 0


def _pods(api: Api, options: Options) -> list[Obj]:
    if options.selector:
        if options.tail < 0:
            options.tail = 10
        found = api.call("GET", names.path_of(names.find(api, "pods"), api.namespace), query={"labelSelector": options.selector})["items"]
        if not found:
            print(f"No resources found in {api.namespace} namespace.", file=sys.stderr)
        if options.follow and len(found) > options.max_log_requests:
            raise CommandError(f"error: you are attempting to follow {len(found)} log streams, but maximum allowed concurrency is "
                               f"{options.max_log_requests}, use --max-log-requests to increase the limit")  # fmt: skip
        return found
    kind, _, name = options.words[0].rpartition("/")
    resource = names.find(api, kind or "pods")
    try:
        live = api.call("GET", names.path_of(resource, api.namespace, name))
    except ApiFailure as error:
        if error.reason != "NotFound":
            raise
        raise CommandError(f'error: error from server (NotFound): {error.status.get("message", "")} in namespace "{api.namespace}"') from None
    if resource.plural == "pods":
        return [live]
    found = selected_pods(api, live)
    if not found:
        raise CommandError("error: timed out waiting for the condition")
    if len(found) > 1 and not options.all_pods:
        print(f"Found {len(found)} pods, using pod/{found[0]['metadata']['name']}", file=sys.stderr)
    return found if options.all_pods else found[:1]


def _containers(pod: Obj, options: Options) -> list[str]:
    spec = pod["spec"]
    everything = [c["name"] for key in ("initContainers", "containers", "ephemeralContainers") for c in spec.get(key) or []]
    if options.all_containers:
        return everything
    if options.container:
        if options.container not in everything:
            raise CommandError(f"error: container {options.container} is not valid for pod {pod['metadata']['name']}")
        return [options.container]
    return [default_container(pod, quiet=False)]


def _query(options: Options, container: str) -> Obj:
    return {
        "container": container, "follow": options.follow or "", "previous": options.previous or "", "timestamps": options.timestamps or "",
        "sinceSeconds": -int(-options.since // 1) if options.since else "", "sinceTime": options.since_time, "tailLines": options.tail if options.tail >= 0 else "",
        "limitBytes": options.limit_bytes or "",
    }  # fmt: skip


def _copy(api: Api, options: Options, pod: Obj, container: str) -> None:
    path = names.path_of(names.find(api, "pods"), pod["metadata"]["namespace"], pod["metadata"]["name"], "log")
    out = sys.stdout.buffer
    if options.prefix or options.all_pods:
        for line in api.lines(path, _query(options, container), accept="*/*"):
            out.write(f"[pod/{pod['metadata']['name']}/{container}] ".encode() + line + b"\n")
            out.flush()
        return
    if options.follow and len(options.words) == 0:
        for line in api.lines(path, _query(options, container), accept="*/*"):
            out.write(line + b"\n")
            out.flush()
        return
    for piece in api.stream(path, _query(options, container), accept="*/*"):
        out.write(piece)
        out.flush()


def _follow_all(api: Api, options: Options, sources: list[tuple[Obj, str]]) -> int:
    """All logs at once, line by line as they come; the first failure is told when all have ended."""
    import threading

    failures: list[CommandError] = []

    def follow(pod: Obj, container: str) -> None:
        try:
            _copy(connect(options), options, pod, container)
        except CommandError as error:
            failures.append(error)

    threads = [threading.Thread(target=follow, args=source, daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures and not options.ignore_errors:
        raise failures[0]
    return 0
