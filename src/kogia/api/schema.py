"""What the published schema knows about every built-in type: fields, scalar formats, list kinds, merge keys.

`data/schema.bin` (made by tools/build_data.py) is the only source; nothing about types is typed by hand except the few facts the
package dropped (`KEY_DEFAULTS`, `STRUCTURAL`). Descriptions are thrown away at load: `openapi.py` reads the blob again when
somebody asks for documentation. `decode`, `patch` and `apply` walk the `Node` trees made here, lazily, one struct at a time.

Invariants: a `Struct` exists once per definition name; `Node`s are immutable after they were made; loading happens at first use.
"""

from __future__ import annotations

import sys
import threading
import zlib
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

Definition = dict[str, Any]
_BLOB = Path(__file__).with_name("data") / "schema.bin"
_REF = "#/$defs/"
_PREFIX_LENGTH = len(_REF)
META = "io.k8s.apimachinery.pkg.apis.meta.v1."


class Shape(IntEnum):
    """What a JSON value of a type looks like; SCALAR's `Node.scalar` says more."""

    SCALAR = 0
    STRUCT = 1
    MAP = 2
    LIST = 3
    ANY = 4


#: definitions that are one JSON scalar with rules of its own
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    META + "Time": "time",
    META + "MicroTime": "microtime",
}
_JSON_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
#: definitions that hold anything
FREE_FORM = frozenset({
    META + "FieldsV1", "io.k8s.apimachinery.pkg.runtime.RawExtension", META + "Patch",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    _JSON_SCHEMA + "OrArray", _JSON_SCHEMA + "OrBool", _JSON_SCHEMA + "OrStringArray",
})
#: (definition, field) -> default of a list-map key; Kubernetes publishes these, the package that carries the schema does not
KEY_DEFAULTS: dict[tuple[str, str], Any] = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
}


class Node:
    """The type of one field (or list item, or map value) together with what the field says about merging.

    shape, scalar ("string", "boolean", "int32", "int64", "double", "byte", or one of SCALARS), struct (STRUCT only), item (MAP
    values, LIST items), list_type ("atomic", "set", "map"), list_keys with `key_defaults`, atomic (struct or map replaced as a
    whole by apply), strategies and merge_key (strategic merge patch), required (never omitted by Kubernetes when empty).
    """

    __slots__ = ("atomic", "fast", "item", "key_defaults", "list_keys", "list_type", "merge_key", "scalar", "shape", "strategies", "struct")

    def __init__(self, shape: Shape, *, scalar: str = "", struct: Struct | None = None, item: Node | None = None) -> None:
        self.shape = shape
        self.scalar = scalar
        self.struct = struct
        self.item = item
        self.list_type = "atomic"
        self.list_keys: tuple[str, ...] = ()
        self.key_defaults: dict[str, Any] = {}
        self.atomic = False
        self.strategies: frozenset[str] = frozenset()
        self.merge_key = ""
        self.fast: Any = None  # decode's recogniser, made on demand

    @property
    def fields(self) -> dict[str, Node]:
        return self.struct.fields if self.struct is not None else {}

    def __repr__(self) -> str:
        inner = self.struct.name if self.struct else self.scalar or (repr(self.item) if self.item else "")
        return f"<{self.shape.name} {inner}>"


class Struct:
    """One definition with named fields. `short` is the Go struct's name, `package` its Go package as error messages show it."""

    __slots__ = ("_fields", "atomic", "name", "package", "raw", "required", "short")

    def __init__(self, name: str, raw: Definition) -> None:
        self.name = name
        self.raw = raw
        parts = name.rsplit(".", 2)
        self.short = parts[-1]
        self.package = parts[-2] if len(parts) > 1 else ""
        self.required = frozenset(raw.get("required", ()))
        self.atomic = raw.get("x-kubernetes-map-type") == "atomic"
        self._fields: dict[str, Node] | None = None

    @property
    def fields(self) -> dict[str, Node]:
        made = self._fields
        if made is None:
            made = self._fields = {sys.intern(k): node_of(v) for k, v in self.raw.get("properties", {}).items()}
        return made


#: the type of what no schema describes: maps merge, lists are atomic
ANY = Node(Shape.ANY)
_STRING = Node(Shape.SCALAR, scalar="string")
_lock = threading.Lock()
_raw: dict[str, Definition] | None = None
_structs: dict[str, Struct] = {}


def read_blob() -> dict[str, Definition]:
    """The whole published schema with descriptions, freshly parsed (about 8 ms and 4 MB): for documentation only."""
    import orjson

    data: dict[str, Definition] = orjson.loads(zlib.decompress(_BLOB.read_bytes()))
    return data


def _without_descriptions(definitions: dict[str, Definition]) -> dict[str, Definition]:
    for body in definitions.values():
        body.pop("description", None)
        for field in body.get("properties", {}).values():
            if isinstance(field.get("description", ""), str):
                field.pop("description", None)
    return definitions


