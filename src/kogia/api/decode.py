"""Request bodies to objects: JSON and YAML, duplicate and unknown fields, Go's type errors, canonical quantities and times.

`decode` makes the dict; `check` holds it against the schema. Checking runs twice over: a compiled recogniser (`checks.py`) that only
says "this is exactly what Kubernetes would print" and is right for nearly every request, and, where it says no, the slow walk of
`pruning.py` that prunes, converts, and words errors. `yaml_loader.py` reads YAML the way Go's library does.

Source: k8s.io/apimachinery runtime/serializer/json, sigs.k8s.io/json, apiserver handlers/rest.go (transformDecodeError).
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from kogia.api import schema
from kogia.api.checks import recogniser
from kogia.api.jsoncopy import MAX_DEPTH, too_deep
from kogia.api.kinds import Obj, ResourceInfo
from kogia.api.pruning import prune
from kogia.api.schema import Node, Shape
from kogia.api.status import StatusError, bad_request, unsupported_media_type

_JSON_TYPES = ("application/json", "", "*/*", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "application/apply-patch+yaml")
SUPPORTED = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


def decode(body: bytes, content_type: str, *, strict: bool = False) -> tuple[Any, list[str]]:
    """Parse a request body; (value, duplicate-field messages).

    Shape: content_type may carry parameters and be empty (JSON). Messages, only made when `strict`: `duplicate field "spec.foo"`
    for JSON, `line 3: key "foo" already set in map` for YAML. The value is whatever was sent: callers check for a dict (`decode_object`).
    Errors: 400 BadRequest (malformed, too deep), 415 UnsupportedMediaType.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media in _JSON_TYPES:
        return _decode_json(body, strict)
    if media in _YAML_TYPES:
        if body.lstrip()[:1] == b"{":
            try:
                return _decode_json(body, strict)  # kubectl sends applied configurations as JSON; a flow mapping falls through
            except StatusError:
                pass
        from kogia.api.yaml_loader import YamlError, load

        try:
            return load(body, strict=strict, max_depth=MAX_DEPTH)
        except YamlError as error:
            raise bad_request(f"error converting YAML to JSON: {error}" if body else "couldn't get version/kind") from None
    if media == "application/vnd.kubernetes.protobuf":
        from kogia.api import protobuf

        return protobuf.decode(body), []
    raise unsupported_media_type(SUPPORTED)


def decode_object(body: bytes, content_type: str, kind: str, *, strict: bool = False) -> tuple[Obj, list[str]]:
    """`decode` for a body that must be an object of `kind`. Errors: as `decode`, worded as for an unrecognised object."""
    try:
        value, messages = decode(body, content_type, strict=strict)
    except StatusError as error:
        if error.code != 400:
            raise
        raise unrecognized(kind, error.message, body) from None
    if not isinstance(value, dict):
        name = _go_kind(value)
        why = f"couldn't get version/kind; json parse error: json: cannot unmarshal {name} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
        raise unrecognized(kind, why, body)
    return value, messages


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {list: "array", str: "string", type(None): "null", dict: "object"}.get(type(value), "number")


def unrecognized(kind: str, why: str, body: bytes) -> StatusError:
    """400 for a body whose kind could not even be read. Source: transformDecodeError, summarizeData."""
    if not body:
        summary = "<empty>"
    elif body[:1] == b"{":
        text = body[:30].decode("utf-8", "replace")
        summary = f"{text} ..." if len(body) > 30 else text
    else:
        summary = f"{body[:30].hex()} ..." if len(body) > 30 else body.hex()
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({summary})")


def cannot_be_handled(obj: Obj, why: str) -> StatusError:
    """400 for an object of a known kind whose content does not fit."""
    kind = obj.get("kind", "")
    return bad_request(f'{kind} in version "{obj.get("apiVersion", "")}" cannot be handled as a {kind}: {why}')


