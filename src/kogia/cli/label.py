"""`kogia label` and `kogia annotate`: set (`k=v`) and remove (`k-`) on one, many or all objects."""

from __future__ import annotations

import json
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
    parser.add("--resource-version", help="change only this version of the object")
    parser.add("--dry-run", default="none", bare="client", choices=("none", "client", "server"), help="only say what would be done")


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
        for key, value in sorted(old.items()):
            print(f"{key}={value}")
        return
    _refuse_overwriting(field, old, wanted, options)
    for key in [] if options.dry_run == "client" else [k for k, v in wanted.items() if v is None and k not in old]:
        if field == "labels":
            print(f'label "{key}" not found.')
    new = {k: v for k, v in {**old, **wanted}.items() if v is not None}
    if options.dry_run != "client":
        meta: Obj = {field: wanted}
        if options.resource_version:
            meta["resourceVersion"] = options.resource_version
        query = {"fieldManager": f"kubectl-{options.command_name}", "dryRun": "All" if options.dry_run == "server" else ""}
        api.call("PATCH", path, body={"metadata": meta}, query=query, content_type="application/merge-patch+json")
    done = "annotated" if field == "annotations" else "not labeled" if new == old else "labeled"
    if done == "labeled" and not options.overwrite and len(json.dumps(new)) < len(json.dumps(old)):
        done = "unlabeled"
    print(f"{shown} {done}" + {"client": " (dry run)", "server": " (server dry run)"}.get(options.dry_run, ""))


def _refuse_overwriting(field: str, old: Obj, wanted: dict[str, str | None], options: Options) -> None:
    """Errors: CommandError if a set key has another value already and --overwrite was not given."""
    if options.overwrite:
        return
    clashes = [f"'{k}' already has a value ({old[k]})" for k, v in wanted.items() if v is not None and old.get(k, v) != v]
    if clashes and field == "labels":
        raise CommandError(f"error: {clashes[0]}, and --overwrite is false")
    if clashes:
        raise CommandError(f"error: --overwrite is false but found the following declared annotation(s): {'; '.join(clashes)}")
