"""Cluster IPs and node ports: nothing is given out twice, and nothing is kept by a write that failed."""

from __future__ import annotations

from typing import Any

import pytest

from kogia.api.status import StatusError
from kogia.apiserver.services.allocator import ServiceAllocator


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "d"}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}], **spec}}


@pytest.fixture
def allocator(cache: Any) -> ServiceAllocator:
    made = ServiceAllocator("10.96.0.0/28", (30000, 30002))
    made.follow(cache)
    return made


def test_addresses_run_out_and_come_back(allocator: ServiceAllocator, cache: Any) -> None:
    given = []
    for n in range(13):
        obj = service(f"s{n}")
        allocator.before(obj, None)
        cache.put("", "services", obj)
        given.append(obj["spec"]["clusterIP"])
    assert len(set(given)) == 13 and not {"10.96.0.0", "10.96.0.1", "10.96.0.15"} & set(given)
    with pytest.raises(StatusError) as full:
        allocator.before(service("more"), None)
    assert "range is full" in full.value.message
    cache.remove("", "services", "d/s3")
    again = service("again")
    allocator.before(again, None)
    assert again["spec"]["clusterIP"] == given[3]


def test_a_failed_write_gives_back_what_it_took(allocator: ServiceAllocator, cache: Any) -> None:
    first = service("a", clusterIP="10.96.0.5", type="NodePort")
    undo = allocator.before(first, None)
    with pytest.raises(StatusError) as taken:
        allocator.before(service("b", clusterIP="10.96.0.5"), None)
    assert taken.value.message == (
        'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.5"]: failed to allocate IP 10.96.0.5: provided IP is already allocated')
    undo()
    assert not allocator.ips.reserved and not allocator.ports.reserved
    allocator.before(service("b", clusterIP="10.96.0.5"), None)


def test_an_update_keeps_its_own_and_headless_takes_none(allocator: ServiceAllocator, cache: Any) -> None:
    obj = service("a", type="NodePort")
    allocator.before(obj, None)
    cache.put("", "services", obj)
    assert not allocator.ips.reserved and not allocator.ports.reserved
    undo = allocator.before({**obj, "spec": {**obj["spec"]}}, obj)
    undo()
    assert allocator.ips.owner(obj["spec"]["clusterIP"]) == "d/a" and allocator.ports.owner(obj["spec"]["ports"][0]["nodePort"]) == "d/a"
    headless = service("h", clusterIP="None")
    allocator.before(headless, None)
    assert headless["spec"]["clusterIPs"] == ["None"] and not allocator.ips.reserved
    name = service("e", type="ExternalName", externalName="x")
    allocator.before(name, None)
    assert "clusterIP" not in name["spec"]


def test_node_ports(allocator: ServiceAllocator, cache: Any) -> None:
    dns = service("dns", type="NodePort", ports=[{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}])
    allocator.before(dns, None)
    assert len({p["nodePort"] for p in dns["spec"]["ports"]}) == 1
    cache.put("", "services", dns)
    for port, why in ((dns["spec"]["ports"][0]["nodePort"], "provided port is already allocated"),
                      (80, "provided port is not in the valid range. The range of valid ports is 30000-30002")):
        with pytest.raises(StatusError) as refused:
            allocator.before(service("b", type="NodePort", ports=[{"port": 1, "nodePort": port}]), None)
        assert refused.value.message == f'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: {port}: {why}'
    with pytest.raises(StatusError) as outside:
        allocator.before(service("c", clusterIP="192.168.0.1"), None)
    assert "provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/28" in outside.value.message
    local = service("lb", type="LoadBalancer", externalTrafficPolicy="Local")
    allocator.before(local, None)
    assert local["spec"]["healthCheckNodePort"] != local["spec"]["ports"][0]["nodePort"]