def definitions() -> dict[str, Definition]:
    """All definitions by name, without descriptions; shared, read only."""
    global _raw
    if _raw is None:
        with _lock:
            if _raw is None:
                _raw = _without_descriptions(read_blob())
    return _raw


def definition(name: str) -> Definition:
    """The raw JSON schema of one definition, e.g. `io.k8s.api.core.v1.Pod`. Errors: KeyError."""
    return definitions()[name]


@lru_cache(maxsize=1)
def _by_kind() -> dict[tuple[str, str, str], str]:
    found: dict[tuple[str, str, str], str] = {}
    for name, body in definitions().items():
        for gvk in body.get("x-kubernetes-group-version-kind", ()):
            found[(gvk["group"], gvk["version"], gvk["kind"])] = name
    return found


def definition_for(group: str, version: str, kind: str) -> str:
    """The definition's name for a kind, "" when the schema has none (custom resources)."""
    return _by_kind().get((group, version, kind), "")


def kinds() -> dict[tuple[str, str, str], str]:
    """Every (group, version, kind) the schema names -> definition name; shared, read only."""
    return _by_kind()


def struct(name: str) -> Struct:
    """The struct of a definition name. Errors: KeyError for unknown names."""
    found = _structs.get(name)
    if found is None:
        found = _structs.setdefault(name, Struct(name, definitions()[name]))
    return found


def _scalar_of(schema: Definition, kind: str) -> Node:
    fmt = schema.get("format", "")
    if kind == "string":
        return Node(Shape.SCALAR, scalar="byte") if fmt == "byte" else _STRING
    if kind == "integer":
        return Node(Shape.SCALAR, scalar=fmt or "int64")
    return Node(Shape.SCALAR, scalar="double" if kind == "number" else kind)


def _ref_node(name: str) -> Node:
    if name in SCALARS:
        return Node(Shape.SCALAR, scalar=SCALARS[name])
    if name in FREE_FORM:
        return Node(Shape.ANY)
    node = Node(Shape.STRUCT, struct=struct(name))
    node.atomic = node.struct.atomic  # type: ignore[union-attr]
    return node


def node_of(schema: Definition) -> Node:
    """The `Node` for a (sub)schema of the blob: `$ref`, scalar, array, map or free form."""
    ref = schema.get("$ref")
    kind = schema.get("type", "")
    if isinstance(kind, list):
        kind = kind[0]
    if ref is not None:
        node = _ref_node(ref[_PREFIX_LENGTH:])
    elif kind == "array":
        node = _list_node(schema)
    elif kind == "object":
        values = schema.get("additionalProperties")
        node = Node(Shape.MAP, item=node_of(values)) if isinstance(values, dict) else Node(Shape.ANY)
    elif kind:
        node = _scalar_of(schema, kind)
        if node is _STRING:
            return node
    else:
        node = Node(Shape.ANY)
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None:
        node.atomic = map_type == "atomic"
    strategy = schema.get("x-kubernetes-patch-strategy")
    if strategy:
        node.strategies = frozenset(strategy.split(","))
        node.merge_key = schema.get("x-kubernetes-patch-merge-key", "")
    return node


def _list_node(schema: Definition) -> Node:
    node = Node(Shape.LIST, item=node_of(schema.get("items", {})))
    node.list_type = schema.get("x-kubernetes-list-type", "atomic")
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if keys and node.item is not None and node.item.struct is not None:
        node.list_keys = tuple(keys)
        name = node.item.struct.name
        node.key_defaults = {k: KEY_DEFAULTS[name, k] for k in keys if (name, k) in KEY_DEFAULTS}
    elif node.list_type == "map":
        node.list_type = "atomic"
    return node


def type_of(name: str) -> Node:
    """The `Node` of a definition by name; `ANY` for "" or an unknown name."""
    if not name or name not in definitions():
        return ANY
    return _type_of(name)


@lru_cache(maxsize=1024)
def _type_of(name: str) -> Node:
    return _ref_node(name)


@lru_cache(maxsize=1024)
def type_for(group: str, version: str, kind: str) -> Node:
    """The `Node` of a kind; `ANY` when the schema does not know it (custom resources)."""
    return type_of(definition_for(group, version, kind))


def field(node: Node, path: str) -> Node | None:
    """Look a field up by dotted path (`spec.containers.image`); lists and maps are entered without naming an index.

    None when there is no such field.
    """
    for part in path.split("."):
        while node.shape is Shape.LIST and node.item is not None:
            node = node.item
        if node.shape is Shape.STRUCT:
            found = node.fields.get(part)
            if found is None:
                return None
            node = found
        elif node.shape is Shape.MAP and node.item is not None:
            node = node.item
        elif node.shape is not Shape.ANY:
            return None
    return node


def object_meta() -> Node:
    """The type of `metadata`; custom resources have it too."""
    return type_of(META + "ObjectMeta")
