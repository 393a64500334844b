"""LimitRanger: default requests and limits for containers, and bounds for containers, Pods and claims.

Source: plugin/pkg/admission/limitranger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kogia.api.quantity import Quantity, parse
from kogia.api.status import forbidden
from kogia.apiserver.interface import AdmissionAttributes, ReadCache

Obj = dict[str, Any]
ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger:
    def __init__(self, cache: ReadCache) -> None:
        self._cache = cache

    def _limits(self, namespace: str) -> list[Obj]:
        items = [c.object() for c in self._cache.list(("", "limitranges"), namespace)]
        return [limit for item in items for limit in (item.get("spec") or {}).get("limits") or ()]

    def mutate(self, a: AdmissionAttributes) -> None:
        assert a.obj is not None
        limits = [x for x in self._limits(a.namespace) if x.get("type") == "Container"]
        notes: list[str] = []
        for limit in limits:
            for kind, word in (("containers", "container"), ("initContainers", "init container")):
                for container in (a.obj.get("spec") or {}).get(kind) or ():
                    notes += _fill(container, limit, word)
        if notes:
            annotations = a.obj["metadata"].setdefault("annotations", {})
            annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)

    def validate(self, a: AdmissionAttributes) -> None:
        assert a.obj is not None
        errors: list[str] = []
        for limit in self._limits(a.namespace):
            kind = limit.get("type")
            if a.resource.plural == "persistentvolumeclaims":
                if kind == "PersistentVolumeClaim":
                    requests = ((a.obj.get("spec") or {}).get("resources") or {}).get("requests") or {}
                    errors += _bounds(kind, limit, requests, {}, claims=True)
                continue
            spec = a.obj.get("spec") or {}
            if kind == "Container":
                for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
                    resources = container.get("resources") or {}
                    errors += _bounds(kind, limit, resources.get("requests") or {}, resources.get("limits") or {})
            elif kind == "Pod":
                errors += _bounds(kind, limit, _total(spec, "requests"), _total(spec, "limits"))
        if errors:
            text = errors[0] if len(errors) == 1 else "[" + ", ".join(errors) + "]"
            raise forbidden(a.resource.plural, a.name, text, a.resource.group)


def _fill(container: Obj, limit: Obj, word: str) -> list[str]:
    """Set what is missing of requests, then of limits; the words for the annotation."""
    notes = []
    resources = container.setdefault("resources", {})
    for field, source, noun in (("requests", "defaultRequest", "request"), ("limits", "default", "limit")):
        defaults = limit.get(source) or {}
        present = resources.get(field) or {}
        missing = sorted(name for name in defaults if name not in present)
        if missing:
            resources[field] = {**present, **{name: defaults[name] for name in missing}}
            notes.append(f"{', '.join(missing)} {noun} for {word} {container.get('name', '')}")
    return notes


def _total(spec: Obj, field: str) -> Obj:
    """Sum over containers, or the largest init container where that is more; a resource one container leaves out is not limited at all."""
    containers = [(c.get("resources") or {}).get(field) or {} for c in spec.get("containers") or ()]
    names = set.intersection(*(set(c) for c in containers)) if containers and field == "limits" else {n for c in containers for n in c}
    totals: dict[str, Quantity] = {}
    for name in names:
        for values in containers:
            if name in values:
                value = parse(values[name])
                totals[name] = totals[name] + value if name in totals else value
    for init in spec.get("initContainers") or ():
        for name, text in ((init.get("resources") or {}).get(field) or {}).items():
            value = parse(text)
            if name not in totals or value > totals[name]:
                totals[name] = value
    return {name: str(q) for name, q in totals.items()}


def _bounds(kind: str, limit: Obj, requests: Obj, limits: Obj, *, claims: bool = False) -> list[str]:
    errors = []
    for name, bound in (limit.get("min") or {}).items():
        errors += _compare(kind, name, bound, requests.get(name), "minimum", "request", lambda have, want: have < want)
        if not claims and name in limits:
            errors += _compare(kind, name, bound, limits.get(name), "minimum", "limit", lambda have, want: have < want)
    for name, bound in (limit.get("max") or {}).items():
        if claims:
            errors += _compare(kind, name, bound, requests.get(name), "maximum", "request", lambda have, want: have > want)
        else:
            errors += _compare(kind, name, bound, limits.get(name), "maximum", "limit", lambda have, want: have > want)
            if name in requests:
                errors += _compare(kind, name, bound, requests[name], "maximum", "request", lambda have, want: have > want)
    for name, bound in (limit.get("maxLimitRequestRatio") or {}).items():
        errors += _ratio(kind, name, bound, requests.get(name), limits.get(name))
    return errors


def _compare(kind: str, name: str, bound: Any, have: Any, which: str, noun: str, broken: Callable[[Any, Any], bool]) -> list[str]:
    if have is None:
        return [f"{which} {name} usage per {kind} is {bound}.  No {noun} is specified"]
    if broken(parse(have), parse(bound)):
        return [f"{which} {name} usage per {kind} is {bound}, but {noun} is {have}"]
    return []


def _ratio(kind: str, name: str, bound: Any, request: Any, limit: Any) -> list[str]:
    if request is None or limit is None or parse(request).is_zero():
        return [f"{name} max limit to request ratio per {kind} is {bound}, but no request is specified or request is 0"]
    ratio = parse(limit).value_exact / parse(request).value_exact
    if ratio > parse(bound).value_exact:
        return [f"{name} max limit to request ratio per {kind} is {bound}, but provided ratio is {float(ratio):.6f}"]
    return []
