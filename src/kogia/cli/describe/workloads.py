"""What makes Pods, told at length: Deployment, ReplicaSet, DaemonSet, StatefulSet, Job, CronJob, with their Pod template."""

from __future__ import annotations

from typing import Any

from kogia.cli.connection import Api, ApiFailure
from kogia.cli.describe import pod
from kogia.cli.describe.common import Writer, annotation_lines, moment, pairs

Obj = dict[str, Any]


def selector_text(selector: Obj | None) -> str:
    """`a=b,c in (d,e)`; `<none>` if empty, `<unset>` if absent."""
    if selector is None:
        return "<unset>"
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for rule in selector.get("matchExpressions") or ():
        values = ",".join(sorted(rule.get("values") or ()))
        parts.append({"In": f"{rule['key']} in ({values})", "NotIn": f"{rule['key']} notin ({values})", "Exists": rule["key"],
                      "DoesNotExist": "!" + rule["key"]}[rule["operator"]])  # fmt: skip
    return ",".join(parts) or "<none>"


def template(w: Writer, body: Obj) -> None:
    """The Pod template: labels, annotations, containers, volumes, where it may run."""
    meta, spec = body.get("metadata") or {}, body.get("spec") or {}
    w.line(0, "Pod Template:")
    pairs(w, "Labels", meta.get("labels"), 1)
    if meta.get("annotations"):
        annotation_lines(w, meta["annotations"], 1)
    if spec.get("serviceAccountName"):
        w.line(1, "Service Account:", spec["serviceAccountName"])
    if spec.get("initContainers"):
        pod.containers(w, "Init Containers", spec["initContainers"], None, indent=" ")
    pod.containers(w, "Containers", spec.get("containers") or [], None, indent=" ")
    pod.volumes(w, spec.get("volumes") or [], indent=" ")
    if spec.get("topologySpreadConstraints"):
        w.line(1, "Topology Spread Constraints:", f"{len(spec['topologySpreadConstraints'])} in total")
    if spec.get("priorityClassName"):
        w.line(1, "Priority Class Name:", spec["priorityClassName"])
    pairs(w, "Node-Selectors", spec.get("nodeSelector"), 1)
    pod.tolerations(w, spec.get("tolerations") or [], 1)


def _counts(api: Api, obj: Obj) -> str:
    """`2 Running / 0 Waiting / 0 Succeeded / 0 Failed` of the Pods this object owns."""
    try:
        items = api.call("GET", f"/api/v1/namespaces/{obj['metadata']['namespace']}/pods")["items"]
    except ApiFailure as error:
        return f"error in fetching pods: {error}"
    phases = [p["status"].get("phase") for p in items if any(o["uid"] == obj["metadata"]["uid"] for o in p["metadata"].get("ownerReferences") or ())]
    return " / ".join(f"{phases.count(phase)} {word}" for phase, word in (("Running", "Running"), ("Pending", "Waiting"), ("Succeeded", "Succeeded"), ("Failed", "Failed")))


def _head(obj: Obj) -> Writer:
    w = Writer()
    w.line(0, "Name:", obj["metadata"]["name"])
    w.line(0, "Namespace:", obj["metadata"]["namespace"])
    return w


def _labels(w: Writer, obj: Obj) -> None:
    pairs(w, "Labels", obj["metadata"].get("labels"))
    annotation_lines(w, obj["metadata"].get("annotations"))


def _owner(w: Writer, obj: Obj) -> None:
    owner = next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None)
    if owner:
        w.line(0, "Controlled By:", f"{owner['kind']}/{owner['name']}")


def _conditions(w: Writer, status: Obj) -> None:
    if status.get("conditions"):
        w.line(0, "Conditions:")
        w.line(1, "Type", "Status", "Reason")
        w.line(1, "----", "------", "------")
        for condition in status["conditions"]:
            w.line(1, condition["type"] + " ", condition["status"], condition.get("reason", ""))


def deployment(api: Api, obj: Obj) -> Writer:
    w, spec, status = _head(obj), obj["spec"], obj.get("status") or {}
    w.line(0, "CreationTimestamp:", moment(obj["metadata"]["creationTimestamp"]))
    _labels(w, obj)
    w.line(0, "Selector:", selector_text(spec.get("selector")))
    w.line(0, "Replicas:", f"{spec.get('replicas', 0)} desired | {status.get('updatedReplicas', 0)} updated | {status.get('replicas', 0)} total | "
           f"{status.get('availableReplicas', 0)} available | {status.get('unavailableReplicas', 0)} unavailable")  # fmt: skip
    strategy = spec.get("strategy") or {}
    w.line(0, "StrategyType:", strategy.get("type", ""))
    w.line(0, "MinReadySeconds:", spec.get("minReadySeconds", 0))
    if strategy.get("rollingUpdate"):
        rolling = strategy["rollingUpdate"]
        w.line(0, "RollingUpdateStrategy:", f"{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} max surge")
    template(w, spec["template"])
    _conditions(w, status)
    _replica_sets(w, api, obj)
    return w


def _replica_sets(w: Writer, api: Api, obj: Obj) -> None:
    """The old ones and the newest of a Deployment, by its revision."""
    revision = "deployment.kubernetes.io/revision"
    items = api.call("GET", f"/apis/apps/v1/namespaces/{obj['metadata']['namespace']}/replicasets")["items"]
    own = [r for r in items if any(o["uid"] == obj["metadata"]["uid"] for o in r["metadata"].get("ownerReferences") or ())]
    own.sort(key=lambda r: int((r["metadata"].get("annotations") or {}).get(revision, "0")))
    shown = [f"{r['metadata']['name']} ({r['status'].get('replicas', 0)}/{r['spec'].get('replicas', 0)} replicas created)" for r in own]
    if not own:
        return
    w.line(0, "OldReplicaSets:", ", ".join(shown[:-1]) or "<none>")
    w.line(0, "NewReplicaSet:", shown[-1] if shown else "<none>")


