"""Tables of what makes Pods: Deployment, ReplicaSet, StatefulSet, DaemonSet, ReplicationController, Job, CronJob, and of HPA and PDB.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from typing import Any

from kogia.api.meta import controller_of
from kogia.api.tables.age import age, duration
from kogia.api.tables.model import age_of, name_of, table
from kogia.api.tables.text import (
    NONE,
    UNKNOWN,
    UNSET,
    amount,
    bool_text,
    condition,
    container_cells,
    label_text,
    meta,
    number,
    selector_text,
    spec,
    status,
)
from kogia.base.clock import parse_rfc3339

Obj = dict[str, Any]


def _deployment(obj: Obj, now: float) -> list[Any]:
    inner, state = spec(obj), status(obj)
    return [
        name_of(obj), f"{number(state, 'readyReplicas')}/{number(inner, 'replicas')}", number(state, "updatedReplicas"),
        number(state, "availableReplicas"), age_of(obj, now), *container_cells(inner.get("template")), selector_text(inner.get("selector")),
    ]


def _replica_set(obj: Obj, now: float) -> list[Any]:
    inner, state = spec(obj), status(obj)
    return [
        name_of(obj), number(inner, "replicas"), number(state, "replicas"), number(state, "readyReplicas"), age_of(obj, now),
        *container_cells(inner.get("template")), selector_text(inner.get("selector")),
    ]


def _replication_controller(obj: Obj, now: float) -> list[Any]:
    inner, state = spec(obj), status(obj)
    return [
        name_of(obj), number(inner, "replicas"), number(state, "replicas"), number(state, "readyReplicas"), age_of(obj, now),
        *container_cells(inner.get("template")), label_text(inner.get("selector")),
    ]


def _stateful_set(obj: Obj, now: float) -> list[Any]:
    inner, state = spec(obj), status(obj)
    ready = f"{number(state, 'readyReplicas')}/{number(inner, 'replicas')}"
    return [name_of(obj), ready, age_of(obj, now), *container_cells(inner.get("template"))]


def _daemon_set(obj: Obj, now: float) -> list[Any]:
    inner, state = spec(obj), status(obj)
    counts = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable")
    return [
        name_of(obj), *(number(state, field) for field in counts), label_text(spec(inner.get("template") or {}).get("nodeSelector")),
        age_of(obj, now), *container_cells(inner.get("template")), selector_text(inner.get("selector")),
    ]


def _job_status(obj: Obj) -> str:
    def holds(kind: str) -> bool:
        found = condition(obj, kind)
        return found is not None and found.get("status") == "True"

    if holds("Complete"):
        return "Complete"
    if holds("Failed"):
        return "Failed"
    if meta(obj).get("deletionTimestamp"):
        return "Terminating"
    return next((kind for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if holds(kind)), "Running")


def _job(obj: Obj, now: float) -> list[Any]:
    inner, state = spec(obj), status(obj)
    done = number(state, "succeeded")
    if inner.get("completions") is not None:
        completions = f"{done}/{inner['completions']}"
    elif number(inner, "parallelism") > 1:
        completions = f"{done}/1 of {inner['parallelism']}"
    else:
        completions = f"{done}/1"
    took = ""
    if state.get("startTime"):
        end = parse_rfc3339(state["completionTime"]) if state.get("completionTime") else now
        took = duration(end - parse_rfc3339(state["startTime"]))
    return [
        name_of(obj), _job_status(obj), completions, took, age_of(obj, now), *container_cells(inner.get("template")),
        selector_text(inner.get("selector")),
    ]


def _cron_job(obj: Obj, now: float) -> list[Any]:
    inner, state = spec(obj), status(obj)
    job = spec(inner.get("jobTemplate") or {})
    last = state.get("lastScheduleTime")
    return [
        name_of(obj), inner.get("schedule") or "", inner.get("timeZone") or NONE, bool_text(inner.get("suspend")),
        len(state.get("active") or ()), age(last, now) if last else NONE, age_of(obj, now), *container_cells(job.get("template")),
        selector_text(job.get("selector")),
    ]


def _controller_revision(obj: Obj, now: float) -> list[Any]:
    owner = controller_of(obj)
    name = NONE
    if owner is not None:
        group = str(owner.get("apiVersion") or "").rpartition("/")[0]
        kind = str(owner.get("kind") or "").lower()
        name = f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return [name_of(obj), name, number(obj, "revision"), age_of(obj, now)]


def _disruption_budget(obj: Obj, now: float) -> list[Any]:
    inner = spec(obj)
    shares = ["N/A" if inner.get(field) is None else str(inner[field]) for field in ("minAvailable", "maxUnavailable")]
    return [name_of(obj), *shares, number(status(obj), "disruptionsAllowed"), age_of(obj, now)]


def _one_metric(metric: Obj, current: Obj) -> str:
    kind = metric.get("type") or ""
    source = kind[:1].lower() + kind[1:]
    wanted = metric.get(source)
    if not isinstance(wanted, dict):
        return "<unknown type>"
    target, now = wanted.get("target") or {}, (current.get(source) or {}).get("current") or {}
    name = f"{wanted.get('name')}: " if source in ("resource", "containerResource") else ""
    if target.get("averageUtilization") is not None or (source in ("resource", "containerResource") and target.get("averageValue") is None):
        have = f"{now['averageUtilization']}%" if now.get("averageUtilization") is not None else UNKNOWN
        want = f"{target['averageUtilization']}%" if target.get("averageUtilization") is not None else "<auto>"
        return f"{name}{have}/{want}"
    if target.get("averageValue") is not None:
        have = amount(now["averageValue"]) if now.get("averageValue") is not None else UNKNOWN
        suffix = " (avg)" if source in ("external", "object") else ""
        return f"{name}{have}/{amount(target['averageValue'])}{suffix}"
    have = amount(now["value"]) if now.get("value") is not None else UNKNOWN
    return f"{name}{have}/{amount(target.get('value'))}"


def _autoscaler(obj: Obj, now: float) -> list[Any]:
    inner, state = spec(obj), status(obj)
    current = state.get("currentMetrics") or []
    if "metrics" in inner or "targetCPUUtilizationPercentage" not in inner:
        wanted = inner.get("metrics") or []
        parts = [_one_metric(metric, current[i] if i < len(current) else {}) for i, metric in enumerate(wanted)]
    else:
        have = state.get("currentCPUUtilizationPercentage")
        parts = [f"cpu: {UNKNOWN if have is None else f'{have}%'}/{inner['targetCPUUtilizationPercentage']}%"]
    targets = ", ".join(parts[:2]) + (f" + {len(parts) - 2} more..." if len(parts) > 2 else "")
    reference = inner.get("scaleTargetRef") or {}
    low = inner.get("minReplicas")
    return [
        name_of(obj), f"{reference.get('kind') or ''}/{reference.get('name') or ''}", targets or NONE,
        UNSET if low is None else str(low), number(inner, "maxReplicas"), number(state, "currentReplicas"), age_of(obj, now),
    ]


_CONTAINERS = "*Containers|*Images|*Selector"
TABLES = {
    ("apps", "Deployment"): table(f"Name|Ready|Up-to-date|Available|Age|{_CONTAINERS}", _deployment),
    ("apps", "ReplicaSet"): table(f"Name|#Desired|#Current|#Ready|Age|{_CONTAINERS}", _replica_set),
    ("", "ReplicationController"): table(f"Name|#Desired|#Current|#Ready|Age|{_CONTAINERS}", _replication_controller),
    ("apps", "StatefulSet"): table("Name|Ready|Age|*Containers|*Images", _stateful_set),
    ("apps", "DaemonSet"): table(
        f"Name|#Desired|#Current|#Ready|#Up-to-date|#Available|Node Selector|Age|{_CONTAINERS}", _daemon_set),
    ("batch", "Job"): table(f"Name|Status|Completions|Duration|Age|{_CONTAINERS}", _job),
    ("batch", "CronJob"): table(f"Name|Schedule|Timezone|Suspend|#Active|Last Schedule|Age|{_CONTAINERS}", _cron_job),
    ("apps", "ControllerRevision"): table("Name|Controller|Revision|Age", _controller_revision),
    ("policy", "PodDisruptionBudget"): table("Name|Min Available|Max Unavailable|#Allowed Disruptions|Age", _disruption_budget),
    ("autoscaling", "HorizontalPodAutoscaler"): table("Name|Reference|Targets|MinPods|MaxPods|Replicas|Age", _autoscaler),
}
