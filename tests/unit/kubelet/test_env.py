"""Environment: order of sources, expansion, references, services; DNS and hosts; downward values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kogia.cri.types import DNSConfig
from kogia.kubelet.dns import parse_resolv_conf, pod_dns
from kogia.kubelet.downward import FieldError, field_value, format_map, resource_value
from kogia.kubelet.env import EnvError, Facts, environment, expand, service_environment
from kogia.kubelet.hosts import hosts_file

POD = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"b": 'say "hi"', "a": "1"}, "annotations": {}},
    "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "1025"}}}]},
}


@pytest.mark.parametrize("text,expected", [
    ("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"), ("$A $", "$A $"), ("$(A", "$(A"), ("", ""), ("$()", "$()"), ("x$$y", "x$y"),
])  # fmt: skip
def test_expansion(text, expected):
    assert expand(text, {"A": "1"}) == expected


@given(st.text(alphabet="ab()x ", max_size=30))
def test_text_without_dollars_stays(text):
    assert expand(text, {"a": "1"}) == text


def test_sources_in_order_and_only_earlier_names():
    container = {
        "name": "c",
        "envFrom": [{"configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
        "env": [
            {"name": "LATE", "value": "$(AFTER)"}, {"name": "K", "value": "own"}, {"name": "AFTER", "value": "$(K)/$(S_X)"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "nope", "optional": True}}},
        ],
    }
    facts = Facts(config_maps={"m": {"data": {"K": "from map", "L": "2"}}}, secrets={"s": {"X": b"9"}}, pod_ips=["10.0.0.9"])
    assert environment(container, POD, facts) == {"K": "own", "L": "2", "S_X": "9", "LATE": "$(AFTER)", "AFTER": "own/9", "IP": "10.0.0.9"}


@pytest.mark.parametrize("source,message", [
    ({"configMapKeyRef": {"name": "x", "key": "k"}}, 'configmap "x" not found'),
    ({"configMapKeyRef": {"name": "m", "key": "k"}}, "couldn't find key k in ConfigMap ns/m"),
    ({"secretKeyRef": {"name": "x", "key": "k"}}, 'secret "x" not found'),
])  # fmt: skip
def test_what_is_missing_is_said_as_kubernetes_says_it(source, message):
    container = {"name": "c", "env": [{"name": "A", "valueFrom": source}]}
    with pytest.raises(EnvError, match=message):
        environment(container, POD, Facts(config_maps={"m": {"data": {}}}))


def test_service_variables():
    service = {"metadata": {"name": "my-db"}, "spec": {"clusterIP": "10.9.0.1", "ports": [{"port": 5432, "name": "pg", "protocol": "TCP"}]}}
    headless = {"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    assert service_environment([service, headless]) == {
        "MY_DB_SERVICE_HOST": "10.9.0.1", "MY_DB_SERVICE_PORT": "5432", "MY_DB_SERVICE_PORT_PG": "5432", "MY_DB_PORT": "tcp://10.9.0.1:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.9.0.1:5432", "MY_DB_PORT_5432_TCP_PROTO": "tcp", "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.9.0.1",
    }
    env = environment({"name": "c"}, {**POD, "spec": {**POD["spec"], "enableServiceLinks": False}}, Facts(services=[service]))
    assert env == {}


def test_downward_values():
    assert format_map(POD["metadata"]["labels"]) == 'a="1"\nb="say \\"hi\\""'
    assert field_value("metadata.labels['a']", POD) == "1"
    with pytest.raises(FieldError):
        field_value("status.phase", POD)
    container = POD["spec"]["containers"][0]
    ref = lambda resource, divisor="1": {"resource": resource, "divisor": divisor, "containerName": "c"}  # noqa: E731
    assert resource_value(ref("limits.cpu"), POD, container, {}) == "2"
    assert resource_value(ref("limits.cpu", "1m"), POD, container, {}) == "1500"
    assert resource_value(ref("requests.memory", "1Ki"), POD, container, {}) == "2"
    assert resource_value(ref("limits.memory", "1Mi"), POD, container, {"memory": "2048Ki"}) == "2"


def test_dns_policies():
    host = parse_resolv_conf("# c\nnameserver 1.1.1.1\nsearch corp.example\noptions timeout:1\n")
    dns = lambda **spec: pod_dns({"metadata": {"namespace": "ns"}, "spec": spec}, cluster_dns=("10.0.0.53",), cluster_domain="cluster.local", host=host)  # noqa: E731
    cluster = dns()
    assert cluster.servers == ["10.0.0.53"] and cluster.options == ["ndots:5"]
    assert cluster.searches == ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"]
    assert dns(hostNetwork=True).servers == ["1.1.1.1"]
    assert dns(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet").servers == ["10.0.0.53"]
    own = dns(dnsPolicy="None", dnsConfig={"nameservers": ["9.9.9.9"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]})
    assert own == DNSConfig(servers=["9.9.9.9"], searches=["x"], options=["ndots:2", "edns0"])


def test_hosts_file():
    pod = {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"hostname": "h", "subdomain": "s", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}}
    text = hosts_file(pod, ["10.0.0.9"], cluster_domain="cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.9\th.s.ns.svc.cluster.local\th\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
