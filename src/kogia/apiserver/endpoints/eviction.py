"""`pods/<name>/eviction`: a deletion that respects disruption budgets. Source: pkg/registry/core/pod/storage/eviction.go."""

from __future__ import annotations

import json
from typing import Any

from kogia.api.selectors import label_selector_from_object
from kogia.api.status import Cause, bad_request, internal_error, not_found, status_error
from kogia.apiserver.endpoints.bodies import read_body, respond
from kogia.apiserver.interface import AdmissionAttributes, AdmissionChain, Registry, RequestInfo
from kogia.wire.messages import Request, Response

Obj = dict[str, Any]
_BLOCKED = "Cannot evict pod as it would violate the pod's disruption budget."


class Evictions:
    def __init__(self, registry: Registry, admission: AdmissionChain) -> None:
        self._registry = registry
        self._admission = admission

    async def __call__(self, request: Request, info: RequestInfo) -> Response:
        assert info.resource is not None and request.user is not None
        obj, _ = read_body(request, info)
        if (obj.get("metadata") or {}).get("name") not in (None, "", info.name):
            raise bad_request("name in URL does not match name in Eviction object")
        found = self._registry.cache.get(("", "pods"), info.name, info.namespace)
        if found is None:
            raise not_found("pods", info.name)
        attributes = AdmissionAttributes("CREATE", info.resource, "eviction", info.namespace, info.name, request.user, obj, None)
        await self._admission.mutate(attributes)
        await self._admission.validate(attributes)
        self._check_budgets(found.object())
        options = {"kind": "DeleteOptions", "apiVersion": "v1", **(obj.get("deleteOptions") or {})}
        if request.param("dryRun"):
            options.setdefault("dryRun", request.query["dryRun"])
        path = f"/api/v1/namespaces/{info.namespace}/pods/{info.name}"
        onward = RequestInfo(True, "delete", path, "", "v1", "pods", "", info.namespace, info.name, (), info.resource)
        headers = {"content-type": "application/json", "user-agent": request.headers.get("user-agent", "")}
        deletion = Request("DELETE", path, "", headers, json.dumps(options).encode(), request.peer, request.user, context={"info": onward})
        await self._registry.serve(deletion, onward)
        return respond(request, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)

    def _check_budgets(self, pod: Obj) -> None:
        """Errors: 429 while a budget has no disruption left, 500 for a Pod under several budgets."""
        if pod["metadata"].get("deletionTimestamp") or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed", "Pending"):
            return
        labels = pod["metadata"].get("labels") or {}
        budgets = [b.object() for b in self._registry.cache.list(("policy", "poddisruptionbudgets"), pod["metadata"]["namespace"])]
        covering = [b for b in budgets if (b.get("spec") or {}).get("selector") is not None and label_selector_from_object(b["spec"]["selector"]).matches(labels)]
        if len(covering) > 1:
            raise internal_error("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
        for budget in covering:
            status = budget.get("status") or {}
            if status.get("disruptionsAllowed", 0) > 0:
                continue
            name = budget["metadata"]["name"]
            if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
                cause = Cause("DisruptionBudget", f"The disruption budget {name} is still being processed by the server.")
                raise status_error(429, "TooManyRequests", _BLOCKED, causes=[cause], retry_after_s=10)
            needs = f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has {status.get('currentHealthy', 0)} currently"
            raise status_error(429, "TooManyRequests", _BLOCKED, causes=[Cause("DisruptionBudget", needs)])
