"""The managed /etc/hosts of a Pod's containers. Pure. Source: kubelet's nodeHostsFileContent and managedHostsFileContent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Obj = dict[str, Any]

_LOOPBACK = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"


def hostname_of(pod: Obj, cluster_domain: str) -> tuple[str, str]:
    """(hostname, its domain or ""): spec.hostname or the Pod's name cut to 63; a domain when there is a subdomain."""
    spec, metadata = pod["spec"], pod["metadata"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"]), ""
    name = spec.get("hostname") or metadata["name"][:63].rstrip("-.")
    subdomain = spec.get("subdomain")
    return name, f"{subdomain}.{metadata['namespace']}.svc.{cluster_domain}" if subdomain else ""


def hosts_file(pod: Obj, pod_ips: Sequence[str], *, cluster_domain: str, host_file: str = "") -> str:
    """`host_file` is the node's own text, used for Pods on the host's network."""
    aliases = pod["spec"].get("hostAliases") or []
    if pod["spec"].get("hostNetwork"):
        return "# Kubernetes-managed hosts file (host network).\n" + host_file + _alias_lines(aliases)
    name, domain = hostname_of(pod, cluster_domain)
    lines = "".join(f"{ip}\t{name}.{domain}\t{name}\n" if domain else f"{ip}\t{name}\n" for ip in pod_ips)
    return "# Kubernetes-managed hosts file.\n" + _LOOPBACK + lines + _alias_lines(aliases)


def _alias_lines(aliases: Sequence[Obj]) -> str:
    if not aliases:
        return ""
    lines = (alias["ip"] + "\t" + "\t".join(alias.get("hostnames") or []) + "\n" for alias in aliases)
    return "\n# Entries added by HostAliases.\n" + "".join(lines)
