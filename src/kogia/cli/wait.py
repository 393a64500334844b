"""`kogia wait --for=condition=Ready pod/x`, `--for=delete`, `--for=jsonpath={…}=value`, `--for=create`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from kogia.cli import jsonpath, manifests, names
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.flags import Flags, Options, duration
from kogia.cli.main import CommandError

Obj = dict[str, Any]


def add_options(parser: Flags) -> None:
    parser.usage = "TYPE[/NAME] [NAME…]"
    parser.add("--for", dest="condition", default="", help="delete|create|condition=NAME[=VALUE]|jsonpath={…}[=VALUE]")
    parser.add("--timeout", default=30.0, convert=duration, help="how long to wait; 0 = look once, negative = a week")
    parser.add("-l", "--selector", default="")
    parser.switch("--all", help="all objects of the types named")
    parser.switch("-A", "--all-namespaces", help="look in all namespaces")
    parser.add("-o", "--output", help="accepted as kubectl's; ignored")
    manifests.add_file_options(parser)


def run(options: Options) -> int:
    api = connect(options)
    wanted = manifests.targets_of_files(api, options) if options.filename else names.targets(api, options.words, "wait")
    deadline = time.monotonic() + (options.timeout if options.timeout >= 0 else 7 * 86400)
    met = condition(options.condition)
    found: list[names.Target] = []
    for target in wanted:
        if target.name:
            found.append(target)
            continue
        found += names.members(api, target, labels=options.selector, everywhere=options.all_namespaces)
    if not found and options.condition == "delete":
        return 0
    if not found:
        raise CommandError("error: no matching resources found")
    for target in found:
        if options.condition == "delete" and _absent(api, target):
            continue
        _await(api, target, options.condition, met, deadline)
        print(f"{names.shown_name(target.resource, target.name)} condition met")
    return 0


def _absent(api: Api, target: names.Target) -> bool:
    try:
        api.call("GET", target.path(api))
    except ApiFailure as error:
        if error.reason == "NotFound":
            return True
        raise
    return False


def condition(text: str) -> Callable[[Obj | None], bool]:
    """A test of the live object (None = absent). Errors: CommandError."""
    kind, _, rest = text.partition("=")
    if kind == "delete":
        return lambda obj: obj is None
    if kind == "create":
        return lambda obj: obj is not None
    if kind == "condition" and rest:
        name, _, value = rest.partition("=")
        wanted = (value or "true").lower()

        def holds(obj: Obj | None) -> bool:
            conditions = ((obj or {}).get("status") or {}).get("conditions") or []
            return any(c["type"].lower() == name.lower() and c["status"].lower() == wanted for c in conditions)

        return holds
    if kind == "jsonpath" and rest:
        path, found, value = rest.partition("}=")
        path = path + "}" if found else rest

        def matches(obj: Obj | None) -> bool:
            values = [jsonpath.printed(v) for v in jsonpath.values(path, obj)] if obj else []
            return value in values if found else bool(values)

        return matches
    raise CommandError(f'error: unrecognized condition: "{text}"')


def _await(api: Api, target: names.Target, text: str, met: Callable[[Obj | None], bool], deadline: float) -> None:
    path = target.path(api)
    while True:
        try:
            live: Obj | None = api.call("GET", path)
        except ApiFailure as error:
            if error.http_code != 404:
                raise
            if not met(None) and text not in ("create",):
                raise
            live = None
        if met(live):
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise CommandError(f"error: timed out waiting for the condition on {target.resource.plural}/{target.name}")
        _watch(api, target, live, met, left)


def _watch(api: Api, target: names.Target, live: Obj | None, met: Callable[[Obj | None], bool], left: float) -> None:
    """Until the condition holds, the object goes, or the time is up; the caller looks again."""
    query = {"watch": "1", "fieldSelector": f"metadata.name={target.name}", "timeoutSeconds": max(1, int(left + 0.999))}
    if live is not None:
        query["resourceVersion"] = live["metadata"]["resourceVersion"]
    for line in api.lines(names.path_of(target.resource, api.namespace if target.namespace is None else target.namespace), query):
        event = json.loads(line)
        if event["type"] in ("DELETED", "ERROR") or met(event["object"]):
            return
