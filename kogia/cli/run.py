"""`kogia run NAME --image=IMAGE [-- ARGS]`: a Pod with one container."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from kogia.cli import create, names
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.main import CommandError

Obj = dict[str, Any]
INTERMIXED = False


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pod", metavar="NAME")
    parser.add_argument("--image", default="", help="the container's image")
    parser.add_argument("--restart", default="Always", choices=("Always", "OnFailure", "Never"))
    parser.add_argument("--command", action="store_true", help="the arguments after -- replace the image's entrypoint")
    parser.add_argument("--env", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("-l", "--labels", default="")
    parser.add_argument("--annotations", action="append", default=[])
    parser.add_argument("--image-pull-policy", default="", choices=("", "Always", "IfNotPresent", "Never"))
    parser.add_argument("-i", "--stdin", action="store_true")
    parser.add_argument("-t", "--tty", action="store_true")
    parser.add_argument("--rm", action="store_true", help="delete the Pod when the attached command ends")
    parser.add_argument("--attach", action="store_true")
    parser.add_argument("--privileged", action="store_true")
    parser.add_argument("--pod-running-timeout", default="1m0s")
    create.add_write_options(parser)
    parser.add_argument("rest", nargs=argparse.REMAINDER)


def run(options: argparse.Namespace) -> int:
    arguments = _late_options(options)
    if not options.image:
        raise CommandError("error: required flag(s) \"image\" not set")
    if options.rm and not (options.attach or options.stdin):
        raise CommandError("error: --rm should only be used for attached containers")
    api = connect(options)
    obj, resource = pod(options, arguments), names.find(api, "pods")
    if options.dry_run in ("client", "unchanged"):
        create.announce(options, resource, obj, "created")
        return 0
    try:
        made = api.call("POST", names.path_of(resource, api.namespace), query=create.write_query(options, "kubectl-run"), body=obj)
    except ApiFailure as error:
        raise (create.decoding_failed(error, "", "creating") if error.reason == "Invalid" else error) from error
    if not (options.attach or options.stdin):
        create.announce(options, resource, made, "created")
        return 0
    return _attach(api, options, made)


def _late_options(options: argparse.Namespace) -> list[str]:
    """argparse leaves everything after NAME in the remainder; parse our own options out of what stands before `--`."""
    rest = list(options.rest)
    own, arguments = (rest[: rest.index("--")], rest[rest.index("--") + 1 :]) if "--" in rest else (rest, [])
    if own:
        parser = argparse.ArgumentParser(prog="kogia run", allow_abbrev=False)
        from kogia.cli.main import add_connection_options

        add_connection_options(parser)
        add_options(parser)
        late, unknown = parser.parse_known_args([options.pod, *own])
        defaults = parser.parse_args([options.pod])
        for key, value in vars(late).items():
            if value != getattr(defaults, key):
                setattr(options, key, value)
        arguments = [*late.rest, *unknown, *arguments]
        options.rest = []
    return arguments


def pod(options: argparse.Namespace, arguments: list[str]) -> Obj:
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
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": options.restart}}


def _attach(api: Api, options: argparse.Namespace, made: Obj) -> int:
    from kogia.cli import exec as streaming
    from kogia.cli.connection import parse_duration

    name = made["metadata"]["name"]
    path = names.path_of(names.find(api, "pods"), api.namespace, name)
    deadline = time.monotonic() + (parse_duration(options.pod_running_timeout) or 60)
    try:
        while (live := api.call("GET", path)).get("status", {}).get("phase") == "Pending":
            if time.monotonic() > deadline:
                raise CommandError("error: timed out waiting for the condition")
            time.sleep(0.1)
        if live["status"]["phase"] in ("Succeeded", "Failed"):
            for piece in api.stream(path + "/log", {"container": name}, accept="*/*"):
                sys.stdout.buffer.write(piece)
            sys.stdout.flush()
            states = (live["status"].get("containerStatuses") or [{}])[0].get("state", {})
            return int(states.get("terminated", {}).get("exitCode", 0))
        print("If you don't see a command prompt, try pressing enter.", file=sys.stderr)
        return streaming.stream(options, api.namespace, name, name, [], verb="attach")
    finally:
        if options.rm:
            api.call("DELETE", path)
            print(f'pod "{name}" deleted')
