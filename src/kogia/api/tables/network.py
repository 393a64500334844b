"""Tables of the network and storage kinds: Service, Endpoints, EndpointSlice, Ingress, NetworkPolicy, volumes, claims, classes.

Source: kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from typing import Any

from kogia.api.tables.model import age_of, name_of, table
from kogia.api.tables.text import NONE, UNSET, amount, cut, label_text, meta, selector_text, spec, status

Obj = dict[str, Any]

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _balancer(state: Obj) -> str:
    """Addresses of a load balancer, sorted and joined."""
    found = {entry.get("ip") or entry.get("hostname") for entry in (state.get("loadBalancer") or {}).get("ingress") or ()}
    return ",".join(sorted(text for text in found if text))


def _external_ip(obj: Obj) -> str:
    inner = spec(obj)
    outside = list(inner.get("externalIPs") or ())
    kind = inner.get("type")
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(outside) or NONE
    if kind == "LoadBalancer":
        balanced = _balancer(status(obj))
        return ",".join([*([balanced] if balanced else []), *outside]) or "<pending>"
    if kind == "ExternalName":
        return str(inner.get("externalName") or "")
    return "<unknown>"


def _service(obj: Obj, now: float) -> list[Any]:
    inner = spec(obj)
    ports = []
    for port in inner.get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node}/{port.get('protocol') or 'TCP'}")
    ips = inner.get("clusterIPs") or ()
    return [
        name_of(obj), inner.get("type") or "", (ips[0] if ips else inner.get("clusterIP")) or NONE, _external_ip(obj), ",".join(ports) or NONE,
        age_of(obj, now), label_text(inner.get("selector")),
    ]


def host_port(address: str, port: int) -> str:
    """`1.2.3.4:80`, or `[::1]:80`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _endpoints(obj: Obj, now: float) -> list[Any]:
    found = []
    for subset in obj.get("subsets") or ():
        ports = subset.get("ports") or ()
        for address in () if ports else subset.get("addresses") or ():
            found.append(address.get("ip") or "")
        for port in ports:
            for address in subset.get("addresses") or ():
                found.append(host_port(address.get("ip") or "", port.get("port") or 0))
    text = cut(found, len(found)) if obj.get("subsets") else NONE
    return [name_of(obj), text, age_of(obj, now)]


def _endpoint_slice(obj: Obj, now: float) -> list[Any]:
    ports = []
    for port in obj.get("ports") or ():
        ports.append("*" if port.get("port") is None else str(port["port"]))
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [
        name_of(obj), obj.get("addressType") or "", cut(ports, len(ports)) or UNSET, cut(addresses, len(addresses)) or UNSET, age_of(obj, now),
    ]


def _ingress(obj: Obj, now: float) -> list[Any]:
    inner = spec(obj)
    rules = inner.get("rules") or ()
    hosts = [rule["host"] for rule in rules if rule.get("host")]
    shown = (cut(hosts, len(rules)) if len(hosts) > 3 else ",".join(hosts)) or "*"
    return [
        name_of(obj), inner.get("ingressClassName") or NONE, shown, _balancer(status(obj)), "80, 443" if inner.get("tls") else "80",
        age_of(obj, now),
    ]


def _ingress_class(obj: Obj, now: float) -> list[Any]:
    parameters = spec(obj).get("parameters")
    text = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        text = f"{parameters.get('kind') or ''}{group}/{parameters.get('name') or ''}"
    return [name_of(obj), spec(obj).get("controller") or "", text, age_of(obj, now)]


def _network_policy(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), selector_text(spec(obj).get("podSelector")), age_of(obj, now)]


def _service_cidr(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), ",".join(spec(obj).get("cidrs") or ()), age_of(obj, now)]


def _ip_address(obj: Obj, now: float) -> list[Any]:
    parent = spec(obj).get("parentRef") or {}
    parts = [parent.get("resource"), parent.get("namespace"), parent.get("name")]
    text = "/".join(part for part in parts if part)
    return [name_of(obj), f"{text}.{parent['group']}" if parent.get("group") else text or NONE, age_of(obj, now)]


# -- storage


def access_modes(modes: Any) -> str:
    """`RWO,ROX`, in the order Kubernetes lists them."""
    have = set(modes or ())
    return ",".join(short for mode, short in _MODES.items() if mode in have)


def _class_of(obj: Obj) -> str:
    old = (meta(obj).get("annotations") or {}).get(_OLD_CLASS)
    return str(old if old is not None else spec(obj).get("storageClassName") or "")


def _phase(obj: Obj) -> str:
    return "Terminating" if meta(obj).get("deletionTimestamp") else str(status(obj).get("phase") or "")


def _volume(obj: Obj, now: float) -> list[Any]:
    inner = spec(obj)
    claim = inner.get("claimRef")
    return [
        name_of(obj), amount((inner.get("capacity") or {}).get("storage")), access_modes(inner.get("accessModes")),
        inner.get("persistentVolumeReclaimPolicy") or "", _phase(obj),
        f"{claim.get('namespace') or ''}/{claim.get('name') or ''}" if claim else "", _class_of(obj),
        inner.get("volumeAttributesClassName") or UNSET, status(obj).get("reason") or "", age_of(obj, now), inner.get("volumeMode") or UNSET,
    ]


