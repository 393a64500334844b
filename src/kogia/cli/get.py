"""`kogia get`: one or many resources as tables made by the server, or printed by `-o`; with `-w` also every change."""

from __future__ import annotations

import json
import sys
from typing import Any

from kogia.cli import names, printers
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.flags import Flags, Options, integer
from kogia.cli.main import CommandError

Obj = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def add_options(parser: Flags) -> None:
    parser.usage = "TYPE[/NAME] [NAME…]"
    parser.add("-o", "--output", default="", help="json|yaml|name|wide|jsonpath=…|custom-columns=…")
    parser.switch("-A", "--all-namespaces", help="list across all namespaces")
    parser.add("-l", "--selector", default="", help="label selector")
    parser.add("--field-selector", default="", help="field selector")
    parser.switch("-w", "--watch", help="after listing, watch for changes")
    parser.switch("--watch-only", help="watch for changes without listing first")
    parser.switch("--output-watch-events", help="print the type of each watch event")
    parser.add("-f", "--filename", append=True, default=[], help="file, folder or URL naming the resources")
    parser.switch("-R", "--recursive", help="process the folder of -f recursively")
    parser.switch("--no-headers", help="don't print headers")
    parser.switch("--show-labels", help="show all labels as the last column")
    parser.add("-L", "--label-columns", append=True, default=[], help="labels shown as columns, comma-separated")
    parser.switch("--show-kind", help="list the resource type with each name")
    parser.switch("--ignore-not-found", help="exit 0 when an object does not exist")
    parser.add("--sort-by", default="", help="sort by this JSONPath expression")
    parser.add("--chunk-size", convert=integer, default=500, help="fetch large lists in pieces of this size")
    parser.add("--raw", default="", help="a path to request from the server")
    parser.switch("--show-managed-fields", help="keep managedFields in json or yaml output")
    parser.add("--subresource", default="", help="the subresource to get: status or scale")


def run(options: Options) -> int:
    api = connect(options)
    if options.raw:
        sys.stdout.write(api.raw("GET", options.raw).decode("utf-8", "replace"))
        return 0
    printer = printers.object_printer(options.output, _shown, headers=not options.no_headers)
    wanted = _wanted(api, options)
    if options.watch or options.watch_only:
        return _watch(api, options, wanted, printer)
    if printer is not None:
        return _print_objects(api, options, wanted, printer)
    return _print_tables(api, options, wanted)


def _wanted(api: Api, options: Options) -> list[names.Target]:
    if not options.filename:
        return names.targets(api, options.words)
    from kogia.cli import manifests

    return manifests.targets_of_files(api, options)


def _shown(obj: Obj) -> str:
    group, _, _ = obj["apiVersion"].rpartition("/")
    kind = obj["kind"].lower() + (f".{group}" if group else "")
    return f"{kind}/{obj['metadata']['name']}"


def _fetch(api: Api, options: Options, target: names.Target, accept: str) -> Obj:
    """One object or a whole (chunked) list, as objects or Table by `accept`. Errors: ApiFailure, CommandError."""
    if target.name:
        if options.all_namespaces:
            raise CommandError("error: a resource cannot be retrieved by name across all namespaces")
        return api.call("GET", target.path(api, options.subresource), accept=accept)
    path, query = _collection(api, options, target), {**_query(options), "limit": options.chunk_size or ""}
    try:
        whole = api.call("GET", path, query=query, accept=accept)
        key = "rows" if whole.get("kind") == "Table" else "items"
        while token := (whole["metadata"].get("continue")):
            page = api.call("GET", path, query={**query, "continue": token}, accept=accept)
            whole[key] = (whole.get(key) or []) + (page.get(key) or [])
            whole["metadata"] = page["metadata"]
    except ApiFailure as error:
        if error.reason == "BadRequest" and (options.selector or options.field_selector):
            place = f"{target.resource.api_version if target.resource.group else '/v1'}, Resource={target.resource.plural}"
            error.status["message"] = (f"Unable to find {json.dumps(place)} that match label selector {json.dumps(options.selector)}, "
                                       f"field selector {json.dumps(options.field_selector)}: {error.status.get('message', '')}")  # fmt: skip
            raise ApiFailure(error.status, error.http_code) from None
        raise
    return whole


