"""Pods reach each other, the node, the API server at the node's address; the node reaches Pods."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

SERVE = "mkdir -p /www; hostname > /www/index.html; exec busybox httpd -f -p 8080 -h /www"


def test_who_reaches_whom(cluster):
    server = cluster.run_pod("server", SERVE)
    address, host = server["status"]["podIP"], server["status"]["hostIP"]
    cluster.run_pod("client")
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"

    def inside(*words):
        return cluster.kubectl("exec", "client", "--", *words)

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert cluster.wait_for(lambda: opener.open(f"http://{address}:8080/", timeout=5).read(), "node to Pod") == b"server\n"
    assert inside("busybox", "wget", "-qO-", f"http://{address}:8080/").ok() == "server\n"
    assert cluster.kubectl("exec", "server", "--", "busybox", "wget", "-qO-", f"http://{address}:8080/").ok() == "server\n"
    reach = inside("sh", "-c", f"busybox nc -w 5 {host} {cluster.port} </dev/null && echo connected")
    assert reach.ok().strip() == "connected"
    kubelet = cluster.get("nodes")["items"][0]["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    assert inside("sh", "-c", f"busybox nc -w 5 {host} {kubelet} </dev/null && echo connected").ok().strip() == "connected"
    assert inside("busybox", "ping", "-c1", "-W2", address).code == 0 or "not permitted" in inside("busybox", "ping", "-c1", address).err


def test_a_pod_speaks_to_the_api_with_its_token(cluster, tmp_path):
    """TLS by the cluster's CA, the service account's token, Kubernetes' own words for what it may not do."""
    cluster.run_pod("talker")
    token = cluster.kubectl("exec", "talker", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token").ok()
    authority = tmp_path / "ca.crt"
    authority.write_text(cluster.kubectl("exec", "talker", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt").ok())
    host = cluster.pod("talker")["status"]["hostIP"]
    kubectl = ("--kubeconfig", "/dev/null", "--server", f"https://{host}:{cluster.port}", "--certificate-authority", str(authority), "--token", token)
    answer = cluster.kubectl(*kubectl, "get", "pods")
    assert answer.code == 1
    assert 'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods"' in answer.err
    allowed = json.loads(cluster.kubectl(*kubectl, "get", "--raw", "/version").ok())
    assert allowed["major"] == "1"
