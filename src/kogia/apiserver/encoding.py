"""How objects become stored bytes, and how the revision gets into them without encoding again.

Stored bytes are JSON that begins `{"kind":K,"apiVersion":V,"metadata":{"resourceVersion":"","name":…`: the resource version, which
is only known after the commit, has an empty place near the front. `with_revision` fills that place; everything that reads an object
(GET, LIST, watch) sends such bytes as they are.
"""

from __future__ import annotations

from typing import Any

import orjson

Obj = dict[str, Any]

_MARK = b'"metadata":{"resourceVersion":"'
_HEAD = 600  #: the mark lies within so many bytes of any object's start

#: metadata's fields in the order Kubernetes prints them
_ORDER = (
    "name", "generateName", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "labels", "annotations", "ownerReferences", "finalizers", "managedFields",
)
_KNOWN = frozenset((*_ORDER, "resourceVersion", "selfLink"))
_ENVELOPE = frozenset(("kind", "apiVersion", "metadata"))


def encode(obj: Obj) -> bytes:
    """The bytes to store: resource version left empty. `obj` needs kind, apiVersion and metadata."""
    meta = obj["metadata"]
    ordered: Obj = {"resourceVersion": ""}
    for name in _ORDER:
        value = meta.get(name)
        if value is not None:
            ordered[name] = value
    if not meta.keys() <= _KNOWN:
        ordered.update((k, v) for k, v in meta.items() if k not in _KNOWN)
    shaped = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": ordered}
    shaped.update((k, v) for k, v in obj.items() if k not in _ENVELOPE)
    return orjson.dumps(shaped)


def with_revision(data: bytes, revision: int) -> bytes:
    """`data` with its resource version, empty or not, replaced. Bytes of foreign make are encoded anew."""
    at = data.find(_MARK, 0, _HEAD)
    if at < 0:
        return with_revision(encode(orjson.loads(data)), revision)
    at += len(_MARK)
    end = data.index(b'"', at)
    return b"%b%d%b" % (data[:at], revision, data[end:])


def without_revision(data: bytes) -> bytes:
    """Encoded, never stored bytes as a dry run answers them: without a resource version."""
    return data.replace(b'"resourceVersion":"",', b"", 1)


def decode(data: bytes) -> Obj:
    """A private dict of stored or spliced bytes."""
    obj: Obj = orjson.loads(data)
    return obj


def dump(value: Any) -> bytes:
    """Plain JSON of anything that is not stored."""
    return orjson.dumps(value)
