"""`kogia label` and `kogia annotate`: set (`k=v`) and remove (`k-`) on one, many or all objects."""

from __future__ import annotations

import sys
from typing import Any

from kogia.cli import names
from kogia.cli.connection import Api, connect
from kogia.cli.flags import Flags, Options
from kogia.cli.main import CommandError

Obj = dict[str, Any]


def add_options(parser: Flags) -> None:
    parser.usage = "TYPE[/NAME] [NAME…] KEY=VALUE… KEY-…"
    parser.switch("--overwrite")
    parser.switch("--all")
    parser.add("-l", "--selector", default="")
    parser.switch("--list")
    parser.add("--resource-version", default="")


def run(options: Options) -> int:
    api = connect(options)
    changes = [w for w in options.words if "=" in w or w.endswith("-")]
    words = [w for w in options.words if w not in changes]
    if not changes and not options.list:
        raise CommandError(f"error: at least one {'label' if options.command_name == 'label' else 'annotation'} update is required")
    wanted: dict[str, str | None] = {}
    for change in changes:
        if "=" in change:
            key, _, value = change.partition("=")
            wanted[key] = value
        else:
            wanted[change[:-1]] = None
    field = "labels" if options.command_name == "label" else "annotations"
    for target in _members(api, names.targets(api, words, options.command_name), options):
        _change(api, target, field, wanted, options)
    return 0


def _members(api: Api, found: list[names.Target], options: Options) -> list[names.Target]:
    out = []
    for target in found:
        if target.name:
            out.append(target)
        elif options.all or options.selector:
            out += names.members(api, target, labels=options.selector)
        else:
            raise CommandError("error: resource(s) were provided, but no name was specified")
    return out


def _change(api: Api, target: names.Target, field: str, wanted: dict[str, str | None], options: Options) -> None:
    path = target.path(api)
    live = api.call("GET", path)
    old = live["metadata"].get(field) or {}
    shown = names.shown_name(target.resource, target.name)
    if options.list:
        print("\n".join(f"{k}={v}" for k, v in sorted(old.items())))
        return
    word = "label" if field == "labels" else "annotation"
    for key, value in wanted.items():
        if value is not None and not options.overwrite and key in old and old[key] != value:
            raise CommandError(f"error: '{key}' already has a value ({old[key]}), and --overwrite is false")
        if value is None and key not in old:
            print(f'{word} "{key}" not found.', file=sys.stderr)
    meta: Obj = {field: wanted}
    if options.resource_version:
        meta["resourceVersion"] = options.resource_version
    done = api.call("PATCH", path, body={"metadata": meta}, query={"fieldManager": f"kubectl-{options.command_name}"}, content_type="application/merge-patch+json")
    changed = (done["metadata"].get(field) or {}) != old
    if field == "annotations":
        print(f"{shown} annotated")
    elif not changed:
        print(f"{shown} not labeled")
    else:
        print(f"{shown} " + ("unlabeled" if all(v is None for v in wanted.values()) else "labeled"))
