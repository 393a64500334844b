"""Objects and Tables as text: kubectl's column printer, yaml, json, name, jsonpath, custom-columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kogia.cli.main import CommandError

Obj = dict[str, Any]

#: Go's tabwriter as kubectl sets it up: columns at least 6 wide, 3 blanks between.
PADDING = 3


def columns(rows: Sequence[Sequence[str]], widths: list[int] | None = None) -> list[str]:
    """Rows as lines with aligned columns; `widths` (kept by the caller) lets a watch go on with at least the same widths."""
    widths = widths if widths is not None else []
    for row in rows:
        for i, cell in enumerate(row):
            if i >= len(widths):
                widths.append(0)
            widths[i] = max(widths[i], len(cell) + PADDING, 6)
    return ["".join(c if i == len(row) - 1 else c.ljust(widths[i]) for i, c in enumerate(row)) for row in rows]


def cell_text(value: Any) -> str:
    if value is None:
        return "<none>"
    if value is True or value is False:
        return str(value).lower()
    return str(value).replace("\n", "\\n") if not isinstance(value, list) else ",".join(map(str, value))


def show_labels(labels: Obj | None) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted((labels or {}).items())) or "<none>"


def to_json(obj: Any) -> str:
    """Go's encoding: keys sorted, four blanks, <, > and & escaped."""
    return escape_html(json.dumps(obj, indent=4, ensure_ascii=False, sort_keys=True)) + "\n"


def escape_html(text: str) -> str:
    """What Go's encoding/json escapes in strings beyond what JSON asks for."""
    return text.translate(_ESCAPED)


_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def object_printer(output: str, shown_name: Callable[[Obj], str], *, headers: bool = True) -> Callable[[Obj], str] | None:
    """The printer for `-o`; None when the output is a table. Errors: CommandError."""
    kind, _, argument = output.partition("=")
    if kind in ("", "wide"):
        return None
    if kind == "json":
        return to_json
    if kind == "yaml":
        return _YamlDocuments()
    if kind == "name":
        return lambda obj: "".join(shown_name(o) + "\n" for o in items_of(obj))
    if kind in ("jsonpath", "jsonpath-as-json", "jsonpath-file"):
        return _jsonpath_printer(kind, argument)
    if kind in ("custom-columns", "custom-columns-file"):
        return _custom_columns_printer(argument if kind == "custom-columns" else _read(argument), headers)
    if kind in ("go-template", "go-template-file", "template", "templatefile"):
        raise CommandError("error: Go templates are known to kubectl only; use -o jsonpath=… or -o custom-columns=…")
    raise CommandError(
        f'error: unable to match a printer suitable for the output format "{output}", allowed formats are: '
        "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,wide,yaml"
    )


class _YamlDocuments:
    """Prints one document after the other, parted by `---`."""

    def __init__(self) -> None:
        self._printed = False

    def __call__(self, obj: Obj) -> str:
        from kogia.cli.yaml_text import to_yaml

        lead, self._printed = "---\n" if self._printed else "", True
        return lead + to_yaml(obj)


def items_of(obj: Obj) -> list[Obj]:
    return obj["items"] if obj.get("kind", "").endswith("List") and "items" in obj else [obj]


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"error: error reading template {path}: {error.strerror}") from error


def _jsonpath_printer(kind: str, argument: str) -> Callable[[Obj], str]:
    template = _read(argument) if kind == "jsonpath-file" else argument
    if not template:
        raise CommandError("error: template format specified but no template given")

    from kogia.cli import jsonpath

    try:
        jsonpath.check(template)
    except jsonpath.JsonPathError as error:
        raise CommandError(f"error: error parsing jsonpath {template}, {error}") from error

    def show(obj: Obj) -> str:
        try:
            if kind == "jsonpath-as-json":
                return to_json(jsonpath.values(template, obj))
            return jsonpath.render(template, obj)
        except jsonpath.JsonPathError as error:
            raise CommandError(f"error: error executing jsonpath {json.dumps(template)}: Error executing template: {error}.") from error

    return show


def _custom_columns_printer(spec: str, headers: bool) -> Callable[[Obj], str]:
    if not spec.strip():
        raise CommandError("error: custom-columns format specified but no custom columns given")
    pairs = [part.split(":", 1) for part in spec.split(",")]
    if any(len(p) != 2 or not p[1] for p in pairs):
        raise CommandError(f"error: unexpected custom-columns spec: {spec}, expected <header>:<json-path-expr>")

    from kogia.cli import jsonpath

    def show(obj: Obj) -> str:
        rows = [[p[0] for p in pairs]] if headers else []
        for item in items_of(obj):
            rows.append([",".join(jsonpath.as_go(v) for v in jsonpath.values(p[1], item)) or "<none>" for p in pairs])
        return "".join(line + "\n" for line in columns(rows))

    return show


class TableWriter:
    """Server-side Tables as kubectl prints them; keeps widths between calls so that a watch stays aligned."""

    def __init__(self, *, wide: bool, headers: bool, labels: bool = False, label_columns: Iterable[str] = (), with_namespace: bool = False,
                 prefix: str = "") -> None:  # fmt: skip
        self._wide, self._headers, self._labels, self._prefix = wide, headers, labels, prefix
        self._label_columns, self._with_namespace = list(label_columns), with_namespace
        self._definitions: list[Obj] = []
        self._widths: list[int] = []

    def lines(self, table: Obj) -> list[str]:
        """Header (the first time, or when the columns change) and rows."""
        definitions = table.get("columnDefinitions") or self._definitions
        rows: list[list[str]] = []
        chosen = [i for i, c in enumerate(definitions) if self._wide or not c.get("priority")]
        if definitions != self._definitions:
            self._definitions, self._widths = definitions, []
            if self._headers:
                rows.append(self._header(chosen))
        for row in table.get("rows") or []:
            rows.append(self._row(row, chosen))
        return columns(rows, self._widths)

    def _header(self, chosen: list[int]) -> list[str]:
        header = ["NAMESPACE"] if self._with_namespace else []
        header += [self._definitions[i]["name"].upper() for i in chosen]
        header += [name.rsplit("/", 1)[-1].upper() for name in self._label_columns]
        return header + (["LABELS"] if self._labels else [])

    def _row(self, row: Obj, chosen: list[int]) -> list[str]:
        meta = (row.get("object") or {}).get("metadata") or {}
        cells = [cell_text(row["cells"][i]) for i in chosen]
        if self._prefix and cells:
            cells[0] = self._prefix + cells[0]
        out = ([meta.get("namespace", "")] if self._with_namespace else []) + cells
        labels = meta.get("labels") or {}
        out += [labels.get(name, "") for name in self._label_columns]
        return out + ([show_labels(labels)] if self._labels else [])
