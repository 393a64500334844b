"""`kogia run NAME --image=IMAGE [-- ARGS]`: a Pod with one container."""

from __future__ import annotations

import sys
import time
from typing import Any

from kogia.cli import create, names
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.flags import Flags, Options, duration, integer
from kogia.cli.main import CommandError

Obj = dict[str, Any]
_SEE = "\nSee 'kogia run -h' for help and examples"


def add_options(parser: Flags) -> None:
    parser.usage = "NAME --image=IMAGE [-- ARG…]"
    parser.keeps_dashed = True
    parser.add("--image", default="", help="the container's image")
    parser.add("--restart", default="Always")
    parser.switch("--command", help="the arguments after -- replace the image's entrypoint")
    parser.add("--env", append=True, default=[], help="NAME=VALUE")
    parser.add("--port", convert=integer, default=0)
    parser.add("-l", "--labels", default="")
    parser.add("--annotations", append=True, default=[])
    parser.add("--image-pull-policy", default="", choices=("", "Always", "IfNotPresent", "Never"))
    parser.switch("-i", "--stdin")
    parser.switch("-t", "--tty")
    parser.switch("--rm", help="delete the Pod when the attached command ends")
    parser.switch("--attach")
    parser.switch("--privileged", help="run the container in privileged mode")
    parser.switch("-q", "--quiet", help="suppress prompt messages")
    parser.add("--pod-running-timeout", default=60.0, convert=duration, help="how long to wait until the Pod runs")
    create.add_write_options(parser)


def run(options: Options) -> int:
    arguments = [*options.words[1:], *(options.dashed or [])]
    if not options.image:
        raise CommandError('error: required flag(s) "image" not set')
    if not options.words:
        raise CommandError(f"error: NAME is required for run{_SEE}")
    options.pod = options.words[0]
    if options.restart not in ("Always", "OnFailure", "Never"):
        raise CommandError(f"error: invalid restart policy: {options.restart}{_SEE}")
    if options.dry_run != "none" and (options.attach or options.stdin or options.tty):
        raise CommandError(f"error: --dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty){_SEE}")
    if options.rm and not (options.attach or options.stdin):
        raise CommandError("error: --rm should only be used for attached containers" + _SEE)
    api = connect(options)
    obj, resource = pod(options, arguments), names.find(api, "pods")
    if options.dry_run in ("client", "unchanged"):
        create.announce(options, resource, obj, "created")
        return 0
    try:
        made = api.call("POST", names.path_of(resource, api.namespace), query=create.write_query(options, "kubectl-run"), body=obj)
    except ApiFailure as error:
        raise CommandError(str(error)) from error
    if not (options.attach or options.stdin):
        create.announce(options, resource, made, "created")
        return 0
    return _attach(api, options, made)


def pod(options: Options, arguments: list[str]) -> Obj:
    """The manifest `kubectl run` would make."""
    container: Obj = {"image": options.image, "name": options.pod, "resources": {}}
    if arguments:
        container["command" if options.command else "args"] = arguments
    if options.env:
        container["env"] = [dict(zip(("name", "value"), e.split("=", 1), strict=False)) for e in options.env]
    if options.port:
        container["ports"] = [{"containerPort": options.port}]
    if options.image_pull_policy:
        container["imagePullPolicy"] = options.image_pull_policy
    if options.privileged:
        container["securityContext"] = {"privileged": True}
    if options.stdin:
        container.update(stdin=True, stdinOnce=True)
    if options.tty:
        container["tty"] = True
    labels = dict(p.split("=", 1) for p in options.labels.split(",") if "=" in p) or {"run": options.pod}
    meta: Obj = {"name": options.pod, "labels": labels}
    if options.annotations:
        meta["annotations"] = dict(a.split("=", 1) for a in options.annotations if "=" in a)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": options.restart}, "status": {}}


def _attach(api: Api, options: Options, made: Obj) -> int:
    """Follow the Pod's one container to its end; its exit status. With --rm the Pod is deleted on every way out."""
    name = made["metadata"]["name"]
    path = names.path_of(names.find(api, "pods"), api.namespace, name)
    try:
        live = _started(api, path, time.monotonic() + options.pod_running_timeout)
        if live["status"]["phase"] == "Running":
            from kogia.cli import terminal

            if not options.quiet:
                print("If you don't see a command prompt, try pressing enter.", file=sys.stderr)
            try:
                terminal.stream(options, api.namespace, name, name, [], verb="attach")
            except CommandError as error:
                _logs_instead(api, path, name, str(error).partition(": ")[2])
        else:
            _logs_instead(api, path, name, f"cannot exec into a container in a completed pod; current phase is {live['status']['phase']}")
        return _exit_code(api, path, options)
    finally:
        if options.rm:
            api.call("DELETE", path)
            if not options.quiet:
                print(f'pod "{name}" deleted')


def _logs_instead(api: Api, path: str, name: str, why: str) -> None:
    """The container came and went before it could be attached to: what it said is in its log."""
    print(f"warning: couldn't attach to pod/{name}, falling back to streaming logs: {why}", file=sys.stderr)
    for piece in api.stream(path + "/log", {"container": name, "follow": "true"}, accept="*/*"):
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()


def _started(api: Api, path: str, deadline: float) -> Obj:
    """The Pod once it no longer waits to start. Errors: CommandError at the deadline."""
    while (live := api.call("GET", path)).get("status", {}).get("phase", "Pending") == "Pending":
        if time.monotonic() > deadline:
            raise CommandError("error: timed out waiting for the condition")
        time.sleep(0.05)
    return live


def _exit_code(api: Api, path: str, options: Options, patience_s: float = 10.0) -> int:
    """0 if the container ended well, or goes on (its terminal detached, or restarted). Errors: CommandError with its exit code."""
    deadline = time.monotonic() + patience_s
    while options.restart == "Never" and time.monotonic() < deadline:
        live = api.call("GET", path)
        if live["status"].get("phase") in ("Succeeded", "Failed"):
            ended = (live["status"].get("containerStatuses") or [{}])[0].get("state", {}).get("terminated") or {}
            if code := int(ended.get("exitCode", 0)):
                raise CommandError(f"pod {live['metadata']['namespace']}/{options.pod} terminated ({ended.get('reason', 'Error')})", code)
            return 0
        time.sleep(0.05)
    return 0
