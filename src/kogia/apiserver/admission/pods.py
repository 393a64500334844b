"""What Pods get on their way in: tolerations, priority, overhead. And a Node its first taint, a claim its class.

Source: plugin/pkg/admission/{defaulttolerationseconds,priority,runtimeclass,nodetaint,storage/storageclass/setdefault}.
"""

from __future__ import annotations

from typing import Any

from kogia.api.status import forbidden
from kogia.apiserver.interface import AdmissionAttributes, ReadCache

Obj = dict[str, Any]
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
TOLERATION_SECONDS = 300
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
MIRROR = "kubernetes.io/config.mirror"


def default_toleration_seconds(a: AdmissionAttributes) -> None:
    assert a.obj is not None
    spec = a.obj.setdefault("spec", {})
    tolerations = spec.get("tolerations") or []
    added = []
    for key in (NOT_READY, UNREACHABLE):
        if not any(t.get("key") in (key, "", None) and t.get("effect") in ("NoExecute", "", None) for t in tolerations):
            added.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS})
    if added:
        spec["tolerations"] = [*tolerations, *added]


def taint_new_node(a: AdmissionAttributes) -> None:
    """A Node starts out not ready, so that nothing is scheduled there until a controller has seen it well."""
    assert a.obj is not None
    spec = a.obj.setdefault("spec", {})
    taints = spec.get("taints") or []
    if not any(t.get("key") == NOT_READY and t.get("effect") == "NoSchedule" for t in taints):
        spec["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]


class Priority:
    def __init__(self, cache: ReadCache) -> None:
        self._cache = cache

    def admit_pod(self, a: AdmissionAttributes) -> None:
        assert a.obj is not None
        if a.operation == "UPDATE":
            self._keep(a)
            return
        spec = a.obj.setdefault("spec", {})
        if spec.get("priorityClassName"):
            found = self._class(spec["priorityClassName"])
            if found is None:
                raise forbidden("pods", a.name, f"no PriorityClass with name {spec['priorityClassName']} was found")
        else:
            found = self._default()
            if found is not None:
                spec["priorityClassName"] = found["metadata"]["name"]
        value = found["value"] if found else 0
        policy = (found.get("preemptionPolicy") if found else None) or "PreemptLowerPriority"
        if spec.get("priority") is not None and spec["priority"] != value:
            raise forbidden("pods", a.name, f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                            f"priority admission controller computed {value} from the given PriorityClass name")
        spec["priority"] = value
        if spec.get("preemptionPolicy") and spec["preemptionPolicy"] != policy:
            raise forbidden("pods", a.name, f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                            f"priority admission controller computed {policy} from the given PriorityClass name")
        spec["preemptionPolicy"] = policy

    @staticmethod
    def _keep(a: AdmissionAttributes) -> None:
        """An update that leaves the computed fields out means them unchanged."""
        new, old = a.obj, a.old
        if new is None or old is None:
            return
        for field in ("priority", "preemptionPolicy"):
            if new.get("spec", {}).get(field) is None and old.get("spec", {}).get(field) is not None:
                new["spec"][field] = old["spec"][field]

    def _class(self, name: str) -> Obj | None:
        found = self._cache.get(("scheduling.k8s.io", "priorityclasses"), name)
        return found.object() if found is not None else None

    def _default(self) -> Obj | None:
        """The global default; of several, the lowest."""
        defaults = [o for o in (c.object() for c in self._cache.list(("scheduling.k8s.io", "priorityclasses"))) if o.get("globalDefault")]
        return min(defaults, key=lambda o: o["value"], default=None)

    def validate_class(self, a: AdmissionAttributes) -> None:
        assert a.obj is not None
        if a.obj.get("globalDefault"):
            other = self._default()
            if other is not None and other["metadata"]["name"] != a.obj["metadata"].get("name"):
                raise forbidden("priorityclasses", a.name, f"PriorityClass {other['metadata']['name']} is already marked as globalDefault",
                                "scheduling.k8s.io")


class RuntimeClass:
    def __init__(self, cache: ReadCache) -> None:
        self._cache = cache

    def __call__(self, a: AdmissionAttributes) -> None:
        assert a.obj is not None
        spec = a.obj.setdefault("spec", {})
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise forbidden("pods", a.name, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
            return
        found = self._cache.get(("node.k8s.io", "runtimeclasses"), name)
        if found is None:
            raise forbidden("pods", a.name, f'pod rejected: RuntimeClass "{name}" not found')
        wanted = found.object()
        overhead = (wanted.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and spec["overhead"] != overhead:
                raise forbidden("pods", a.name, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = dict(overhead)
        elif spec.get("overhead"):
            raise forbidden("pods", a.name, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        scheduling = wanted.get("scheduling") or {}
        selector = spec.get("nodeSelector") or {}
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.get(key, value) != value:
                raise forbidden("pods", a.name, f'conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {selector[key]}')
            selector = {**selector, key: value}
        if selector:
            spec["nodeSelector"] = selector
        tolerations = spec.get("tolerations") or []
        extra = [t for t in scheduling.get("tolerations") or () if t not in tolerations]
        if extra:
            spec["tolerations"] = [*tolerations, *extra]


class DefaultStorageClass:
    def __init__(self, cache: ReadCache) -> None:
        self._cache = cache

    def __call__(self, a: AdmissionAttributes) -> None:
        assert a.obj is not None
        spec = a.obj.setdefault("spec", {})
        annotations = a.obj["metadata"].get("annotations") or {}
        if spec.get("storageClassName") is not None or "volume.beta.kubernetes.io/storage-class" in annotations:
            return
        classes = [c.object()["metadata"] for c in self._cache.list(("storage.k8s.io", "storageclasses"))]
        defaults = [m for m in classes if (m.get("annotations") or {}).get(DEFAULT_CLASS) == "true"]
        if defaults:
            newest = max(m["creationTimestamp"] for m in defaults)
            spec["storageClassName"] = min(m["name"] for m in defaults if m["creationTimestamp"] == newest)