def _collection(api: Api, options: Options, target: names.Target) -> str:
    return names.path_of(target.resource, "" if options.all_namespaces else api.namespace)


def _query(options: Options) -> dict[str, Any]:
    return {"labelSelector": options.selector, "fieldSelector": options.field_selector}


def _each(api: Api, options: Options, wanted: list[names.Target], accept: str) -> tuple[list[tuple[names.Target, Obj]], int]:
    """Every target's answer in order, and how many failed (told on stderr)."""
    found, failures = [], 0
    for target in wanted:
        try:
            found.append((target, _fetch(api, options, target, accept)))
        except ApiFailure as error:
            if error.reason == "NotFound" and options.ignore_not_found:
                continue
            print(error, file=sys.stderr)
            failures += 1
    return found, failures


def _print_objects(api: Api, options: Options, wanted: list[names.Target], printer: Any) -> int:
    answers, failures = _each(api, options, wanted, "application/json")
    found: list[Obj] = []
    for target, answer in answers:
        for item in printers.items_of(answer):
            head = {} if target.name else {"apiVersion": target.resource.api_version, "kind": target.resource.kind}
            found.append(_plain({**head, **item}, options))
    if options.sort_by:
        found = _sorted(found, options.sort_by)
    if len(wanted) != 1 or not wanted[0].name:
        if found or not failures:
            sys.stdout.write(printer({"apiVersion": "v1", "items": found, "kind": "List", "metadata": {"resourceVersion": ""}}))
    elif found:
        sys.stdout.write(printer(found[0]))
    return 1 if failures else 0


def _plain(obj: Obj, options: Options) -> Obj:
    """The object as it is shown: without managedFields unless asked for."""
    meta = obj.get("metadata") or {}
    if options.show_managed_fields or "managedFields" not in meta:
        return obj
    return {**obj, "metadata": {k: v for k, v in meta.items() if k != "managedFields"}}


def _sorted(objects: list[Obj], expression: str) -> list[Obj]:
    """By the value an expression finds; objects without one come first. Errors: CommandError if no object has one."""
    from kogia.cli import jsonpath

    found = [next(iter(jsonpath.values(expression, obj)), None) for obj in objects]
    if objects and all(value is None for value in found):
        raise _NothingToSortBy

    def key(i: int) -> tuple[int, Any, str]:
        value = found[i]
        return (0, 0, "") if value is None else (1, value, "") if isinstance(value, int | float) else (1, 0, str(value))

    return [objects[i] for i in sorted(range(len(objects)), key=key)]


class _NothingToSortBy(CommandError):
    """No object has the field of --sort-by."""

    def __init__(self) -> None:
        super().__init__("error: couldn't find any field with the path of --sort-by in the list of objects")


def _writer(options: Options, resource: Any, *, show_kind: bool = False) -> printers.TableWriter:
    return printers.TableWriter(
        wide=options.output == "wide", headers=not options.no_headers, labels=options.show_labels,
        label_columns=[x for word in options.label_columns for x in word.split(",") if x],
        with_namespace=options.all_namespaces and resource.namespaced, prefix=names.shown_name(resource, "") if show_kind or options.show_kind else "",
    )  # fmt: skip


