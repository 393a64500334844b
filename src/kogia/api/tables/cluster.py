"""Tables of the core kinds that are not Pods: Node, Namespace, ConfigMap, Secret, Event, quotas, and the access and priority kinds.

Source: kubernetes pkg/printers/internalversion/printers.go; k8s.io/kube-aggregator and apiextensions-apiserver for their own kinds.
"""

from __future__ import annotations

from typing import Any

from kogia.api.tables.age import age, duration
from kogia.api.tables.model import age_of, name_of, table
from kogia.api.tables.text import NONE, UNKNOWN, UNSET, amount, condition, meta, number, spec, status

Obj = dict[str, Any]

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _created_at(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), meta(obj).get("creationTimestamp") or ""]


def _namespace(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), status(obj).get("phase") or "", age_of(obj, now)]


def node_roles(node: Obj) -> list[str]:
    """The roles a node's labels give it, sorted."""
    roles = set()
    for key, value in (meta(node).get("labels") or {}).items():
        if key.startswith(_ROLE_PREFIX) and len(key) > len(_ROLE_PREFIX):
            roles.add(key[len(_ROLE_PREFIX):])
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return sorted(roles)


def _node(obj: Obj, now: float) -> list[Any]:
    ready = condition(obj, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec(obj).get("unschedulable"):
        words.append("SchedulingDisabled")
    info = status(obj).get("nodeInfo") or {}

    def address(kind: str) -> str:
        return next((a.get("address") or "" for a in status(obj).get("addresses") or () if a.get("type") == kind), NONE)

    return [
        name_of(obj), ",".join(words), ",".join(node_roles(obj)) or NONE, age_of(obj, now), info.get("kubeletVersion") or "",
        address("InternalIP"), address("ExternalIP"), info.get("osImage") or UNKNOWN, info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _config_map(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age_of(obj, now)]


def _secret(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), obj.get("type") or "", len(obj.get("data") or ()), age_of(obj, now)]


def _service_account(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), len(obj.get("secrets") or ()), age_of(obj, now)]


def _event(obj: Obj, now: float) -> list[Any]:
    """Both forms of an Event: core/v1's field names, else those of events.k8s.io/v1."""
    first = age(obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime"), now)
    last_stamp = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    last = age(last_stamp, now) if last_stamp else first
    count = number(obj, "count") or number(obj, "deprecatedCount")
    series = obj.get("series")
    if series is not None:
        last = age(series.get("lastObservedTime"), now)
        count = number(series, "count")
    elif not count:
        count = 1
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    target = f"{str(about.get('kind') or '').lower()}/{about.get('name') or ''}"
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or ("" if source.get("component") else obj.get("reportingInstance")) or ""
    message = str(obj.get("message") or obj.get("note") or "").strip()
    return [
        last, obj.get("type") or "", obj.get("reason") or "", target, about.get("fieldPath") or "",
        f"{component}, {host}" if host else component, message, first, count, name_of(obj),
    ]


def _lease(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), spec(obj).get("holderIdentity") or "", age_of(obj, now)]


def _quota(obj: Obj, now: float) -> list[Any]:
    state = status(obj)
    hard, used = state.get("hard") or {}, state.get("used") or {}
    wanted: list[str] = []
    limited: list[str] = []
    for name in sorted(hard):
        text = f"{name}: {amount(used.get(name))}/{amount(hard[name])}"
        (limited if name.startswith("limits") else wanted).append(text)
    return [name_of(obj), ", ".join(wanted), ", ".join(limited), age_of(obj, now)]


def _component_status(obj: Obj, now: float) -> list[Any]:
    for found in obj.get("conditions") or ():
        if found.get("type") == "Healthy":
            word = "Healthy" if found.get("status") == "True" else "Unhealthy"
            return [name_of(obj), word, found.get("message") or "", found.get("error") or ""]
    return [name_of(obj), "Unknown", "", ""]


def _role_binding(obj: Obj, now: float) -> list[Any]:
    role = obj.get("roleRef") or {}
    people: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        name = subject.get("name") or ""
        if subject.get("kind") == "ServiceAccount":
            name = f"{subject.get('namespace') or ''}/{name}"
        people.get(subject.get("kind") or "", []).append(name)
    listed = [", ".join(people[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [name_of(obj), f"{role.get('kind') or ''}/{role.get('name') or ''}", age_of(obj, now), *listed]


def _signing_request(obj: Obj, now: float) -> list[Any]:
    kinds = {c.get("type") for c in status(obj).get("conditions") or ()}
    word = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    if "Failed" in kinds:
        word += ",Failed"
    if status(obj).get("certificate"):
        word += ",Issued"
    seconds = spec(obj).get("expirationSeconds")
    return [
        name_of(obj), age_of(obj, now), spec(obj).get("signerName") or NONE, spec(obj).get("username") or "",
        NONE if seconds is None else duration(seconds), word,
    ]


def _priority_class(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), number(obj, "value"), bool(obj.get("globalDefault")), age_of(obj, now), obj.get("preemptionPolicy") or ""]


def _runtime_class(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), obj.get("handler") or "", age_of(obj, now)]


def _api_service(obj: Obj, now: float) -> list[Any]:
    service = spec(obj).get("service")
    available = condition(obj, "Available")
    word = "Unknown"
    if available is not None:
        word = str(available.get("status"))
        if word != "True" and available.get("reason"):
            word = f"{word} ({available['reason']})"
    return [name_of(obj), f"{service.get('namespace')}/{service.get('name')}" if service else "Local", word, age_of(obj, now)]


def _webhooks(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), len(obj.get("webhooks") or ()), age_of(obj, now)]


