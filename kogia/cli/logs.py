"""`kogia logs POD`: a container's output; without a Pod `kogia.main` shows Kogia's own logs instead."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from kogia.cli import names
from kogia.cli.connection import Api, connect, parse_duration
from kogia.cli.main import CommandError

Obj = dict[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="[TYPE/]NAME [CONTAINER]")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-f", "--follow", action="store_true")
    parser.add_argument("-p", "--previous", action="store_true")
    parser.add_argument("-l", "--selector", default="")
    parser.add_argument("--since", default="")
    parser.add_argument("--since-time", default="")
    parser.add_argument("--tail", type=int, default=-1)
    parser.add_argument("--limit-bytes", type=int, default=0)
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--all-containers", action="store_true")
    parser.add_argument("--prefix", action="store_true")
    parser.add_argument("--ignore-errors", action="store_true")


def run(options: argparse.Namespace) -> int:
    api = connect(options)
    if options.since and options.since_time:
        raise CommandError("error: only one of sinceTime or sinceSeconds can be used")
    pods = _pods(api, options)
    sources = [(pod, container) for pod in pods for container in _containers(pod, options)]
    if options.follow and len(sources) > 1:
        return _follow_all(api, options, sources)
    for pod, container in sources:
        _copy(api, options, pod, container)
    return 0


def _pods(api: Api, options: argparse.Namespace) -> list[Obj]:
    if options.selector:
        if options.tail < 0 and not options.follow:
            options.tail = 10
        return api.call("GET", names.path_of(names.find(api, "pods"), api.namespace), query={"labelSelector": options.selector})["items"]
    if not options.words:
        raise CommandError("error: expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command")
    if len(options.words) > 1:
        options.container = options.container or options.words[1]
    kind, _, name = options.words[0].rpartition("/")
    resource = names.find(api, kind or "pods")
    if resource.plural == "pods":
        return [api.call("GET", names.path_of(resource, api.namespace, name))]
    owner = api.call("GET", names.path_of(resource, api.namespace, name))
    selector = owner["spec"].get("selector") or {}
    labels = selector.get("matchLabels", selector)
    query = {"labelSelector": ",".join(f"{k}={v}" for k, v in labels.items())}
    found = api.call("GET", names.path_of(names.find(api, "pods"), api.namespace), query=query)["items"]
    if not found:
        raise CommandError(f"error: no pods found for {options.words[0]}")
    return found[:1]


def _containers(pod: Obj, options: argparse.Namespace) -> list[str]:
    spec = pod["spec"]
    everything = [c["name"] for key in ("initContainers", "containers", "ephemeralContainers") for c in spec.get(key) or []]
    if options.all_containers:
        return everything
    if options.container:
        if options.container not in everything:
            raise CommandError(f"error: container {options.container} is not valid for pod {pod['metadata']['name']}")
        return [options.container]
    chosen = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    first = str(chosen) if chosen in everything else spec["containers"][0]["name"]
    if len(everything) > 1 and not chosen:
        shown = ", ".join([c["name"] for c in spec["containers"]] + [c["name"] + " (init)" for c in spec.get("initContainers") or []])
        print(f'Defaulted container "{first}" out of: {shown}', file=sys.stderr)
    return [str(first)]


def _query(options: argparse.Namespace, container: str) -> Obj:
    since = parse_duration(options.since) if options.since else None
    return {
        "container": container, "follow": options.follow or "", "previous": options.previous or "", "timestamps": options.timestamps or "",
        "sinceSeconds": int(since) if since else "", "sinceTime": options.since_time, "tailLines": options.tail if options.tail >= 0 else "",
        "limitBytes": options.limit_bytes or "",
    }  # fmt: skip


def _copy(api: Api, options: argparse.Namespace, pod: Obj, container: str) -> None:
    path = names.path_of(names.find(api, "pods"), pod["metadata"]["namespace"], pod["metadata"]["name"], "log")
    out = sys.stdout.buffer
    if options.prefix:
        for line in api.lines(path, _query(options, container), accept="*/*"):
            out.write(f"[pod/{pod['metadata']['name']}/{container}] ".encode() + line + b"\n")
            out.flush()
        return
    for piece in api.stream(path, _query(options, container), accept="*/*"):
        out.write(piece)
        out.flush()


def _follow_all(api: Api, options: argparse.Namespace, sources: list[tuple[Obj, str]]) -> int:
    import threading

    threads = [threading.Thread(target=_copy, args=(api, options, pod, container), daemon=True) for pod, container in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0
