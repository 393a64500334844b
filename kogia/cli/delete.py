"""`kogia delete`: by file, by name, by selector; waits until the objects have gone, as kubectl does."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from kogia.cli import manifests, names
from kogia.cli.connection import Api, ApiFailure, connect, parse_duration
from kogia.cli.main import CommandError

Obj = dict[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="TYPE[/NAME] [NAME…]")
    manifests.add_file_options(parser)
    parser.add_argument("-l", "--selector", default="")
    parser.add_argument("--field-selector", default="")
    parser.add_argument("--all", action="store_true", help="delete all resources of the types named")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("--grace-period", type=int, default=-1, help="seconds; -1 = the object's own")
    parser.add_argument("--force", action="store_true", help="remove at once, without waiting for the node")
    parser.add_argument("--now", action="store_true", help="as --grace-period=1")
    parser.add_argument("--cascade", nargs="?", const="background", default="background", choices=("background", "orphan", "foreground", "true", "false"))
    parser.add_argument("--ignore-not-found", action="store_true")
    parser.add_argument("--wait", nargs="?", const="true", default="true", choices=("true", "false"))
    parser.add_argument("--timeout", default="0s")
    parser.add_argument("--dry-run", nargs="?", const="client", default="none", choices=("none", "client", "server"))
    parser.add_argument("-o", "--output", default="", choices=("", "name"))


def run(options: argparse.Namespace) -> int:
    api = connect(options)
    if options.filename:
        wanted = [(t, api.namespace) for t in _from_files(api, options)]
    else:
        found = names.targets(api, options.words)
        if any(not t.name for t in found):
            if not (options.all or options.selector or options.field_selector):
                raise CommandError("error: resource(s) were provided, but no name was specified")
            found = [t for target in found for t in _members(api, target, options)]
        wanted = [(t, api.namespace) for t in found]
    failures, gone = 0, []
    for target, namespace in wanted:
        place = getattr(target, "namespace", None) or namespace
        try:
            uid = _delete(api, target, place, options)
            gone.append((target, place, uid))
        except ApiFailure as error:
            if error.reason == "NotFound" and options.ignore_not_found:
                continue
            source = f'error when deleting "{options.filename[0]}": ' if options.filename else ""
            print(f"Error from server ({error.reason}): {source}{error.status.get('message', '')}" if source else error, file=sys.stderr)
            failures += 1
    if not wanted and not failures:
        print("No resources found", file=sys.stderr)
    if options.wait == "true" and options.dry_run == "none" and not options.force:
        _wait(api, gone, parse_duration(options.timeout))
    return 1 if failures else 0


class _Placed(names.Target):
    """A target that brings its own namespace."""

    __slots__ = ("namespace",)


def _placed(resource: Any, name: str, namespace: str) -> names.Target:
    target = _Placed(resource, name)
    object.__setattr__(target, "namespace", namespace)
    return target


def _from_files(api: Api, options: argparse.Namespace) -> list[names.Target]:
    out = []
    for manifest in manifests.read(options):
        resource = names.by_kind(api, manifest.obj["apiVersion"], manifest.obj["kind"])
        namespace = manifests.namespace_of(api, manifest, options) if resource.namespaced else ""
        out.append(_placed(resource, manifests.name_of(manifest), namespace))
    return out


def _members(api: Api, target: names.Target, options: argparse.Namespace) -> list[names.Target]:
    namespace = "" if options.all_namespaces else api.namespace
    query = {"labelSelector": options.selector, "fieldSelector": options.field_selector}
    items = api.call("GET", names.path_of(target.resource, namespace), query=query)["items"]
    return [_placed(target.resource, o["metadata"]["name"], o["metadata"].get("namespace", "")) for o in items]


def _delete(api: Api, target: names.Target, namespace: str, options: argparse.Namespace) -> str:
    """Ask for the deletion and say so; returns the uid to wait for."""
    grace = 1 if options.now else options.grace_period
    if options.force and grace < 0:
        grace = 0
    policy = {"background": "Background", "true": "Background", "orphan": "Orphan", "false": "Orphan", "foreground": "Foreground"}[options.cascade]
    body: Obj = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
    if grace >= 0:
        body["gracePeriodSeconds"] = grace
    if options.dry_run == "server":
        body["dryRun"] = ["All"]
    path = names.path_of(target.resource, namespace, target.name)
    if options.force and grace == 0:
        print("Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. "
              "The resource may continue to run on the cluster indefinitely.", file=sys.stderr)  # fmt: skip
    answer = api.call("GET" if options.dry_run == "client" else "DELETE", path, **({} if options.dry_run == "client" else {"body": body}))
    shown = names.shown_name(target.resource, target.name)
    suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(options.dry_run, "")
    kind, _, name = shown.partition("/")
    if options.output == "name":
        print(shown)
    else:
        print(f'{kind} "{name}" {"force deleted" if options.force else "deleted"}{suffix}')
    sys.stdout.flush()
    return (answer.get("details") or answer.get("metadata") or {}).get("uid", "")


def _wait(api: Api, gone: list[tuple[names.Target, str, str]], timeout_s: float | None) -> None:
    """Until each object has gone (or another took its name). Errors: CommandError on a time-out."""
    deadline = time.monotonic() + timeout_s if timeout_s else None
    for target, namespace, uid in gone:
        while True:
            try:
                live = api.call("GET", names.path_of(target.resource, namespace, target.name))
            except ApiFailure as error:
                if error.http_code == 404:
                    break
                raise
            if uid and live["metadata"]["uid"] != uid:
                break
            if deadline and time.monotonic() > deadline:
                raise CommandError(f"error: timed out waiting for the condition on {names.shown_name(target.resource, target.name)}")
            _next_change(api, target, namespace, live["metadata"]["resourceVersion"], deadline)


def _next_change(api: Api, target: names.Target, namespace: str, revision: str, deadline: float | None) -> None:
    """Block until the object is deleted, or some seconds have passed."""
    patience = min(30.0, deadline - time.monotonic()) if deadline else 30.0
    query = {"watch": "1", "resourceVersion": revision, "fieldSelector": f"metadata.name={target.name}", "timeoutSeconds": max(1, int(patience))}
    for line in api.lines(names.path_of(target.resource, namespace), query):
        if json.loads(line)["type"] in ("DELETED", "ERROR"):
            return
