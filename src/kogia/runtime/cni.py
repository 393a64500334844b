"""CNI: run the plugins of a configured network, for nodes whose network is not the default one.

The first *.conflist (or *.conf) of the directory, by name, is the network, as kubelets and runtimes have always chosen it.
The configuration and the result of each ADD are kept on disk until its DEL, so that a sandbox is taken down by the very
configuration that set it up. Results and chains are built by pure functions.
Source: containernetworking/cni SPEC.md 1.0.0, sections 2 to 5.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime.spawn import run
from kogia.runtime.state import write_atomically

TIMEOUT_S = 60.0
INTERFACE = "eth0"


@dataclass(frozen=True, slots=True)
class NetworkConf:
    """A network configuration list."""

    name: str
    version: str
    plugins: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What plugins are told about a sandbox."""

    sandbox_id: str
    netns: str
    pod_name: str
    pod_namespace: str
    pod_uid: str
    port_mappings: Sequence[t.PortMapping] = ()


def parse_conf(text: str) -> NetworkConf:
    """From a conflist, or a single plugin's conf. Errors: CriError INVALID_ARGUMENT."""
    try:
        raw = json.loads(text)
        plugins = raw.get("plugins", [raw])
        if not plugins or not all(isinstance(p.get("type"), str) for p in plugins):
            raise KeyError("type")
        return NetworkConf(raw["name"], raw.get("cniVersion", "0.1.0"), plugins)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CriError(Code.INVALID_ARGUMENT, f"broken CNI network configuration: {error!r}") from error


def find_conf(directory: Path | None) -> str | None:
    """The text of the network to use; None if none is configured."""
    if directory is None or not directory.is_dir():
        return None
    for path in sorted(directory.iterdir()):
        if path.suffix in (".conflist", ".conf", ".json"):
            return path.read_text()
    return None


def request(conf: NetworkConf, plugin: dict[str, Any], pod: Attachment, previous: dict[str, Any] | None) -> dict[str, Any]:
    """What one plugin reads on its stdin. Pure."""
    body = {**plugin, "name": conf.name, "cniVersion": conf.version}
    capabilities = body.pop("capabilities", None) or {}
    runtime: dict[str, Any] = {}
    if capabilities.get("portMappings"):
        runtime["portMappings"] = [port_mapping(m) for m in pod.port_mappings if m.host_port]
    if runtime:
        body["runtimeConfig"] = runtime
    if previous is not None:
        body["prevResult"] = previous
    return body


def port_mapping(mapping: t.PortMapping) -> dict[str, Any]:
    out = {"hostPort": mapping.host_port, "containerPort": mapping.container_port, "protocol": mapping.protocol.name.lower()}
    if mapping.host_ip:
        out["hostIP"] = mapping.host_ip
    return out


def addresses(result: dict[str, Any]) -> list[str]:
    """The sandbox's IPs in a result: those of its interface, IPv4 first. Understands 0.2 to 1.0 results. Pure."""
    found: list[str] = []
    for key in ("ip4", "ip6"):  # up to 0.2
        if key in result:
            found.append(result[key]["ip"])
    interfaces = result.get("interfaces") or []
    for entry in result.get("ips") or []:
        index = entry.get("interface")
        if index is not None and interfaces and not interfaces[index].get("sandbox"):
            continue
        found.append(entry["address"])
    bare = [address.split("/")[0] for address in found]
    return [a for a in bare if ":" not in a] + [a for a in bare if ":" in a]


