"""A Pod's resolv.conf by dnsPolicy and dnsConfig. Pure; the node's own file is passed in as text.

Source: kubelet network/dns GetPodDNS, appendDNSConfig.
"""

from __future__ import annotations

from typing import Any

from kogia.cri.types import DNSConfig

Obj = dict[str, Any]

MAX_SERVERS, MAX_SEARCHES = 3, 32


def parse_resolv_conf(text: str) -> DNSConfig:
    """Servers, searches (the last line counts) and options of a resolv.conf."""
    config = DNSConfig()
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            config.servers.append(words[1])
        elif words[0] in ("search", "domain"):
            config.searches = [w.rstrip(".") or "." for w in words[1:]]
        elif words[0] == "options":
            config.options = words[1:]
    return config


def pod_dns(pod: Obj, *, cluster_dns: tuple[str, ...], cluster_domain: str, host: DNSConfig) -> DNSConfig:
    """The sandbox's DNS. ClusterFirst without cluster DNS, or on the host's network, is Default."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    config = DNSConfig(servers=list(host.servers), searches=list(host.searches), options=list(host.options))
    if policy == "None":
        config = DNSConfig()
    elif policy in ("ClusterFirst", "ClusterFirstWithHostNet") and cluster_dns:
        namespace = pod["metadata"].get("namespace", "default")
        searches = [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain] if cluster_domain else []
        config = DNSConfig(servers=list(cluster_dns), searches=_unique(searches + host.searches), options=["ndots:5"])
    more = spec.get("dnsConfig") or {}
    config.servers = _unique(config.servers + (more.get("nameservers") or []))[:MAX_SERVERS]
    config.searches = _unique(config.searches + (more.get("searches") or []))[:MAX_SEARCHES]
    options = {o.split(":")[0]: o for o in config.options}
    for option in more.get("options") or []:
        value = option.get("value")
        options[option["name"]] = option["name"] if value in (None, "") else f"{option['name']}:{value}"
    config.options = list(options.values())
    return config


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))
