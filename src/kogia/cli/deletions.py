"""What a strategic merge patch must say to drop things: nulls, `$patch: delete` by merge key, primitives to remove.

Walks the schema beside the objects; pure.
"""

from __future__ import annotations

from typing import Any

from kogia.api import schema
from kogia.api.kinds import ResourceInfo

Obj = dict[str, Any]


def element_of(resource: ResourceInfo) -> schema.Node:
    """The schema's type of a kind's objects."""
    return schema.type_for(resource.group, resource.version, resource.kind)


def add_deletions(patch: Obj, original: Obj, node: schema.Node) -> None:
    """Add to `patch` (changed in place) the deletion of all that `original` has and `patch` has not."""
    for key, old in original.items():
        if key not in patch:
            patch[key] = None
            continue
        new, field = patch[key], node.fields.get(key, schema.ANY)
        if isinstance(old, dict) and isinstance(new, dict):
            add_deletions(new, old, field)
        elif isinstance(old, list) and isinstance(new, list) and "merge" in field.strategies:
            if field.merge_key:
                _keyed(new, old, field.merge_key, field.item or schema.ANY)
            else:
                gone = [x for x in old if x not in new]
                if gone:
                    patch[f"$deleteFromPrimitiveList/{key}"] = gone


def _keyed(new: list[Any], old: list[Any], merge_key: str, node: schema.Node) -> None:
    by_key = {item.get(merge_key): item for item in new if isinstance(item, dict)}
    for item in old:
        if not isinstance(item, dict) or merge_key not in item:
            continue
        if item[merge_key] not in by_key:
            new.append({"$patch": "delete", merge_key: item[merge_key]})
        else:
            add_deletions(by_key[item[merge_key]], item, node)
