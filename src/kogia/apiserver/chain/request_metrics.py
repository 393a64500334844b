"""What the chain counts of requests, under kube-apiserver's metric names."""

from __future__ import annotations

from kogia.apiserver.interface import RequestInfo
from kogia.base.metrics import Registry
from kogia.wire.messages import Request

_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)
_NAMES = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION", "post": "POST", "put": "PUT", "head": "HEAD", "options": "OPTIONS",
}


class RequestMetrics:
    def __init__(self, registry: Registry) -> None:
        self.total = registry.counter(
            "apiserver_request_total", "Counter of apiserver requests broken out for each verb, group, version, resource, scope and HTTP response code.",
            ("code", "group", "resource", "scope", "subresource", "verb", "version"),
        )
        self.duration = registry.histogram(
            "apiserver_request_duration_seconds", "Response latency distribution in seconds for each verb, group, version, resource, subresource and scope.",
            _BUCKETS, ("group", "resource", "scope", "subresource", "verb", "version"),
        )
        self.in_flight = registry.gauge(
            "apiserver_current_inflight_requests", "Currently used in-flight requests per request kind.", ("request_kind",),
        )
        self.long_running = registry.gauge(
            "apiserver_longrunning_requests", "Gauge of all active long-running apiserver requests.",
            ("verb", "group", "version", "resource", "subresource"),
        )

    def observe(self, request: Request, info: RequestInfo, code: int, seconds: float) -> None:
        """Paths and resources that are not served share one label value, so that strangers cannot make up series."""
        verb = _NAMES.get(info.verb, "other")
        if not info.is_resource:
            labels = ("", "", "", "", verb, "")
        elif info.resource is None:
            labels = ("", "unknown", "", "", verb, "")
        else:
            scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
            subresource = info.subresource if info.subresource and info.resource.subresource(info.subresource) else ""
            labels = (info.group, info.plural, scope, subresource, verb, info.version)
        self.total.inc((str(code), *labels))
        if verb != "WATCH":
            self.duration.observe(seconds, labels)