class Cni:
    """Runs a network's plugins; `cache` holds one file per attached sandbox."""

    def __init__(self, conf_dir: Path | None, bin_dirs: Sequence[Path], cache: Path) -> None:
        self._conf_dir, self._bin_dirs, self._cache = conf_dir, bin_dirs, cache

    def configured(self) -> bool:
        return find_conf(self._conf_dir) is not None

    async def add(self, pod: Attachment) -> list[str]:
        """Attach; returns the IPs. On failure it is detached again. Errors: CriError."""
        text = find_conf(self._conf_dir)
        if text is None:
            raise CriError(Code.UNAVAILABLE, "cni plugin not initialized")
        conf = parse_conf(text)
        self._cache.mkdir(parents=True, exist_ok=True)
        # Written before the first plugin runs: a crash in the middle is then undone by DEL at the next start.
        self._remember(pod, text, None)
        result: dict[str, Any] | None = None
        try:
            for plugin in conf.plugins:
                result = await self._call("ADD", conf, plugin, pod, result)
            self._remember(pod, text, result)
        except BaseException:
            await self.delete(pod, quiet=True)
            raise
        return addresses(result or {})

    async def check(self, pod: Attachment) -> None:
        """Ask the plugins whether all is still as ADD left it. Errors: CriError with the plugin's words."""
        held = self._recall(pod.sandbox_id)
        if held is None:
            raise CriError(Code.NOT_FOUND, f"sandbox {pod.sandbox_id} is not attached")
        conf = parse_conf(held["conf"])
        for plugin in conf.plugins:
            await self._call("CHECK", conf, plugin, pod, held["result"])

    async def delete(self, pod: Attachment, *, quiet: bool = False) -> None:
        """Detach, in reverse order. Idempotent. Errors: CriError unless `quiet`; then the cache stays for another try."""
        held = self._recall(pod.sandbox_id)
        if held is None:
            return
        conf = parse_conf(held["conf"])
        for plugin in reversed(conf.plugins):
            try:
                await self._call("DEL", conf, plugin, pod, held["result"])
            except CriError:
                if not quiet:
                    raise
        (self._cache / pod.sandbox_id).unlink(missing_ok=True)

    def attached(self) -> dict[str, Attachment]:
        """Sandbox id → what an ADD was begun for and no DEL finished."""
        if not self._cache.is_dir():
            return {}
        found = {}
        for path in self._cache.iterdir():
            held = self._recall(path.name)
            if held is not None:
                found[path.name] = _attachment(held["pod"])
        return found

    def _remember(self, pod: Attachment, conf: str, result: dict[str, Any] | None) -> None:
        body = {"conf": conf, "result": result, "pod": {**_facts(pod), "ports": [port_mapping(m) for m in pod.port_mappings]}}
        write_atomically(self._cache / pod.sandbox_id, json.dumps(body).encode())

    def _recall(self, sandbox_id: str) -> dict[str, Any] | None:
        try:
            held: dict[str, Any] = json.loads((self._cache / sandbox_id).read_bytes())
        except (OSError, ValueError):
            return None
        return held

    async def _call(
        self, command: str, conf: NetworkConf, plugin: dict[str, Any], pod: Attachment, previous: dict[str, Any] | None
    ) -> dict[str, Any]:
        program = next((str(d / plugin["type"]) for d in self._bin_dirs if (d / plugin["type"]).exists()), None)
        if program is None:
            raise CriError(Code.UNAVAILABLE, f'failed to find plugin "{plugin["type"]}" in path {[str(d) for d in self._bin_dirs]}')
        env = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": pod.sandbox_id,
            "CNI_NETNS": pod.netns,
            "CNI_IFNAME": INTERFACE,
            "CNI_PATH": ":".join(str(d) for d in self._bin_dirs),
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.pod_namespace};K8S_POD_NAME={pod.pod_name};"
            f"K8S_POD_INFRA_CONTAINER_ID={pod.sandbox_id};K8S_POD_UID={pod.pod_uid}",
        }
        body = json.dumps(request(conf, plugin, pod, previous)).encode()
        try:
            outcome = await run([program], stdin=body, env=env, timeout_s=TIMEOUT_S)
        except TimeoutError as error:
            raise CriError(Code.DEADLINE_EXCEEDED, f'plugin type="{plugin["type"]}" did not answer within {TIMEOUT_S:.0f} s') from error
        try:
            answer = json.loads(outcome.stdout) if outcome.stdout.strip() else {}
        except ValueError:
            answer = {}
        if outcome.returncode:
            words = answer.get("msg") or outcome.error_text()
            action = {"ADD": "add", "DEL": "delete", "CHECK": "check"}[command]
            raise CriError(Code.UNKNOWN, f'plugin type="{plugin["type"]}" name="{conf.name}" failed ({action}): {words}')
        return answer or (previous or {})


def _facts(pod: Attachment) -> dict[str, Any]:
    return {
        "sandbox_id": pod.sandbox_id,
        "netns": pod.netns,
        "pod_name": pod.pod_name,
        "pod_namespace": pod.pod_namespace,
        "pod_uid": pod.pod_uid,
    }


def _attachment(held: dict[str, Any]) -> Attachment:
    ports = [
        t.PortMapping(
            protocol=t.Protocol[m["protocol"].upper()],
            container_port=m["containerPort"],
            host_port=m["hostPort"],
            host_ip=m.get("hostIP", ""),
        )
        for m in held.get("ports", ())
    ]
    return Attachment(**{k: v for k, v in held.items() if k != "ports"}, port_mappings=ports)


def default_conflist(name: str, bridge: str, cidr: str, data_dir: Path, mtu: int) -> str:
    """The default network as a CNI configuration: what `network_default` does by itself, for people and for plugins. Pure."""
    link = {
        "type": "bridge",
        "bridge": bridge,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": str(data_dir), "ranges": [[{"subnet": cidr}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    if mtu:
        link["mtu"] = mtu
    plugins = [link, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": plugins}, indent=2) + "\n"