def _admission_policy(obj: Obj, now: float) -> list[Any]:
    kind = spec(obj).get("paramKind")
    shown = f"{kind.get('apiVersion')}/{kind.get('kind')}" if kind else UNSET
    return [name_of(obj), len(spec(obj).get("validations") or spec(obj).get("mutations") or ()), shown, age_of(obj, now)]


def _policy_binding(obj: Obj, now: float) -> list[Any]:
    ref = spec(obj).get("paramRef")
    shown = UNSET
    if ref:
        name = ref.get("name") or "*"
        shown = f"{ref['namespace']}/{name}" if ref.get("namespace") else name
    return [name_of(obj), spec(obj).get("policyName") or "", shown, age_of(obj, now)]


def _flow_schema(obj: Obj, now: float) -> list[Any]:
    inner = spec(obj)
    method = (inner.get("distinguisherMethod") or {}).get("type") or NONE
    dangling = condition(obj, "Dangling")
    return [
        name_of(obj), (inner.get("priorityLevelConfiguration") or {}).get("name") or NONE, number(inner, "matchingPrecedence"), method,
        age_of(obj, now), "?" if dangling is None else str(dangling.get("status")),
    ]


def _priority_level(obj: Obj, now: float) -> list[Any]:
    inner = spec(obj)
    shares = queues = hand = length = NONE
    limits = inner.get("limited") or inner.get("exempt") or {}
    if limits.get("nominalConcurrencyShares") is not None:
        shares = str(limits["nominalConcurrencyShares"])
    queuing = (limits.get("limitResponse") or {}).get("queuing")
    if queuing:
        queues, hand, length = (str(queuing.get(field)) for field in ("queues", "handSize", "queueLengthLimit"))
    return [name_of(obj), inner.get("type") or "", shares, queues, hand, length, age_of(obj, now)]


_CREATED = table("Name|Created At", _created_at)
_ADMISSION, _RBAC, _FLOW = "admissionregistration.k8s.io", "rbac.authorization.k8s.io", "flowcontrol.apiserver.k8s.io"
_BINDING = table("Name|Role|Age|*Users|*Groups|*ServiceAccounts", _role_binding)
_HOOKS = table("Name|#Webhooks|Age", _webhooks)
_POLICY_BINDING = table("Name|PolicyName|ParamRef|Age", _policy_binding)

TABLES = {
    ("", "Namespace"): table("Name|Status|Age", _namespace),
    ("", "Node"): table(
        "Name|Status|Roles|Age|Version|*Internal-IP|*External-IP|*OS-Image|*Kernel-Version|*Container-Runtime", _node),
    ("", "ConfigMap"): table("Name|Data|Age", _config_map),
    ("", "Secret"): table("Name|Type|Data|Age", _secret),
    ("", "ServiceAccount"): table("Name|Secrets|Age", _service_account),
    ("", "Event"): table("Last Seen|Type|Reason|Object|*Subobject|*Source|Message|*First Seen|*#Count|*Name", _event),
    ("", "LimitRange"): _CREATED,
    ("", "ResourceQuota"): table("Name|Request|Limit|Age", _quota),
    ("", "ComponentStatus"): table("Name|Status|Message|Error", _component_status),
    ("coordination.k8s.io", "Lease"): table("Name|Holder|Age", _lease),
    (_RBAC, "Role"): _CREATED,
    (_RBAC, "ClusterRole"): _CREATED,
    (_RBAC, "RoleBinding"): _BINDING,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
    ("certificates.k8s.io", "CertificateSigningRequest"): table(
        "Name|Age|SignerName|Requestor|RequestedDuration|Condition", _signing_request),
    ("scheduling.k8s.io", "PriorityClass"): table("Name|#Value|Global-Default|Age|PreemptionPolicy", _priority_class),
    ("node.k8s.io", "RuntimeClass"): table("Name|Handler|Age", _runtime_class),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _CREATED,
    ("apiregistration.k8s.io", "APIService"): table("Name|Service|Available|Age", _api_service),
    (_ADMISSION, "MutatingWebhookConfiguration"): _HOOKS,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _HOOKS,
    (_ADMISSION, "ValidatingAdmissionPolicy"): table("Name|#Validations|ParamKind|Age", _admission_policy),
    (_ADMISSION, "MutatingAdmissionPolicy"): table("Name|#Mutations|ParamKind|Age", _admission_policy),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): _POLICY_BINDING,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): _POLICY_BINDING,
    (_FLOW, "FlowSchema"): table("Name|PriorityLevel|#MatchingPrecedence|DistinguisherMethod|Age|MissingPL", _flow_schema),
    (_FLOW, "PriorityLevelConfiguration"): table(
        "Name|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age", _priority_level),
}