def _claim(obj: Obj, now: float) -> list[Any]:
    inner, state = spec(obj), status(obj)
    size = modes = ""
    if inner.get("volumeName"):
        size, modes = amount((state.get("capacity") or {}).get("storage")), access_modes(state.get("accessModes"))
    return [
        name_of(obj), _phase(obj), inner.get("volumeName") or "", size, modes, _class_of(obj),
        inner.get("volumeAttributesClassName") or UNSET, age_of(obj, now), inner.get("volumeMode") or UNSET,
    ]


def _storage_class(obj: Obj, now: float) -> list[Any]:
    annotations = meta(obj).get("annotations") or {}
    default = any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)
    return [
        name_of(obj) + (" (default)" if default else ""), obj.get("provisioner") or "", obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate", bool(obj.get("allowVolumeExpansion")), age_of(obj, now),
    ]


def _volume_attachment(obj: Obj, now: float) -> list[Any]:
    inner = spec(obj)
    return [
        name_of(obj), inner.get("attacher") or "", (inner.get("source") or {}).get("persistentVolumeName") or "", inner.get("nodeName") or "",
        bool(status(obj).get("attached")), age_of(obj, now),
    ]


def _csi_node(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), len(spec(obj).get("drivers") or ()), age_of(obj, now)]


def _csi_driver(obj: Obj, now: float) -> list[Any]:
    inner = spec(obj)
    tokens = ",".join(token.get("audience") or "" for token in inner.get("tokenRequests") or ())
    return [
        name_of(obj), inner.get("attachRequired", True), bool(inner.get("podInfoOnMount")), bool(inner.get("storageCapacity")),
        tokens or UNSET, bool(inner.get("requiresRepublish")), ",".join(inner.get("volumeLifecycleModes") or ()) or NONE, age_of(obj, now),
    ]


def _csi_capacity(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), obj.get("storageClassName") or "", amount(obj["capacity"]) if obj.get("capacity") else UNSET]


def _attributes_class(obj: Obj, now: float) -> list[Any]:
    return [name_of(obj), obj.get("driverName") or "", age_of(obj, now)]


def _resource_claim(obj: Obj, now: float) -> list[Any]:
    state = status(obj)
    words = []
    if meta(obj).get("deletionTimestamp"):
        words.append("deleted")
    if state.get("allocation") is None:
        words.append("pending")
    else:
        words.append("allocated")
        if state.get("reservedFor"):
            words.append("reserved")
    return [name_of(obj), ",".join(words), age_of(obj, now)]


def _resource_slice(obj: Obj, now: float) -> list[Any]:
    inner = spec(obj)
    return [name_of(obj), inner.get("nodeName") or UNSET, inner.get("driver") or "", (inner.get("pool") or {}).get("name") or "", age_of(obj, now)]


_NET, _STORE, _RESOURCE = "networking.k8s.io", "storage.k8s.io", "resource.k8s.io"

TABLES = {
    ("", "Service"): table("Name|Type|Cluster-IP|External-IP|Port(s)|Age|*Selector", _service),
    ("", "Endpoints"): table("Name|Endpoints|Age", _endpoints),
    ("discovery.k8s.io", "EndpointSlice"): table("Name|AddressType|Ports|Endpoints|Age", _endpoint_slice),
    (_NET, "Ingress"): table("Name|Class|Hosts|Address|Ports|Age", _ingress),
    (_NET, "IngressClass"): table("Name|Controller|Parameters|Age", _ingress_class),
    (_NET, "NetworkPolicy"): table("Name|Pod-Selector|Age", _network_policy),
    (_NET, "ServiceCIDR"): table("Name|CIDRs|Age", _service_cidr),
    (_NET, "IPAddress"): table("Name|ParentRef|Age", _ip_address),
    ("", "PersistentVolume"): table(
        "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|*VolumeMode", _volume),
    ("", "PersistentVolumeClaim"): table(
        "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|*VolumeMode", _claim),
    (_STORE, "StorageClass"): table("Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age", _storage_class),
    (_STORE, "VolumeAttachment"): table("Name|Attacher|PV|Node|Attached|Age", _volume_attachment),
    (_STORE, "CSINode"): table("Name|#Drivers|Age", _csi_node),
    (_STORE, "CSIDriver"): table(
        "Name|AttachRequired|PodInfoOnMount|StorageCapacity|TokenRequests|RequiresRepublish|Modes|Age", _csi_driver),
    (_STORE, "CSIStorageCapacity"): table("Name|StorageClassName|Capacity", _csi_capacity),
    (_STORE, "VolumeAttributesClass"): table("Name|DriverName|Age", _attributes_class),
    (_RESOURCE, "ResourceClaim"): table("Name|State|Age", _resource_claim),
    (_RESOURCE, "ResourceSlice"): table("Name|Node|Driver|Pool|Age", _resource_slice),
}