def _print_tables(api: Api, options: Options, wanted: list[names.Target]) -> int:
    show_kind = len({(t.resource.group, t.resource.plural) for t in wanted}) > 1
    answers, failures = _each(api, options, wanted, TABLE)
    blocks: list[tuple[names.Target, Obj]] = []
    for target, table in answers:  # neighbours of one kind are one table
        if blocks and blocks[-1][0].resource == target.resource:
            blocks[-1][1]["rows"] = (blocks[-1][1].get("rows") or []) + (table.get("rows") or [])
        else:
            blocks.append((target, table))
    if options.sort_by:
        try:
            for target, table in blocks:
                table["rows"] = _sorted_rows(api, options, [t for t in wanted if t.resource == target.resource], table.get("rows") or [])
        except _NothingToSortBy:
            blocks = []
    shown = [(target, table) for target, table in blocks if table.get("rows")]
    for i, (target, table) in enumerate(shown):
        print("\n".join(([""] if i else []) + _writer(options, target.resource, show_kind=show_kind).lines(table)))
    if not shown and not failures and not options.ignore_not_found:
        scope = "" if options.all_namespaces or not any(t.resource.namespaced for t in wanted) else f" in {api.namespace} namespace."
        print(f"No resources found{scope}", file=sys.stderr)
    return 1 if failures else 0


def _sorted_rows(api: Api, options: Options, targets: list[names.Target], rows: list[Obj]) -> list[Obj]:
    """The rows in the order of their objects. Errors: _NothingToSortBy."""
    found = [o for target in targets for o in printers.items_of(_fetch(api, options, target, "application/json"))]
    place = {(o["metadata"].get("namespace"), o["metadata"]["name"]): i for i, o in enumerate(_sorted(found, options.sort_by))}

    def key(row: Obj) -> int:
        meta = row["object"]["metadata"]
        return place.get((meta.get("namespace"), meta["name"]), len(place))

    return sorted(rows, key=key)


class _Changes:
    """Prints what a watch brings: table lines or objects."""

    def __init__(self, options: Options, resource: Any, printer: Any) -> None:
        self._options, self._resource, self._printer = options, resource, printer
        self._writer = _writer(options, resource)
        self._headed = False

    def show(self, kind: str, obj: Obj) -> None:
        """`obj` is a Table, or an object when there is a printer."""
        if self._printer is None:
            print("\n".join(self._typed(kind, self._writer.lines(obj))))
        elif self._options.output_watch_events and self._options.output == "json":
            print(printers.escape_html(f'{{"type":"{kind}","object":' + json.dumps(obj, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "}"))
        else:
            shown = _plain({"apiVersion": self._resource.api_version, "kind": self._resource.kind, **obj}, self._options)
            wrapped = self._options.output_watch_events and self._options.output == "yaml"
            sys.stdout.write(self._printer({"object": shown, "type": kind} if wrapped else shown))
        sys.stdout.flush()

    def _typed(self, kind: str, lines: list[str]) -> list[str]:
        if not self._options.output_watch_events:
            return lines
        first = "" if self._headed or self._options.no_headers else "EVENT"
        self._headed = True
        return [f"{first if first and i == 0 else kind:<10} {line}" for i, line in enumerate(lines)]


def _watch(api: Api, options: Options, wanted: list[names.Target], printer: Any) -> int:
    if len(wanted) != 1:
        raise CommandError("error: you may only specify a single resource type")
    target, resource, accept = wanted[0], wanted[0].resource, TABLE if printer is None else "application/json"
    if target.name:
        options.field_selector = ",".join(x for x in (options.field_selector, f"metadata.name={target.name}") if x)
        _fetch(api, options, target, "application/json")  # 404 for an absent name, as kubectl
    collection = names.Target(resource)
    first = _fetch(api, options, collection, accept)
    changes = _Changes(options, resource, printer)
    if not options.watch_only:
        for item in [first] if printer is None else first["items"]:
            if printer is not None or item.get("rows"):
                changes.show("ADDED", item)
    query = {**_query(options), "watch": "1", "resourceVersion": first["metadata"]["resourceVersion"], "allowWatchBookmarks": "true"}
    for line in api.lines(_collection(api, options, collection), query, accept=accept):
        event = json.loads(line)
        if event["type"] == "ERROR":
            raise ApiFailure(event["object"], int(event["object"].get("code", 500)))
        if event["type"] != "BOOKMARK":
            changes.show(event["type"], event["object"])
    return 0
