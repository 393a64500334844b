"""`kogia get`: one or many resources as tables made by the server, or printed by `-o`; with `-w` also every change."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from kogia.cli import manifests, names, printers
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.main import CommandError

Obj = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="TYPE[/NAME] [NAME…]")
    parser.add_argument("-o", "--output", default="", help="json|yaml|name|wide|jsonpath=…|custom-columns=…")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="list across all namespaces")
    parser.add_argument("-l", "--selector", default="", help="label selector")
    parser.add_argument("--field-selector", default="", help="field selector")
    parser.add_argument("-w", "--watch", action="store_true", help="after listing, watch for changes")
    parser.add_argument("--watch-only", action="store_true", help="watch for changes without listing first")
    parser.add_argument("--output-watch-events", action="store_true", help="print the type of each watch event")
    parser.add_argument("-f", "--filename", action="append", default=[], help="file, folder or URL naming the resources")
    parser.add_argument("-R", "--recursive", action="store_true", help="process the folder of -f recursively")
    parser.add_argument("--no-headers", action="store_true", help="don't print headers")
    parser.add_argument("--show-labels", action="store_true", help="show all labels as the last column")
    parser.add_argument("-L", "--label-columns", action="append", default=[], help="labels shown as columns, comma-separated")
    parser.add_argument("--show-kind", action="store_true", help="list the resource type with each name")
    parser.add_argument("--ignore-not-found", action="store_true", help="exit 0 when an object does not exist")
    parser.add_argument("--sort-by", default="", help="sort by this JSONPath expression")
    parser.add_argument("--chunk-size", type=int, default=500, help="fetch large lists in pieces of this size")
    parser.add_argument("--raw", default="", help="a path to request from the server")
    parser.add_argument("--show-managed-fields", action="store_true", help="keep managedFields in json or yaml output")
    parser.add_argument("--subresource", default="", help="the subresource to get: status or scale")


def run(options: argparse.Namespace) -> int:
    api = connect(options)
    if options.raw:
        sys.stdout.write(api.raw("GET", options.raw).decode("utf-8", "replace"))
        return 0
    wanted = manifests.targets_of_files(api, options) if options.filename else names.targets(api, options.words)
    printer = printers.object_printer(options.output, _shown)
    if options.watch or options.watch_only:
        return _watch(api, options, wanted, printer)
    if printer is not None:
        return _print_objects(api, options, wanted, printer)
    return _print_tables(api, options, wanted)


def _shown(obj: Obj) -> str:
    group, _, _ = obj["apiVersion"].rpartition("/")
    kind = obj["kind"].lower() + (f".{group}" if group else "")
    return f"{kind}/{obj['metadata']['name']}"


def _namespace(api: Api, options: argparse.Namespace, target: names.Target) -> str:
    return "" if options.all_namespaces and not target.name else api.namespace


def _query(options: argparse.Namespace) -> dict[str, Any]:
    return {"labelSelector": options.selector, "fieldSelector": options.field_selector}


def _fetch(api: Api, options: argparse.Namespace, target: names.Target, accept: str) -> Obj:
    """One object or a whole (chunked) list, as objects or Table by `accept`."""
    namespace = _namespace(api, options, target)
    if target.name:
        if options.all_namespaces:
            raise CommandError("error: a resource cannot be retrieved by name across all namespaces")
        return api.call("GET", names.path_of(target.resource, namespace, target.name, options.subresource), accept=accept)
    path, query = names.path_of(target.resource, namespace), {**_query(options), "limit": options.chunk_size or ""}
    whole = api.call("GET", path, query=query, accept=accept)
    key = "rows" if whole.get("kind") == "Table" else "items"
    while token := (whole["metadata"].get("continue")):
        page = api.call("GET", path, query={**query, "continue": token}, accept=accept)
        whole[key] = (whole.get(key) or []) + (page.get(key) or [])
        whole["metadata"] = page["metadata"]
    return whole


def _print_objects(api: Api, options: argparse.Namespace, wanted: list[names.Target], printer: Any) -> int:
    found: list[Obj] = []
    listing = len(wanted) != 1 or not wanted[0].name
    failures = 0
    for target in wanted:
        try:
            answer = _fetch(api, options, target, "application/json")
        except ApiFailure as error:
            if error.reason == "NotFound" and options.ignore_not_found:
                continue
            print(error, file=sys.stderr)
            failures += 1
            continue
        for item in printers.items_of(answer):
            if "items" in answer:
                item.setdefault("apiVersion", target.resource.api_version)
                item.setdefault("kind", target.resource.kind)
            if not options.show_managed_fields:
                item.get("metadata", {}).pop("managedFields", None)
            found.append(item)
    if options.sort_by:
        found = _sorted(found, options.sort_by)
    if listing:
        ordered = [{"apiVersion": o["apiVersion"], "kind": o["kind"], **o} for o in found]
        sys.stdout.write(printer({"apiVersion": "v1", "items": ordered, "kind": "List", "metadata": {"resourceVersion": ""}}))
    elif found:
        sys.stdout.write(printer(found[0]))
    return 1 if failures else 0


def _sorted(objects: list[Obj], expression: str) -> list[Obj]:
    from kogia.cli import jsonpath

    def key(obj: Obj) -> tuple[int, Any, str]:
        found = jsonpath.values(expression, obj)
        if not found:
            return (0, 0, "")
        value = found[0]
        return (1, value, "") if isinstance(value, int | float) else (1, 0, str(value))

    return sorted(objects, key=key)


def _print_tables(api: Api, options: argparse.Namespace, wanted: list[names.Target]) -> int:
    failures, printed = 0, 0
    kinds = {(t.resource.group, t.resource.plural) for t in wanted}
    show_kind = options.show_kind or len(kinds) > 1
    label_columns = [x for word in options.label_columns for x in word.split(",") if x]
    for key in dict.fromkeys((t.resource.group, t.resource.plural) for t in wanted):
        group = [t for t in wanted if (t.resource.group, t.resource.plural) == key]
        resource = group[0].resource
        writer = printers.TableWriter(
            wide=options.output == "wide", headers=not options.no_headers, labels=options.show_labels, label_columns=label_columns,
            with_namespace=options.all_namespaces and resource.namespaced, prefix=names.shown_name(resource, "") if show_kind else "",
        )
        lines: list[str] = []
        table: Obj | None = None
        for target in group:
            try:
                answer = _fetch(api, options, target, TABLE)
            except ApiFailure as error:
                if error.reason == "NotFound" and options.ignore_not_found:
                    continue
                print(error, file=sys.stderr)
                failures += 1
                continue
            if table is None:
                table = answer
            else:
                table["rows"] = (table.get("rows") or []) + (answer.get("rows") or [])
        if table is not None and table.get("rows"):
            if options.sort_by:
                table["rows"] = _sorted_rows(api, options, group[0], table["rows"])
            lines = writer.lines(table)
        if lines:
            if printed:
                print()
            print("\n".join(lines))
            printed += len(lines)
    if not printed and not failures and not options.ignore_not_found:
        scope = "" if options.all_namespaces or not any(t.resource.namespaced for t in wanted) else f" in {api.namespace} namespace"
        print(f"No resources found{scope}" + ("." if scope else ""), file=sys.stderr)
    return 1 if failures else 0


def _sorted_rows(api: Api, options: argparse.Namespace, target: names.Target, rows: list[Obj]) -> list[Obj]:
    objects = _sorted(printers.items_of(_fetch(api, options, target, "application/json")), options.sort_by)
    place = {(o["metadata"].get("namespace"), o["metadata"]["name"]): i for i, o in enumerate(objects)}

    def key(row: Obj) -> int:
        meta = row["object"]["metadata"]
        return place.get((meta.get("namespace"), meta["name"]), len(place))

    return sorted(rows, key=key)


def _watch(api: Api, options: argparse.Namespace, wanted: list[names.Target], printer: Any) -> int:
    if len({(t.resource.group, t.resource.plural) for t in wanted}) != 1 or len(wanted) != 1:
        raise CommandError("error: you may only specify a single resource type or name with --watch")
    target = wanted[0]
    resource = target.resource
    accept = TABLE if printer is None else "application/json"
    collection = names.Target(resource)
    if target.name:
        options.field_selector = ",".join(x for x in (options.field_selector, f"metadata.name={target.name}") if x)
        _fetch(api, options, target, "application/json")  # 404 for an absent name, as kubectl
    first = _fetch(api, options, collection, accept)
    writer = printers.TableWriter(wide=options.output == "wide", headers=not options.no_headers, labels=options.show_labels,
                                  with_namespace=options.all_namespaces and resource.namespaced)  # fmt: skip

    def show(kind: str, obj: Obj) -> None:
        if printer is None:
            lines = writer.lines(obj)
            if options.output_watch_events:
                lines = [f"{kind:<10} {line}" for line in lines]
            print("\n".join(lines))
        else:
            if not options.show_managed_fields:
                obj.get("metadata", {}).pop("managedFields", None)
            sys.stdout.write(printer(obj))
        sys.stdout.flush()

    if not options.watch_only:
        for item in [first] if printer is None else first["items"]:
            if printer is not None:
                item = {"apiVersion": resource.api_version, "kind": resource.kind, **item}
            if printer is not None or item.get("rows"):
                show("ADDED", item)
    query = {**_query(options), "watch": "1", "resourceVersion": first["metadata"]["resourceVersion"], "allowWatchBookmarks": "true"}
    for line in api.lines(names.path_of(resource, _namespace(api, options, collection)), query, accept=accept):
        event = json.loads(line)
        if event["type"] == "ERROR":
            raise ApiFailure(event["object"], int(event["object"].get("code", 500)))
        if event["type"] != "BOOKMARK":
            show(event["type"], event["object"])
    return 0
