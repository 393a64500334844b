"""What Kubernetes fills into Pods and pod templates.

`default_pod` is for Pods, `default_template` for the `template` of workloads, which gets less: requests from limits, host ports
and `enableServiceLinks` are filled in only once a real Pod is made. Everything is idempotent and leaves set fields alone; as in
Go, a string or number that is empty or 0 counts as unset where the API has no pointer there.

Source: kubernetes pkg/apis/core/v1/defaults.go and conversion.go (serviceAccount).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kogia.api.quantity import add_lists

Obj = dict[str, Any]

_FILE_MODE = 0o644
_TOKEN_SECONDS = 3600


def default_pod(pod: Obj) -> None:
    """Fill in a Pod."""
    spec = pod.get("spec")
    if spec is None:
        return
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    default_pod_spec(spec)
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        _default_requests(container)
    if spec.get("hostNetwork"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            for port in container.get("ports") or ():
                if not port.get("hostPort") and port.get("containerPort"):
                    port["hostPort"] = port["containerPort"]
    if spec.get("resources"):
        _default_pod_level_requests(spec)


def default_template(template: Obj | None) -> None:
    """Fill in the `template` of a workload (a PodTemplateSpec)."""
    if template and template.get("spec") is not None:
        default_pod_spec(template["spec"])


def default_pod_spec(spec: Obj) -> None:
    """Fill in what Pods and templates have in common."""
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    _alias_service_account(spec)
    for container in containers_of(spec):
        default_container(container)
    for volume in spec.get("volumes") or ():
        default_volume(volume)


def containers_of(spec: Obj) -> Iterator[Obj]:
    """Init, app and ephemeral containers of a pod specification."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()
    yield from spec.get("ephemeralContainers") or ()


def _alias_service_account(spec: Obj) -> None:
    """`serviceAccount` is the old name of `serviceAccountName`; both are shown, the new one wins."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def pull_policy_for(image: str) -> str:
    """`Always` for the tag `latest` (also when none is given), else `IfNotPresent`."""
    repository, at, _digest = image.partition("@")
    if not image:
        return "IfNotPresent"
    tag = repository.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or (not tag and not at) else "IfNotPresent"


def default_container(container: Obj) -> None:
    """Fill in one container of any sort."""
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy_for(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    if container.get("resources") is None:
        container["resources"] = {}
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for env in container.get("env") or ():
        source = env.get("valueFrom")
        if source:
            _default_field_ref(source.get("fieldRef"))
            if source.get("fileKeyRef") and source["fileKeyRef"].get("optional") is None:
                source["fileKeyRef"]["optional"] = False
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        _default_http_get((lifecycle.get(hook) or {}).get("httpGet"))


def _default_field_ref(ref: Obj | None) -> None:
    if ref is not None and not ref.get("apiVersion"):
        ref["apiVersion"] = "v1"


def _default_http_get(action: Obj | None) -> None:
    if action is not None:
        if not action.get("path"):
            action["path"] = "/"
        if not action.get("scheme"):
            action["scheme"] = "HTTP"


def _default_probe(probe: Obj) -> None:
    for field, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(field):
            probe[field] = value
    _default_http_get(probe.get("httpGet"))
    grpc = probe.get("grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _default_requests(container: Obj) -> None:
    """A resource with a limit and no request requests its limit."""
    resources = container.get("resources") or {}
    limits = resources.get("limits")
    if limits:
        requests = resources.get("requests") or {}
        missing = {name: amount for name, amount in limits.items() if name not in requests}
        if missing:
            resources["requests"] = {**requests, **missing}


def _default_pod_level_requests(spec: Obj) -> None:
    """Pod-level requests: what the containers request together, else the pod-level limit."""
    resources = spec["resources"]
    limits = resources.get("limits") or {}
    if not limits and not resources.get("requests"):
        return
    requests = dict(resources.get("requests") or {})
    together = _sum_requests(spec.get("containers") or ())
    for name in limits:
        if name not in requests:
            requests[name] = together.get(name, limits[name])
    if requests:
        resources["requests"] = requests


def _sum_requests(containers: Iterable[Obj]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for container in containers:
        total.update(add_lists(total, (container.get("resources") or {}).get("requests") or {}))
    return total


# -- volumes


def _default_mode(source: Obj) -> None:
    if source.get("defaultMode") is None:
        source["defaultMode"] = _FILE_MODE


def _default_items(source: Obj) -> None:
    for item in source.get("items") or ():
        _default_field_ref(item.get("fieldRef"))


def _default_downward(source: Obj) -> None:
    _default_mode(source)
    _default_items(source)


def _default_projected(source: Obj) -> None:
    _default_mode(source)
    for part in source.get("sources") or ():
        token = part.get("serviceAccountToken")
        if token is not None and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = _TOKEN_SECONDS
        if part.get("downwardAPI"):
            _default_items(part["downwardAPI"])


def _default_host_path(source: Obj) -> None:
    if source.get("type") is None:
        source["type"] = ""


def _default_iscsi(source: Obj) -> None:
    if not source.get("iscsiInterface"):
        source["iscsiInterface"] = "default"


def _default_rbd(source: Obj) -> None:
    for field, value in (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")):
        if not source.get(field):
            source[field] = value


def _default_azure_disk(source: Obj) -> None:
    for field, value in (("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4"), ("readOnly", False)):
        if source.get(field) is None:
            source[field] = value


def _default_scale_io(source: Obj) -> None:
    for field, value in (("storageMode", "ThinProvisioned"), ("fsType", "xfs")):
        if not source.get(field):
            source[field] = value


def _default_image(source: Obj) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy_for(source.get("reference") or "")


def _default_ephemeral(source: Obj) -> None:
    spec = (source.get("volumeClaimTemplate") or {}).get("spec")
    if spec is not None and spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"


VOLUME_DEFAULTS = {
    "secret": _default_mode, "configMap": _default_mode, "downwardAPI": _default_downward, "projected": _default_projected,
    "hostPath": _default_host_path, "iscsi": _default_iscsi, "rbd": _default_rbd, "azureDisk": _default_azure_disk,
    "scaleIO": _default_scale_io, "image": _default_image, "ephemeral": _default_ephemeral,
}


def default_volume(volume: Obj) -> None:
    """Fill in one volume; one without any source becomes an emptyDir."""
    sources = [key for key in volume if key != "name" and volume[key] is not None]
    if not sources:
        volume["emptyDir"] = {}
    for key in sources:
        fill = VOLUME_DEFAULTS.get(key)
        if fill is not None:
            fill(volume[key])