def strict_error(obj: Obj, messages: list[str]) -> StatusError:
    """400 for `fieldValidation=Strict`, from the messages of `decode` and `check`."""
    lines = [m for m in messages if m.startswith("line ")]
    rest = [m for m in messages if not m.startswith("line ")]
    parts = ["yaml: unmarshal errors:" + "".join(f"\n  {line}" for line in lines)] if lines else []
    return cannot_be_handled(obj, "strict decoding error: " + ", ".join(parts + list(dict.fromkeys(rest))))


def _decode_json(body: bytes, strict: bool) -> tuple[Any, list[str]]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request("couldn't get version/kind; json parse error: " + _go_json_error(body, error)) from None
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and too_deep(value):
        raise bad_request("couldn't get version/kind; json parse error: exceeded max depth")
    return value, _json_duplicates(body) if strict else []


def _go_json_error(body: bytes, error: orjson.JSONDecodeError) -> str:
    text = error.doc if isinstance(error.doc, str) else body.decode("utf-8", "replace")
    if error.pos >= len(text.rstrip()):
        return "unexpected end of JSON input"
    char = text[error.pos]
    shown = "\\" + {"\n": "n", "\t": "t", "\r": "r"}[char] if char in "\n\t\r" else char
    if "trailing" in error.msg or "unexpected content" in error.msg:
        return f"invalid character '{shown}' after top-level value"
    if "key" in error.msg:
        return f"invalid character '{shown}' looking for beginning of object key string"
    return f"invalid character '{shown}' looking for beginning of value"


class _Pairs(list):  # type: ignore[type-arg]
    """An object's (key, value) pairs as they were written: only kept while looking for duplicates."""


def _json_duplicates(body: bytes) -> list[str]:
    found = False

    def hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        made = dict(pairs)
        if len(made) != len(pairs):
            found = True
        return made

    try:
        text = body.decode()
        json.loads(text, object_pairs_hook=hook)
        if not found:
            return []
        messages: list[str] = []
        _walk_pairs(json.loads(text, object_pairs_hook=_Pairs), "", messages)
    except (RecursionError, ValueError):
        return []
    return messages


def _walk_pairs(value: Any, path: str, messages: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            here = f"{path}.{key}" if path else key
            if key in seen:
                message = f'duplicate field "{here}"'
                if message not in messages:
                    messages.append(message)
            seen.add(key)
            _walk_pairs(item, here, messages)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _walk_pairs(item, f"{path}[{index}]", messages)


def node_for(target: ResourceInfo | str | Node) -> Node:
    """The schema node of a resource's kind, a definition name, or the node itself; `schema.ANY` when unknown."""
    if isinstance(target, Node):
        return target
    if isinstance(target, str):
        return schema.type_of(target)
    return schema.type_for(target.group, target.version, target.kind)


def check(obj: Obj, target: ResourceInfo | str | Node) -> list[str]:
    """Hold an object against its schema, in place: unknown fields and nulls go, quantities and times become canonical.

    Shape: returns `unknown field "spec.containers[0].foo"` messages in document order. Unknown kinds (custom resources) only get
    their `metadata` checked.
    Errors: 400 BadRequest with the words of Go's decoder where a value has the wrong JSON type.
    """
    node = node_for(target)
    if node.shape is Shape.ANY:
        return _check_untyped(obj)
    fast = node.fast
    if fast is None:
        fast = recogniser(node)
    if fast(obj):
        return []
    messages: list[str] = []
    try:
        prune(obj, node, messages)
    except TypeError as error:
        raise cannot_be_handled(obj, str(error)) from None
    return messages


def _check_untyped(obj: Obj) -> list[str]:
    meta = obj.get("metadata")
    if meta is None:
        return []
    node = schema.object_meta()
    messages: list[str] = []
    if not (node.fast or recogniser(node))(meta):
        try:
            obj["metadata"] = prune(meta, node, messages, "metadata")
        except TypeError as error:
            raise cannot_be_handled(obj, str(error)) from None
    return messages
