"""JSON patch (RFC 6902): a list of operations, applied all or none.

Error words are those of the library Kubernetes uses, as clients see them in `message`: a malformed patch is 400, a patch that
does not fit the document 422.

Source: RFC 6902, RFC 6901; k8s.io/apiserver handlers/patch.go (applyJSPatch), evanphx/json-patch v4.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from kogia.api.jsoncopy import deep_copy, too_deep
from kogia.api.kinds import Obj
from kogia.api.status import StatusError, bad_request, status_error

#: bound on the operations of one patch, Kubernetes' own
MAX_OPERATIONS = 10_000
_INDEX = re.compile(r"-?(0|[1-9][0-9]*)\Z", re.ASCII)
_MISSING = object()
#: how much `copy` may add before a patch is refused (a chain of copies doubles the document each time)
_MAX_COPIED_NODES = 1_000_000


def _unprocessable(message: str) -> StatusError:
    return status_error(422, "Invalid", message)


def json_patch(doc: Obj, ops: Any) -> Obj:
    """`doc` after all operations, as a new object.

    Shape: ops is the decoded patch, [{"op", "path", "value" | "from"}, …].
    Errors: 400 BadRequest (no patch), 413 RequestEntityTooLarge (too many operations), 422 Invalid (does not fit, test failed).
    """
    if not isinstance(ops, list) or not all(isinstance(op, dict) for op in ops):
        raise bad_request(f"error decoding patch: json: cannot unmarshal {_json_kind(ops)} into Go value of type jsonpatch.Patch")
    if len(ops) > MAX_OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(ops)}"
        raise status_error(413, "RequestEntityTooLarge", message)
    if too_deep(ops):
        raise bad_request("error decoding patch: exceeded max depth")
    run = _Run(deep_copy(doc))
    for op in ops:
        run.apply(op)
    if too_deep(run.doc):
        raise _unprocessable("the patched document exceeds the max depth")
    if not isinstance(run.doc, dict):
        raise bad_request("the patched document is not an object")
    return run.doc


def _json_kind(value: Any) -> str:
    if isinstance(value, list):
        bad: Any = next((item for item in value if not isinstance(item, dict)), {})
        return _json_kind(bad) if not isinstance(bad, list) else "array"
    if isinstance(value, bool):
        return "bool"
    return {dict: "object", str: "string", type(None): "null"}.get(type(value), "number")


class _Run:
    """One patch at work on its private copy."""

    def __init__(self, doc: Any) -> None:
        self.doc = doc
        self.copied = 0

    def apply(self, op: dict[str, Any]) -> None:
        kind, path = op.get("op"), op.get("path")
        if not isinstance(path, str):
            raise _unprocessable(f"{kind} operation failed to decode path: missing operation path" if path is None else "Invalid JSON Patch")
        if kind == "add":
            self.add(path, deep_copy(_value_of(op)))
        elif kind == "replace":
            self.replace(path, deep_copy(_value_of(op)))
        elif kind == "remove":
            self.remove(path, "remove")
        elif kind == "test":
            self.test(path, op.get("value"))
        elif kind == "move":
            source = _from_of(op)
            value = self.get(source, "move")
            if path == source:
                return
            if path.startswith(source + "/"):
                raise _unprocessable("Unable to move into a child of the moved value")
            self.remove(source, "move")
            self.add(path, value)
        elif kind == "copy":
            value = self.get(_from_of(op), "copy")
            self.copied += _size(value)
            if self.copied > _MAX_COPIED_NODES:
                raise status_error(413, "RequestEntityTooLarge", "the copy operations of the JSON patch exceed the allowed size")
            self.add(path, deep_copy(value))
        else:
            raise _unprocessable(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")

    def container(self, path: str, what: str) -> tuple[Any, str]:
        """The list or dict that holds the last segment of a path, and that segment."""
        if not path.startswith("/"):
            _missing(what, path)
        parts = [p.replace("~1", "/").replace("~0", "~") for p in path[1:].split("/")]
        here: Any = self.doc
        for part in parts[:-1]:
            here = _child(here, part)
            if here is _MISSING or not isinstance(here, (dict, list)):
                _missing(what, path)
        if not isinstance(here, (dict, list)):
            _missing(what, path)
        return here, parts[-1]

    def get(self, path: str, what: str) -> Any:
        if path == "":
            return self.doc
        here, last = self.container(path, what)
        value = _child(here, last)
        if value is _MISSING:
            _absent(what, path, here, last)
        return value

    def add(self, path: str, value: Any) -> None:
        if path == "":
            self.doc = value
            return
        here, last = self.container(path, "add")
        if isinstance(here, dict):
            here[last] = value
        elif last == "-":
            here.append(value)
        else:
            index = _index(last, path)
            if index > len(here) or index < -len(here) - 1:
                raise _unprocessable(f"add operation does not apply: doc is missing path: {_quote(path)}: Unable to access invalid index: {index}: invalid index referenced")
            here.insert(index if index >= 0 else len(here) + 1 + index, value)

    def replace(self, path: str, value: Any) -> None:
        if path == "":
            self.doc = value
            return
        here, last = self.container(path, "replace")
        if _child(here, last) is _MISSING:
            _absent("replace", path, here, last)
        here[last if isinstance(here, dict) else _index(last, path)] = value

    def remove(self, path: str, what: str) -> None:
        if path == "":
            raise _unprocessable(f"{what} operation does not apply: the whole document cannot be removed")
        here, last = self.container(path, what)
        if _child(here, last) is _MISSING:
            _absent(what, path, here, last)
        del here[last if isinstance(here, dict) else _index(last, path)]

    def test(self, path: str, expected: Any) -> None:
        if path == "":
            value = self.doc
        else:
            here, last = self.container(path, "test")
            value = _child(here, last)
            if value is _MISSING:
                if expected is None and isinstance(here, dict):
                    return
                _absent("test", path, here, last)
        if not _same(value, expected):
            raise _unprocessable(f"testing value {path} failed: test failed" if path else "testing path  failed: test failed")


def _value_of(op: dict[str, Any]) -> Any:
    return op.get("value")


def _from_of(op: dict[str, Any]) -> str:
    source = op.get("from")
    if not isinstance(source, str):
        raise _unprocessable(f"{op.get('op')} operation failed to decode from: missing operation from path")
    return source


def _quote(path: str) -> str:
    return f'"{path}"'


def _missing(what: str, path: str) -> NoReturn:
    raise _unprocessable(f"{what} operation does not apply: doc is missing path: {_quote(path)}: missing value")


def _absent(what: str, path: str, here: Any, last: str) -> NoReturn:
    if isinstance(here, list):
        index = _index(last, path)
        message = f"Unable to access invalid index: {index}: invalid index referenced"
        raise _unprocessable(f"{what} operation does not apply: doc is missing key: {path}: {message}")
    if what == "remove":
        raise _unprocessable(f"Unable to remove nonexistent key: {last}: missing value")
    raise _unprocessable(f"{what} operation does not apply: doc is missing key: {path}: missing value")


def _index(text: str, path: str) -> int:
    if not _INDEX.match(text):
        raise _unprocessable(f'doc is missing path: {_quote(path)}: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _child(here: Any, part: str) -> Any:
    if isinstance(here, dict):
        return here.get(part, _MISSING)
    if isinstance(here, list) and _INDEX.match(part):
        index = int(part)
        if -len(here) <= index < len(here):
            return here[index]
    return _MISSING


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return 1


def _same(a: Any, b: Any) -> bool:
    """JSON equality: 1 equals 1.0, but true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


__all__ = ["MAX_OPERATIONS", "json_patch"]
