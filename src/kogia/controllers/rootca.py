"""root-ca-cert-publisher: every namespace has a ConfigMap `kube-root-ca.crt` with the cluster's CA, for Pods to mount.

An edited one is set back. Source: pkg/controller/certificates/rootcacertpublisher.
"""

from __future__ import annotations

from kogia.client.controller import Controller
from kogia.client.interface import Obj
from kogia.controllers.context import CONFIG_MAPS, ControllerContext
from kogia.controllers.default_objects import DefaultObject, default_object_controller

NAME = "kube-root-ca.crt"
ANNOTATION = "kubernetes.io/description"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or "
    "kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


def root_ca_controller(context: ControllerContext, root_ca_pem: bytes) -> Controller:
    data = {"ca.crt": root_ca_pem.decode()}

    def make(namespace: str) -> Obj:
        metadata = {"name": NAME, "namespace": namespace, "annotations": {ANNOTATION: DESCRIPTION}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    def mend(obj: Obj) -> Obj | None:
        annotations = obj["metadata"].get("annotations") or {}
        if obj.get("data") == data and annotations.get(ANNOTATION):
            return None
        return {**obj, "metadata": {**obj["metadata"], "annotations": {**annotations, ANNOTATION: DESCRIPTION}}, "data": data}

    return default_object_controller(context, DefaultObject("root-ca-cert-publisher", CONFIG_MAPS, NAME, make, mend))
