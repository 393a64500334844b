"""`kogia explain pod.spec.containers`: the documentation of a kind or field, from the schema compiled into Kogia."""

from __future__ import annotations

import textwrap
from typing import Any

from kogia.api import resources, schema
from kogia.cli.flags import Flags, Options
from kogia.cli.main import CommandError

Definition = dict[str, Any]
_REF = "#/$defs/"
_SHOWN = {"Quantity": "Quantity", "IntOrString": "IntOrString", "Time": "string", "MicroTime": "string", "FieldsV1": "FieldsV1"}


def add_options(parser: Flags) -> None:
    parser.usage = "TYPE[.FIELD…]"
    parser.switch("--recursive", help="print the names of all fields below")
    parser.add("--api-version", default="", help="group/version to use")


def run(options: Options) -> int:
    if len(options.words) != 1:
        raise CommandError("error: You must specify the type of resource to explain. Use \"kogia api-resources\" for a complete list of supported resources."
                           if not options.words else "error: We accept only this format: explain RESOURCE")  # fmt: skip
    word, *path = options.words[0].split(".")
    resource = _resource(word, options.api_version)
    definitions = schema.read_blob()
    name = schema.definition_for(resource.group, resource.version, resource.kind)
    if not name:
        raise CommandError(f'error: couldn\'t find resource for "{resource.api_version}, Kind={resource.kind}"')
    body, field, shown = definitions[name], None, [word]
    for part in path:
        field = (body.get("properties") or {}).get(part)
        if field is None:
            raise CommandError(f'error: field "{part}" does not exist')
        shown.append(part)
        body = definitions.get(_target(field), field)
    lines = [f"GROUP:      {resource.group}"] if resource.group else []
    lines += [f"KIND:       {resource.kind}", f"VERSION:    {resource.version}", ""]
    if field is not None:
        lines += [f"FIELD: {shown[-1]} <{_type(field)}>", *_enum(field), "", ""]
    lines += ["DESCRIPTION:", *_wrapped(_description(field, body), 4), "    "]
    if body.get("properties"):
        lines += ["FIELDS:", *_fields(definitions, body, options.recursive, 1, set())]
    print("\n".join(lines) + "\n")
    return 0


def _resource(word: str, api_version: str) -> Any:
    for row in resources.ALL:
        if word.lower() in (row.plural, row.singular, row.kind.lower(), *row.short_names) and api_version in ("", row.api_version):
            return row
    raise CommandError(f'error: the server doesn\'t have a resource type "{word}"')


def _target(field: Definition) -> str:
    """The definition a field (or its items or values) refers to, or ""."""
    for part in (field, field.get("items") or {}, field.get("additionalProperties") or {}):
        if isinstance(part, dict) and part.get("$ref"):
            return str(part["$ref"]).removeprefix(_REF)
    return ""


def _type(field: Definition) -> str:
    target = _target(field)
    short = target.rsplit(".", 1)[-1]
    base = _SHOWN.get(short, short) if target else _plain(field.get("items") or field.get("additionalProperties") or field)
    kind = field.get("type")
    kind = next((k for k in kind if k != "null"), "") if isinstance(kind, list) else kind
    if kind == "array":
        return f"[]{base}"
    if kind == "object" and field.get("additionalProperties"):
        return f"map[string]{base}"
    return base


def _plain(field: Any) -> str:
    kind = field.get("type") if isinstance(field, dict) else None
    kind = next((k for k in kind if k != "null"), "") if isinstance(kind, list) else kind
    return {"object": "Object", None: "Object"}.get(kind, str(kind))


def _enum(field: Definition) -> list[str]:
    if field.get("type") == ["string", "null"] and len(field.get("enum") or ()) == 1 or len(field.get("enum") or ()) < 2:
        return []  # the validating schema pins apiVersion and kind; the published one does not
    values = [v for v in field.get("enum") or [] if v is not None]
    return ["ENUM:", *(f"    {v}" for v in values)] if values else []


def _description(field: Definition | None, body: Definition) -> str:
    own = (field or {}).get("description") or ""
    theirs = body.get("description") or ""
    return own if field is not None and own and own != theirs and not theirs else "\n".join(dict.fromkeys(x for x in (own, theirs) if x)) or "<empty>"


def _wrapped(text: str, indent: int) -> list[str]:
    out: list[str] = []
    for paragraph in text.split("\n"):
        plain = paragraph.strip()
        out += textwrap.wrap(plain, 80, initial_indent=" " * indent, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False) or [" " * indent]
    return out


def _fields(definitions: dict[str, Definition], body: Definition, recursive: bool, depth: int, above: set[str]) -> list[str]:
    lines: list[str] = []
    required = set(body.get("required") or ())
    for name, field in sorted((body.get("properties") or {}).items()):
        mark = " -required-" if name in required else ""
        lines.append("  " * depth + f"{name}\t<{_type(field)}>{mark}")
        if recursive:
            target = _target(field)
            if target in definitions and target not in above:
                lines += _fields(definitions, definitions[target], True, depth + 1, above | {target})
            continue
        lines += [line.replace("ENUM:", "  ENUM:") if line == "ENUM:" else "  " + line for line in _enum(field)]
        lines += _wrapped(_description(field, definitions.get(_target(field), {}) if not field.get("description") else {}), 4)
        lines.append("")
    return lines
