"""`kogia api-resources`: what the server serves, by discovery."""

from __future__ import annotations

from typing import Any

from kogia.cli import printers
from kogia.cli.connection import Api, connect
from kogia.cli.flags import Flags, Options, boolean
from kogia.cli.main import CommandError

Obj = dict[str, Any]


def add_options(parser: Flags) -> None:
    parser.add("--api-group", default=None, help="only this group")
    parser.add("--namespaced", default=None, convert=boolean, bare="true", help="only namespaced (or, =false, only other) kinds")
    parser.add("--categories", help="only kinds of these categories")
    parser.add("--verbs", default="")
    parser.switch("--no-headers")
    parser.add("-o", "--output", default="")
    parser.add("--sort-by", default="")


def discover(api: Api) -> list[tuple[str, Obj]]:
    """(group/version, row) of every resource in each group's preferred version."""
    versions = ["v1"] + [g["preferredVersion"]["groupVersion"] for g in api.call("GET", "/apis")["groups"]]
    found = []
    for version in versions:
        rows = api.call("GET", f"/apis/{version}" if "/" in version else f"/api/{version}")["resources"]
        found += [(version, row) for row in rows if "/" not in row["name"]]
    return found


def run(options: Options) -> int:
    if options.output not in ("", "wide", "name"):
        raise CommandError(f"error: --output {options.output} is not available")
    if options.sort_by not in ("", "name", "kind"):
        raise CommandError("error: --sort-by accepts only name or kind")
    rows = []
    for version, row in discover(connect(options)):
        group = version.rpartition("/")[0]
        if options.api_group is not None and group != options.api_group:
            continue
        if options.namespaced is not None and row["namespaced"] != options.namespaced:
            continue
        if options.verbs and not set(options.verbs.split(",")) <= set(row["verbs"]):
            continue
        if options.categories and not set(options.categories.split(",")) <= set(row.get("categories") or ()):
            continue
        rows.append((group, version, row))
    rows.sort(key=lambda r: (r[2]["kind"] if options.sort_by == "kind" else r[0] if not options.sort_by else "", r[2]["name"]))
    if options.output == "name":
        print("\n".join(f"{row['name']}.{group}" if group else row["name"] for group, _, row in rows))
        return 0
    wide = options.output == "wide"
    lines = [] if options.no_headers else [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"] + (["VERBS", "CATEGORIES"] if wide else [])]
    for _, version, row in rows:
        line = [row["name"], ",".join(row.get("shortNames") or []), version, str(row["namespaced"]).lower(), row["kind"]]
        lines.append(line + ([",".join(row["verbs"]), ",".join(row.get("categories") or [])] if wide else []))
    print("\n".join(printers.columns(lines)))
    return 0
