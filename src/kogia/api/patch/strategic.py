"""Strategic merge patch: a merge patch that knows which lists merge, and by which key.

The schema's `x-kubernetes-patch-strategy` and `-merge-key` decide; directives in the patch override:
`$patch: replace|delete|merge`, `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`. Where the schema says
nothing, maps merge and lists are replaced. Without a schema the patch type does not exist (415), as for custom resources.

Source: k8s.io/apimachinery pkg/util/strategicpatch; "Strategic Merge Patch" in the API conventions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kogia.api import schema
from kogia.api.jsoncopy import deep_copy, too_deep
from kogia.api.kinds import Obj, ResourceInfo
from kogia.api.schema import Node, Shape
from kogia.api.status import StatusError, bad_request, status_error, unsupported_media_type

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"
_UNTYPED_SUPPORT = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")


def strategic_merge(doc: Obj, patch: Any, resource: ResourceInfo) -> Obj:
    """`doc` with `patch` merged in by the rules of `resource`'s schema, as a new object.

    Errors: 400 BadRequest (malformed patch or directive), 422 Invalid ($retainKeys that forgets a field of the patch), 415 UnsupportedMediaType (no schema for the kind).
    Source: strategicpatch.StrategicMergeMapPatch.
    """
    node = schema.type_for(resource.group, resource.version, resource.kind)
    if node.shape is Shape.ANY:
        raise unsupported_media_type(_UNTYPED_SUPPORT)
    return merge_typed(doc, patch, node)


def merge_typed(doc: Obj, patch: Any, node: Node) -> Obj:
    """The same with the type given as a schema `Node` (subresource bodies, tests). Errors: 400 BadRequest."""
    if not isinstance(patch, dict):
        raise bad_request("Invalid JSON Patch")
    if too_deep(patch):
        raise bad_request("error decoding patch: exceeded max depth")
    return _merge_map(deep_copy(doc), patch, node)


def _bad(message: str) -> StatusError:
    return bad_request(message)


def _child(node: Node, key: str) -> Node:
    if node.shape is Shape.STRUCT:
        return node.fields.get(key, schema.ANY)
    if node.shape is Shape.MAP and node.item is not None:
        return node.item
    return schema.ANY


def _merge_map(original: Any, patch: dict[str, Any], node: Node) -> dict[str, Any]:
    """Merge into `original`, which is ours to change; nothing of the patch is shared with the result."""
    directive = patch.get(_DIRECTIVE)
    if directive is not None:
        if directive == "replace":
            return _clean_map({k: v for k, v in patch.items() if k != _DIRECTIVE})
        if directive == "delete":
            return {}
        if directive != "merge":
            raise _bad(f"unknown patch type: {directive} in map: {_show(patch)}")
    result: dict[str, Any] = original if isinstance(original, dict) else {}
    retain = patch.get(_RETAIN)
    if retain is not None:
        _retain_keys(result, patch, retain)
    lists = _parallel_lists(result, patch, node)
    for key, value in patch.items():
        if key in (_DIRECTIVE, _RETAIN) or key in lists or key.startswith((_ORDER, _DELETE)):
            continue
        if value is None:
            result.pop(key, None)
            continue
        child = _child(node, key)
        have = result.get(key)
        if isinstance(value, dict):
            replaced = "replace" in child.strategies and _DIRECTIVE not in value
            result[key] = _clean_map(value) if replaced else _merge_map(have, value, child)
        elif isinstance(value, list):
            result[key] = _merge_list(have if isinstance(have, list) else [], value, child)
        else:
            result[key] = value
    return result


def _retain_keys(result: dict[str, Any], patch: dict[str, Any], retain: Any) -> None:
    if not isinstance(retain, list) or not all(isinstance(k, str) for k in retain):
        raise _bad("invalid patch format of retainKeys")
    keep = set(retain)
    for key in patch:
        if key.startswith("$") or patch[key] is None:
            continue
        if key not in keep:
            raise status_error(422, "Invalid", "patch content doesn't match retainKeys list")
    for key in [k for k in result if k not in keep]:
        del result[key]


def _parallel_lists(result: dict[str, Any], patch: dict[str, Any], node: Node) -> set[str]:
    """Serve `$setElementOrder/x` and `$deleteFromPrimitiveList/x`; returns the list fields that are thereby done."""
    done: set[str] = set()
    names = dict.fromkeys(k.partition("/")[2] for k in patch if k.startswith((_ORDER, _DELETE)))
    for name in names:
        child = _child(node, name)
        drop = patch.get(_DELETE + name)
        order = patch.get(_ORDER + name)
        if (drop is not None and not isinstance(drop, list)) or (order is not None and not isinstance(order, list)):
            raise _bad(f"expected a list for the directive on {name}")
        current = result.get(name)
        have = [item for item in current if item not in (drop or ())] if isinstance(current, list) else []
        additions = patch.get(name)
        if additions is None and name in patch:
            result.pop(name, None)
            done.add(name)
            continue
        if isinstance(additions, list):
            have = _merge_list(have, additions, child)
        elif additions is not None:
            raise _bad(f"expected a list for {name}")
        done.add(name)
        if order is not None:
            _check_order(additions or [], order, child.merge_key, name)
            have = _reorder(have, order, _server_order(current, have, additions, child.merge_key), child.merge_key)
        if have or isinstance(current, list) or additions:
            result[name] = have
    return done


def _server_order(current: Any, merged: list[Any], additions: Any, merge_key: str) -> list[Any]:
    """The order that places items only the server has: the live list's, with new items in the places deleted ones left free.

    Upstream arrives there by reusing the live list's array, and its tests hold it to it.
    """
    if not isinstance(current, list):
        return []
    if not merge_key:
        return current
    left = {_identity(item, merge_key) for item in merged}
    stayed = [item for item in current if _identity(item, merge_key) in left]
    had = {_identity(item, merge_key) for item in current}
    new = [item for item in additions or () if _identity(item, merge_key) in left and _identity(item, merge_key) not in had]
    return (stayed + new)[:len(current)]


def _check_order(additions: list[Any], order: list[Any], merge_key: str, name: str) -> None:
    """The items a patch brings must stand in it in the order it demands."""
    listed = iter([_identity(entry, merge_key) for entry in order])
    for item in additions:
        if isinstance(item, dict) and item.get(_DIRECTIVE) is not None:
            continue
        identity = _identity(item, merge_key)
        if not any(identity == entry for entry in listed):
            raise _bad(f"The order in patch list:\n{_show(additions)}\n doesn't match {_ORDER}{name} list:\n{_show(order)}\n")


def _identity(item: Any, merge_key: str) -> Any:
    if isinstance(item, dict):
        return _hashable(item.get(merge_key))
    return _hashable(item)


def _hashable(value: Any) -> Any:
    return (type(value).__name__, value) if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def _places(items: list[Any], merge_key: str) -> dict[Any, int]:
    """Identity -> index of its first occurrence."""
    found: dict[Any, int] = {}
    for at, item in enumerate(items):
        found.setdefault(_identity(item, merge_key), at)
    return found


def _reorder(items: list[Any], order: list[Any], server: list[Any], merge_key: str) -> list[Any]:
    """Put the listed items into the given order; an item only the server has comes before the first listed one it preceded there.

    Source: strategicpatch.normalizeElementOrder / mergeSortedSlice.
    """
    place, server_place = _places(order, merge_key), _places(server, merge_key)
    listed: list[Any] = []
    others: list[Any] = []
    for item in items:
        (listed if _identity(item, merge_key) in place else others).append(item)
    listed.sort(key=lambda item: place[_identity(item, merge_key)])
    others.sort(key=lambda item: server_place.get(_identity(item, merge_key), len(server)))
    out: list[Any] = []
    waiting = iter(others)
    other = next(waiting, None)
    for item in listed:
        here = server_place.get(_identity(item, merge_key))
        while other is not None and here is not None and server_place.get(_identity(other, merge_key), len(server)) < here:
            out.append(other)
            other = next(waiting, None)
        out.append(item)
    if other is not None:
        out.append(other)
    return out + list(waiting)


def _merge_list(original: list[Any], patch: list[Any], node: Node) -> list[Any]:
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and len(item) == 1 for item in patch):
        return [_clean(item) for item in patch if not (isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and len(item) == 1)]
    if "merge" not in node.strategies:
        return [_clean(item) for item in patch]
    if all(not isinstance(item, (dict, list)) for item in _chain(original, patch)):
        return _reorder(_merge_primitives(original, patch), patch, original, "")
    if not node.merge_key:
        return [_clean(item) for item in patch]
    server = [{node.merge_key: item.get(node.merge_key)} for item in original if isinstance(item, dict)]
    merged = _merge_objects(original, patch, node)
    order = [item for item in patch if item.get(_DIRECTIVE) is None]
    return _reorder(merged, order, server, node.merge_key)


def _chain(a: list[Any], b: list[Any]) -> Iterable[Any]:
    yield from a
    yield from b


def _merge_primitives(original: list[Any], patch: list[Any]) -> list[Any]:
    seen: set[Any] = set()
    out = []
    for item in _chain(original, patch):
        if item not in seen:
            seen.add(item)
            out.append(item)
    return out


def _merge_objects(original: list[Any], patch: list[Any], node: Node) -> list[Any]:
    key = node.merge_key
    item_type = node.item or schema.ANY
    out = list(original)
    at: dict[Any, int] = {}
    for index, item in enumerate(out):
        if isinstance(item, dict) and key in item:
            at.setdefault(_identity(item, key), index)
    removed: set[int] = set()
    for item in patch:
        if not isinstance(item, dict):
            raise _bad("expected a list of objects in the patch")
        if key not in item:
            raise _bad(f"map: {_show(item)} does not contain declared merge key: {key}")
        identity = _identity(item, key)
        index = at.get(identity, -1)
        directive = item.get(_DIRECTIVE)
        if directive == "delete":
            removed.update(i for i, have in enumerate(out) if isinstance(have, dict) and _identity(have, key) == identity)
            at.pop(identity, None)
        elif directive == "replace":
            fresh = _clean_map({k: v for k, v in item.items() if k != _DIRECTIVE})
            index = _put(out, at, identity, index, fresh)
        else:
            merged = _merge_map(out[index] if index >= 0 else {}, item, item_type)
            index = _put(out, at, identity, index, merged)
    return [item for i, item in enumerate(out) if i not in removed] if removed else out


def _put(out: list[Any], at: dict[Any, int], identity: Any, index: int, item: Any) -> int:
    if index < 0:
        index = at[identity] = len(out)
        out.append(item)
    else:
        out[index] = item
    return index


def _show(value: Any) -> str:
    """A value as Go's %v prints it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_show(v)}" for k, v in sorted(value.items())) + "]"
    return "[" + " ".join(map(_show, value)) + "]" if isinstance(value, list) else str(value)


def _clean_map(value: dict[str, Any]) -> dict[str, Any]:
    """A copy without directives and nulls: what a patch adds where nothing was."""
    return {k: _clean(v) for k, v in value.items() if v is not None and not _is_directive(k)}


def _is_directive(key: str) -> bool:
    return key in (_DIRECTIVE, _RETAIN) or key.startswith((_ORDER, _DELETE))


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return _clean_map(value)
    if isinstance(value, list):
        return [_clean(v) for v in value]
    return value
