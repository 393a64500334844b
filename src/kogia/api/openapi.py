"""The published schema as Kubernetes publishes it: definitions for `/openapi/v2` and `/openapi/v3/...`, descriptions included.

The package the schema is cut from widened optional types with "null", pinned apiVersion and kind by enums, and rewrote Quantity and
IntOrString; all of that is undone here. Paths are the server's business. Nothing is kept in memory: callers cache encoded bytes.

Source: kube-openapi builder and builder3, as seen in the published swagger.json and api/openapi-spec/v3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kogia.api import schema
from kogia.api.schema import META, Definition

_DEFS = "#/$defs/"
V2_REF = "#/definitions/"
V3_REF = "#/components/schemas/"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
#: definitions every group's document needs for its operations
COMMON_ROOTS = tuple(META + name for name in ("APIResourceList", "DeleteOptions", "Patch", "Status", "WatchEvent"))
_QUANTITY_TEXT = (
    "Quantity is a fixed-point representation of a number. It is written as a number with an optional suffix: decimal (n, u, m, k, M, "
    "G, T, P, E), binary (Ki, Mi, Gi, Ti, Pi, Ei), or a decimal exponent (e3). It is always printed in the one canonical form."
)
_INT_OR_STRING_TEXT = "IntOrString is a number, or a string: a percentage, or the name of a port."


def openapi_v2() -> dict[str, Definition]:
    """Every definition, `$ref`s to `#/definitions/`: the `definitions` of a swagger 2.0 document. A fresh dict, about 2 MB of JSON."""
    return {name: _clean(name, body, V2_REF) for name, body in schema.read_blob().items()}


def openapi_v3(group: str, version: str, extra_roots: Iterable[str] = ()) -> dict[str, Definition]:
    """The definitions one group version's kinds reach, `$ref`s to `#/components/schemas/`: `components.schemas` of its document.

    Shape: extra_roots names more definitions to start from (bodies of subresources that live in other groups).
    """
    everything = schema.read_blob()
    roots = [name for (g, v, _), name in schema.kinds().items() if (g, v) == (group, version)]
    wanted = reachable([*roots, *COMMON_ROOTS, *extra_roots], everything)
    return {name: _clean(name, everything[name], V3_REF) for name in sorted(wanted)}


def reachable(roots: Iterable[str], everything: dict[str, Definition]) -> set[str]:
    """The definitions the roots lead to, themselves included; unknown names are dropped."""
    found: set[str] = set()
    todo = [name for name in roots if name in everything]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _refs(everything[name])
    return found


def _refs(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _refs(item)]
    if not isinstance(value, dict):
        return []
    names = [name for item in value.values() for name in _refs(item)]
    ref = value.get("$ref")
    if isinstance(ref, str) and ref.startswith(_DEFS):
        names.append(ref[len(_DEFS):])
    return names


def _clean(name: str, body: Definition, prefix: str) -> Definition:
    v3 = prefix == V3_REF
    if name == _QUANTITY:
        kind: Definition = {"oneOf": [{"type": "string"}, {"type": "number"}]} if v3 else {"type": "string"}
        return {"description": body.get("description", _QUANTITY_TEXT), **kind}
    if name == _INT_OR_STRING:
        kind = {"oneOf": [{"type": "integer"}, {"type": "string"}]} if v3 else {"type": "string"}
        return {"description": body.get("description", _INT_OR_STRING_TEXT), "format": "int-or-string", **kind}
    cleaned = _clean_schema(body, prefix)
    if "x-kubernetes-group-version-kind" in body:
        for field in ("apiVersion", "kind"):
            cleaned.get("properties", {}).get(field, {}).pop("enum", None)
    return cleaned


def _clean_schema(body: Definition, prefix: str) -> Definition:
    out: Definition = {}
    for key, value in body.items():
        if key == "type" and isinstance(value, list):
            out["type"] = value[0]
        elif key == "$ref":
            out["$ref"] = prefix + value[len(_DEFS):]
        elif key == "properties":
            out["properties"] = {name: _clean_schema(field, prefix) for name, field in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = _clean_schema(value, prefix)
        elif key in ("oneOf", "anyOf", "allOf"):
            out[key] = [_clean_schema(item, prefix) for item in value]
        else:
            out[key] = value
    if prefix == V3_REF and "$ref" in out and len(out) > 1:
        out["allOf"] = [{"$ref": out.pop("$ref")}]
    return out
