"""Sandboxes: networks (the default one and CNI plugins), host ports, sharing, idempotence."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError

from .conftest import Lab, ended, leaks, started

SERVE = "while true; do nc -l -p 80 -e echo served; done"


def test_run_stop_remove_are_idempotent_and_seen(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        pod = lab.pod()
        pod.labels["app"] = "web"
        sandbox, (container,) = await started(runtime, pod, lab.container("sleep", "60"))
        assert runtime.ctx.sandbox(sandbox).name == "k8s_POD_pod_default_uid-pod_0"
        assert (await runtime.pod_sandbox_status(sandbox[:13])).id == sandbox
        assert [s.id for s in await runtime.list_pod_sandbox(t.PodSandboxFilter(label_selector={"app": "web"}))] == [sandbox]
        assert not await runtime.list_pod_sandbox(t.PodSandboxFilter(label_selector={"app": "db"}))
        events = runtime.container_events()
        for _ in range(2):
            await runtime.stop_pod_sandbox(sandbox)
        assert (await runtime.container_status(container)).exit_code == 137
        assert (await runtime.pod_sandbox_status(sandbox)).state == t.PodSandboxState.SANDBOX_NOTREADY
        with pytest.raises(CriError) as caught:
            await runtime.create_container(sandbox, lab.container("true"), pod)
        assert caught.value.code is Code.FAILED_PRECONDITION
        for _ in range(2):
            await runtime.remove_pod_sandbox(sandbox)
        assert not await runtime.list_pod_sandbox() and not await runtime.list_containers()
        kinds = []
        while not kinds or kinds[-1] != (sandbox, "CONTAINER_DELETED_EVENT"):
            event = await asyncio.wait_for(anext(events), 5)
            kinds.append((event.container_id, event.container_event_type.name))
        assert (sandbox, "CONTAINER_STOPPED_EVENT") in kinds

    lab.run(test)


def test_containers_of_a_pod_share_network_ipc_uts_and_shm(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        show = "for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; echo x > /dev/shm/$0; ls /dev/shm"
        _, ids = await started(runtime, lab.pod(), lab.container("sh", "-c", show, "a", name="a"))
        await ended(runtime, ids[0])
        container = await runtime.create_container(
            runtime.ctx.container(ids[0]).sandbox_id, lab.container("sh", "-c", show, "b", name="b"), lab.pod()
        )
        await runtime.start_container(container)
        await ended(runtime, container)
        first, second = lab.log(name="a").splitlines(), lab.log(name="b").splitlines()
        assert first[:3] == second[:3]
        assert first[4:] == ["a"] and second[4:] == ["a", "b"]
        assert all(os.readlink(f"/proc/self/ns/{n}") != line for n, line in zip(("net", "ipc", "uts", "pid"), first, strict=False))

    lab.run(test)


def test_host_network_and_host_pid(lab: Lab) -> None:
    options = t.NamespaceOption(network=t.NamespaceMode.NODE, pid=t.NamespaceMode.NODE, ipc=t.NamespaceMode.NODE)
    linux = t.LinuxPodSandboxConfig(security_context=t.LinuxSandboxSecurityContext(namespace_options=options))
    config = t.LinuxContainerConfig(security_context=t.LinuxContainerSecurityContext(namespace_options=options))

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        script = "for n in net ipc uts pid; do readlink /proc/self/ns/$n; done"
        _, (container,) = await started(runtime, lab.pod(linux=linux), lab.script(script, linux=config))
        await ended(runtime, container)
        assert lab.log().splitlines() == [os.readlink(f"/proc/self/ns/{n}") for n in ("net", "ipc", "uts", "pid")]

    lab.run(test)


def test_pods_reach_each_other_and_addresses_rotate(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        server, _ = await started(runtime, lab.pod("server"), lab.script(SERVE))
        ip = (await runtime.pod_sandbox_status(server)).network.ip
        await asyncio.sleep(0.2)
        client, (container,) = await started(runtime, lab.pod("client"), lab.script(f"nc {ip} 80 </dev/null"))
        assert (await ended(runtime, container)).exit_code == 0
        assert lab.log("client") == "served\n"
        used = set()
        for number in range(8):
            sandbox = await runtime.run_pod_sandbox(lab.pod(f"p{number}"))
            used.add((await runtime.pod_sandbox_status(sandbox)).network.ip)
            await runtime.remove_pod_sandbox(sandbox)
        assert len(used) == 8 and ip not in used

    lab.run(test)


def test_sysctls(lab: Lab) -> None:
    linux = t.LinuxPodSandboxConfig(sysctls={"net.ipv4.ip_local_port_range": "1024 2000", "kernel.shm_rmid_forced": "1"})

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        script = "cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced"
        _, (container,) = await started(runtime, lab.pod(linux=linux), lab.script(script))
        await ended(runtime, container)
        assert lab.log().split() == ["1024", "2000", "1"]
        with pytest.raises(CriError, match="sysctls"):
            await runtime.run_pod_sandbox(lab.pod("bad", linux=t.LinuxPodSandboxConfig(sysctls={"net.no_such": "1"})))
        assert len(await runtime.list_pod_sandbox()) == 1
        assert len(list(lab.config.sandboxes_dir.iterdir())) == 1

    lab.run(test)


def ask(address: str, port: int) -> bytes:
    """What the server says; it is away for a moment after each answer."""
    for _ in range(20):
        try:
            return ask_once(address, port)
        except OSError:
            time.sleep(0.05)
    return ask_once(address, port)


def ask_once(address: str, port: int) -> bytes:
    with socket.create_connection((address, port), 3) as connection:
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(100)


def test_host_ports(lab: Lab) -> None:
    mappings = [t.PortMapping(container_port=80, host_port=45871), t.PortMapping(container_port=80, host_port=45872, host_ip="127.0.0.1")]

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        pod = lab.pod(port_mappings=mappings)
        sandbox, _ = await started(runtime, pod, lab.script(SERVE))
        await asyncio.sleep(0.2)
        gateway = lab.config.pod_cidr.replace("0/24", "1")
        assert await asyncio.to_thread(ask, "127.0.0.1", 45871) == b"served\n"
        assert await asyncio.to_thread(ask, gateway, 45871) == b"served\n"
        assert await asyncio.to_thread(ask, "127.0.0.1", 45872) == b"served\n"
        with pytest.raises(OSError):
            await asyncio.to_thread(ask, gateway, 45872)
        _, (inside,) = await started(
            runtime, lab.pod("client"), lab.script(f"for i in 1 2 3 4 5; do nc {gateway} 45871 </dev/null && break; sleep 0.1; done")
        )
        assert (await ended(runtime, inside)).exit_code == 0
        assert lab.log("client") == "served\n"
        with pytest.raises(CriError, match="45871/tcp is already mapped"):
            await runtime.run_pod_sandbox(lab.pod("second", port_mappings=mappings[:1]))
        await runtime.remove_pod_sandbox(sandbox)
        assert not [leak for leak in await asyncio.to_thread(leaks.find, lab.config) if "hostports" in leak]

    lab.run(test)


def test_an_unknown_handler(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(CriError, match='no runtime for "gvisor" is configured'):
            await runtime.run_pod_sandbox(lab.pod(), "gvisor")

    lab.run(test)


def test_failure_leaves_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        from kogia.runtime import sandbox_run

        def broken(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(sandbox_run.mounts, "tmpfs", broken)
        with pytest.raises(CriError, match="No space left"):
            await runtime.run_pod_sandbox(lab.pod())
        assert not await runtime.list_pod_sandbox()
        assert not list(lab.config.sandboxes_dir.iterdir())

    lab.run(test)


PLUGINS = next((d for d in (Path("/opt/cni/bin"), Path("/usr/lib/cni")) if (d / "bridge").exists()), None)


def test_cni_plugins(lab: Lab) -> None:
    """The default network's conflist, but by the real plugins."""
    assert PLUGINS is not None, "the CNI plugins are not installed (containernetworking-plugins)"
    conf_dir = lab.base / "net.d"
    conf_dir.mkdir()
    bridge = lab.config.link_prefix + "cni"
    ipam = {
        "type": "host-local",
        "dataDir": str(lab.base / "ipam"),
        "ranges": [[{"subnet": "10.77.10.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [{"type": "bridge", "bridge": bridge, "isGateway": True, "ipam": ipam}]
    (conf_dir / "10-test.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "ctestnet", "plugins": plugins}))
    lab.config = replace(lab.config, cni_conf_dir=conf_dir)

    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        sandbox, (container,) = await started(runtime, lab.pod(), lab.script("ip -4 addr show eth0"))
        await ended(runtime, container)
        ip = (await runtime.pod_sandbox_status(sandbox)).network.ip
        assert ip.startswith("10.77.10.") and f"inet {ip}/24" in lab.log()
        assert (lab.base / "ipam/ctestnet" / ip).exists()
        await runtime.remove_pod_sandbox(sandbox)
        assert not (lab.base / "ipam/ctestnet" / ip).exists()
        (conf_dir / "10-test.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "nope"}]}))
        with pytest.raises(CriError, match='failed to find plugin "nope"'):
            await runtime.run_pod_sandbox(lab.pod("other"))
        assert not list((lab.config.cni_dir / "results").iterdir())

    try:
        lab.run(test)
    finally:
        subprocess.run(["ip", "link", "del", bridge], check=False)
