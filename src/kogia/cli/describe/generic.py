"""Any kind: its fields told in words (`creationTimestamp` → `Creation Timestamp`), maps and lists indented."""

from __future__ import annotations

import re
from typing import Any

from kogia.cli.connection import Api
from kogia.cli.describe.common import Writer, annotation_lines, pairs

Obj = dict[str, Any]
_ACRONYMS = {"Api": "API", "Id": "ID", "Uid": "UID", "Url": "URL", "Ip": "IP", "Http": "HTTP", "Tls": "TLS", "Dns": "DNS", "Cpu": "CPU", "Ips": "IPs", "Uri": "URI"}


def describe(api: Api, obj: Obj) -> Writer:
    writer, meta = Writer(), obj["metadata"]
    writer.line(0, "Name:", meta["name"])
    writer.line(0, "Namespace:", meta.get("namespace", ""))
    pairs(writer, "Labels", meta.get("labels"))
    annotation_lines(writer, meta.get("annotations"))
    rest = {k: v for k, v in obj.items() if k != "metadata"}
    shown = {k: v for k, v in meta.items() if k not in ("name", "namespace", "labels", "annotations", "managedFields")}
    _mapping(writer, {"metadata": shown, **rest}, 0)
    return writer


def _title(key: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]+", key):
        return key
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", key) or [key]
    capitalised = [w if w.isupper() else w[0].upper() + w[1:] for w in words]
    return " ".join(_ACRONYMS.get(w, w) for w in capitalised)


def _mapping(writer: Writer, values: Obj, depth: int) -> None:
    for key, value in sorted(values.items()):
        _field(writer, _title(key), value, depth)


def _field(writer: Writer, title: str, value: Any, depth: int) -> None:
    if isinstance(value, dict):
        writer.line(depth, f"{title}:")
        _mapping(writer, value, depth + 1)
    elif isinstance(value, list):
        writer.line(depth, f"{title}:")
        for item in value:
            if isinstance(item, dict):
                _mapping(writer, item, depth + 1)
            else:
                writer.line(depth + 1, item)
    else:
        shown = str(value).lower() if isinstance(value, bool) else "<nil>" if value is None else value
        writer.line(depth, f"{title}:", shown)
