"""The swagger document in the protobuf form old clients insist on (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`).

kubectl up to 1.28 reads nothing else for `explain` and validation. Written field by field with the numbers of gnostic's OpenAPIv2 messages;
only what the document of `openapi.document_v2` uses. Neighbour: `openapi.py`, which compresses and keeps the result.
Source: google/gnostic openapiv2/OpenAPIv2.proto (field numbers).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

Obj = dict[str, Any]
#: as it is answered: the `@` clients ask with has no place in a media type
MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def text(number: int, value: str) -> bytes:
    return message(number, value.encode()) if value else b""


def flag(number: int, value: Any) -> bytes:
    return varint(number << 3) + b"\x01" if value else b""


def _any(value: Any) -> bytes:
    """gnostic's Any: the value as YAML, of which JSON is a part."""
    return text(2, json.dumps(value, separators=(",", ":")) + "\n")


def _extensions(number: int, source: Obj) -> bytes:
    return b"".join(message(number, text(1, k) + message(2, _any(v))) for k, v in source.items() if k.startswith("x-"))


def _named(entries: Iterable[tuple[str, bytes]], number: int = 1) -> bytes:
    return b"".join(message(number, text(1, name) + message(2, value)) for name, value in entries)


def schema(source: Obj) -> bytes:
    """A Schema message. `oneOf` and `anyOf` have no place in swagger 2.0 and are left out."""
    out = text(1, source.get("$ref", "")) + text(2, source.get("format", "")) + text(4, source.get("description", ""))
    if "default" in source:
        out += message(5, _any(source["default"]))
    out += b"".join(text(19, name) for name in source.get("required", ()))
    out += b"".join(message(20, _any(value)) for value in source.get("enum", ()))
    extra = source.get("additionalProperties")
    if isinstance(extra, dict):
        out += message(21, message(1, schema(extra)))
    elif extra is not None:
        out += message(21, varint(2 << 3) + (b"\x01" if extra else b"\x00"))
    if "type" in source:
        out += message(22, text(1, source["type"]))
    if "items" in source:
        out += message(23, message(1, schema(source["items"])))
    out += b"".join(message(24, schema(part)) for part in source.get("allOf", ()))
    if "properties" in source:
        out += message(25, _named((name, schema(field)) for name, field in source["properties"].items()))
    return out + _extensions(31, source)


def _parameter(source: Obj) -> bytes:
    if source["in"] == "body":
        body = text(1, source.get("description", "")) + text(2, source["name"]) + text(3, "body") + flag(4, source.get("required"))
        return message(1, message(1, body + message(5, schema(source["schema"]))))
    inner = flag(1, source.get("required")) + text(2, source["in"]) + text(3, source.get("description", "")) + text(4, source["name"])
    if source["in"] == "query":
        return message(1, message(2, message(3, inner + text(6, source.get("type", "")) + flag(20, source.get("uniqueItems")))))
    return message(1, message(2, message(4, inner + text(5, source.get("type", "")) + flag(19, source.get("uniqueItems")))))


def _response(source: Obj) -> bytes:
    out = text(1, source.get("description", ""))
    if "schema" in source:
        out += message(2, message(1, schema(source["schema"])))
    return message(1, out)


def _operation(source: Obj) -> bytes:
    out = b"".join(text(1, tag) for tag in source.get("tags", ()))
    out += text(3, source.get("description", "")) + text(5, source.get("operationId", ""))
    out += b"".join(message(8, _parameter(p)) for p in source.get("parameters", ()))
    out += message(9, _named((code, _response(r)) for code, r in source.get("responses", {}).items()))
    return out + _extensions(13, source)


def _path_item(source: Obj) -> bytes:
    out = b"".join(message(number, _operation(source[method])) for method, number in _METHODS.items() if method in source)
    return out + b"".join(message(9, _parameter(p)) for p in source.get("parameters", ()))


def encode(document: Obj) -> bytes:
    """The whole Document message of a swagger 2.0 dict."""
    info = text(1, document["info"]["title"]) + text(2, document["info"]["version"])
    paths = _named(((path, _path_item(item)) for path, item in document["paths"].items()), 2)
    definitions = _named((name, schema(body)) for name, body in document["definitions"].items())
    return text(1, document["swagger"]) + message(2, info) + message(8, paths) + message(9, definitions)
