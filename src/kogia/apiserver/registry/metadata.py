"""What the server itself writes into `metadata`; its rules are the strategies' (`kogia.api.meta`). Pure.

Source: k8s.io/apiserver registry/rest (FillObjectMetaSystemFields, BeforeCreate, BeforeUpdate, BeforeDelete).
"""

from __future__ import annotations

import uuid
from typing import Any

from kogia.api.kinds import ResourceInfo
from kogia.api.meta import generate_name
from kogia.api.status import bad_request, conflict, status_error
from kogia.base.clock import rfc3339

Obj = dict[str, Any]

def fill_new(obj: Obj, row: ResourceInfo, namespace: str, now: float) -> None:
    """Name, namespace, uid and creation time of a new object; drops what a creator may not say. Errors: 400, 500."""
    meta = obj["metadata"]
    if meta.get("resourceVersion"):
        raise status_error(500, "InternalError", "resourceVersion should not be set on objects to be created")
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
        meta.pop(name, None)
    place(meta, row, namespace)
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = generate_name(meta["generateName"])
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = rfc3339(now)


def place(meta: Obj, row: ResourceInfo, namespace: str) -> None:
    """Hold the object's namespace against the request's. Errors: 400."""
    if not row.namespaced:
        if not meta.get("namespace"):
            meta.pop("namespace", None)
        return
    said = meta.get("namespace")
    if said and namespace and said != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    meta["namespace"] = namespace or said or ""


def match_name(obj: Obj, name: str) -> None:
    """Hold the object's name against the URL's. Errors: 400."""
    meta = obj["metadata"]
    said = meta.get("name")
    if said and said != name:
        raise bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")
    meta["name"] = name


def carry_over(meta: Obj, before: Obj, plural: str, group: str) -> None:
    """Give new metadata what an update may not change but may leave out. Errors: 409 when it is another object's."""
    uid = meta.get("uid")
    if uid and uid != before.get("uid"):
        raise conflict(plural, before["name"], f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before.get('uid', '')}", group)
    for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"):
        if name in before:
            meta[name] = before[name]
        elif name != "generateName":
            meta.pop(name, None)
    meta.pop("selfLink", None)


def is_unchanged(new: Obj, old: Obj) -> bool:
    """Whether a write would change nothing but times in managedFields; resourceVersion aside."""
    if new.keys() != old.keys():
        return False
    for key, value in new.items():
        if key != "metadata" and value != old[key]:
            return False
    before, after = old["metadata"], new["metadata"]
    for key in before.keys() | after.keys():
        if key == "resourceVersion":
            continue
        left, right = before.get(key), after.get(key)
        if left != right and not (key == "managedFields" and _timeless(left) == _timeless(right)):
            return False
    return True


def _timeless(entries: Any) -> list[Obj]:
    return [{k: v for k, v in entry.items() if k != "time"} for entry in entries or ()]


def strip_empty(obj: Obj) -> None:
    """Metadata maps and lists that are empty are not kept, as Go's omitempty would have it."""
    meta = obj["metadata"]
    for name in ("labels", "annotations", "ownerReferences", "finalizers", "managedFields", "generateName"):
        if name in meta and not meta[name]:
            del meta[name]