def replica_set(api: Api, obj: Obj) -> Writer:
    w, spec, status = _head(obj), obj["spec"], obj.get("status") or {}
    w.line(0, "Selector:", selector_text(spec.get("selector")))
    _labels(w, obj)
    _owner(w, obj)
    w.line(0, "Replicas:", f"{status.get('replicas', 0)} current / {spec.get('replicas', 0)} desired")
    w.line(0, "Pods Status:", _counts(api, obj))
    template(w, spec["template"])
    _conditions(w, status)
    return w


def daemon_set(api: Api, obj: Obj) -> Writer:
    w, spec, status = _head(obj), obj["spec"], obj.get("status") or {}
    w.line(0, "Selector:", selector_text(spec.get("selector")))
    pairs(w, "Node-Selector", spec["template"].get("spec", {}).get("nodeSelector"))
    _labels(w, obj)
    for title, key in (("Desired Number of Nodes Scheduled", "desiredNumberScheduled"), ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
                       ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
                       ("Number of Nodes Scheduled with Available Pods", "numberAvailable"), ("Number of Nodes Misscheduled", "numberMisscheduled")):  # fmt: skip
        w.line(0, f"{title}: {status.get(key, 0)}")
    w.line(0, "Pods Status:", _counts(api, obj))
    template(w, spec["template"])
    return w


def stateful_set(api: Api, obj: Obj) -> Writer:
    w, spec, status = _head(obj), obj["spec"], obj.get("status") or {}
    w.line(0, "CreationTimestamp:", moment(obj["metadata"]["creationTimestamp"]))
    w.line(0, "Selector:", selector_text(spec.get("selector")))
    _labels(w, obj)
    w.line(0, "Replicas:", f"{spec.get('replicas', 0)} desired | {status.get('replicas', 0)} total")
    strategy = spec.get("updateStrategy") or {}
    w.line(0, "Update Strategy:", strategy.get("type", ""))
    if (strategy.get("rollingUpdate") or {}).get("partition") is not None:
        w.line(1, "Partition:", strategy["rollingUpdate"]["partition"])
    w.line(0, "Pods Status:", _counts(api, obj))
    template(w, spec["template"])
    claims = spec.get("volumeClaimTemplates") or []
    w.line(0, "Volume Claims:", *([] if claims else ["<none>"]))
    for claim in claims:
        w.line(1, "Name:", claim["metadata"]["name"])
        w.line(1, "StorageClass:", claim["spec"].get("storageClassName", ""))
        pairs(w, "Labels", claim["metadata"].get("labels"), 1)
        annotation_lines(w, claim["metadata"].get("annotations"), 1)
        w.line(1, "Capacity:", ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "<default>"))
        w.line(1, "Access Modes:", f"[{' '.join(claim['spec'].get('accessModes') or [])}]")
    return w


def job(api: Api, obj: Obj) -> Writer:
    w, spec, status = _head(obj), obj["spec"], obj.get("status") or {}
    if spec.get("selector"):
        w.line(0, "Selector:", selector_text(spec["selector"]))
    _labels(w, obj)
    _owner(w, obj)
    _job_size(w, spec)
    for title, key in (("Start Time", "startTime"), ("Completed At", "completionTime")):
        if status.get(key):
            w.line(0, f"{title}:", moment(status[key]))
    ready = f" ({status['ready']} Ready)" if status.get("ready") is not None else ""
    w.line(0, "Pods Statuses:", f"{status.get('active', 0)} Active{ready} / {status.get('succeeded', 0)} Succeeded / {status.get('failed', 0)} Failed")
    template(w, spec["template"])
    return w


def _job_size(w: Writer, spec: Obj) -> None:
    w.line(0, "Parallelism:", spec.get("parallelism", "<unset>"))
    w.line(0, "Completions:", spec.get("completions", "<unset>"))
    if spec.get("completionMode"):
        w.line(0, "Completion Mode:", spec["completionMode"])
    if spec.get("suspend") is not None:
        w.line(0, "Suspend:", str(spec["suspend"]).lower())
    if spec.get("backoffLimit") is not None:
        w.line(0, "Backoff Limit:", spec["backoffLimit"])


def cron_job(api: Api, obj: Obj) -> Writer:
    w, spec, status = _head(obj), obj["spec"], obj.get("status") or {}
    _labels(w, obj)
    w.line(0, "Schedule:", spec["schedule"])
    if spec.get("timeZone"):
        w.line(0, "Time Zone:", spec["timeZone"])
    w.line(0, "Concurrency Policy:", spec.get("concurrencyPolicy", ""))
    w.line(0, "Suspend:", str(bool(spec.get("suspend"))))
    w.line(0, "Successful Job History Limit:", spec.get("successfulJobsHistoryLimit", "<unset>"))
    w.line(0, "Failed Job History Limit:", spec.get("failedJobsHistoryLimit", "<unset>"))
    seconds = spec.get("startingDeadlineSeconds")
    w.line(0, "Starting Deadline Seconds:", f"{seconds}s" if seconds is not None else "<unset>")
    made = spec["jobTemplate"].get("spec") or {}
    w.line(0, "Selector:", selector_text(made.get("selector")))
    w.line(0, "Parallelism:", made.get("parallelism", "<unset>"))
    w.line(0, "Completions:", made.get("completions", "<unset>"))
    template(w, made["template"])
    w.line(0, "Last Schedule Time:", moment(status.get("lastScheduleTime")))
    active = ", ".join(a["name"] for a in status.get("active") or [])
    w.line(0, "Active Jobs:", active or "<none>")
    return w
