"""The OCI spec: pure, so every rule is read off the result."""

from __future__ import annotations

from typing import Any

import pytest

from kogia.cri import types as t
from kogia.cri.errors import CriError
from kogia.runtime import spec
from kogia.runtime.users import Identity


def given(config: t.ContainerConfig | None = None, **more: Any) -> spec.SpecInput:
    fields: dict[str, Any] = {
        "container_id": "c1",
        "config": config or t.ContainerConfig(command=["run"]),
        "sandbox_config": t.PodSandboxConfig(),
        "image_config": {},
        "identity": Identity(0, 0, (0,), "/root"),
        "cgroup": "/kogia/pods/p/c1",
        "hostname": "web-0",
        **more,
    }
    return spec.SpecInput(**fields)


def with_security(**fields: Any) -> t.ContainerConfig:
    security = t.LinuxContainerSecurityContext(**fields)
    return t.ContainerConfig(command=["run"], linux=t.LinuxContainerConfig(security_context=security))


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ([], [], ["/entry", "-e", "cmd"]),
        (["own"], [], ["own"]),
        ([], ["a"], ["/entry", "-e", "a"]),
        (["own"], ["a"], ["own", "a"]),
    ],
)
def test_command_and_args(command: list[str], args: list[str], expected: list[str]) -> None:
    image = {"Entrypoint": ["/entry", "-e"], "Cmd": ["cmd"]}
    assert spec.arguments(t.ContainerConfig(command=command, args=args), image) == expected


def test_no_command_at_all() -> None:
    with pytest.raises(CriError, match="no command specified"):
        spec.arguments(t.ContainerConfig(), {})


def test_environment_order_and_defaults() -> None:
    config = t.ContainerConfig(command=["run"], tty=True, envs=[t.KeyValue(key="A", value="pod"), t.KeyValue(key="HOSTNAME", value="mine")])
    env = spec.environment(given(config, image_config={"Env": ["A=image", "B=x=y", "PATH=/opt"]}))
    assert dict(entry.split("=", 1) for entry in env) == {
        "PATH": "/opt",
        "HOSTNAME": "mine",
        "TERM": "xterm",
        "A": "pod",
        "B": "x=y",
        "HOME": "/root",
    }
    assert len(env) == 6


def test_capabilities() -> None:
    everything = frozenset(spec.CAPABILITIES)

    def names(add: list[str], drop: list[str], allowed: frozenset[str] = everything) -> list[str]:
        security = t.LinuxContainerSecurityContext(capabilities=t.Capability(add_capabilities=add, drop_capabilities=drop))
        return spec.capability_names(security, allowed)

    assert set(names([], [])) == spec.DEFAULT_CAPABILITIES
    assert names(["NET_ADMIN"], ["ALL"]) == ["CAP_NET_ADMIN"]
    assert names(["ALL"], []) == list(spec.CAPABILITIES)
    assert "CAP_CHOWN" not in names(["ALL"], ["CHOWN"])
    assert "CAP_SYS_RESOURCE" not in names(["ALL"], [], everything - {"CAP_SYS_RESOURCE"})
    assert names(["cap_net_admin"], ["all"]) == ["CAP_NET_ADMIN"]
    with pytest.raises(CriError, match="unknown capability 'CAP_FLY'"):
        names(["FLY"], [])


def test_namespaces_are_joined_or_new_or_the_hosts() -> None:
    paths = {"net_path": "/ns/net", "ipc_path": "/ns/ipc", "uts_path": "/ns/uts"}
    kinds = {n["type"]: n.get("path") for n in spec.build(given(**paths))["linux"]["namespaces"]}
    assert kinds == {"mount": None, "network": "/ns/net", "ipc": "/ns/ipc", "uts": "/ns/uts", "pid": None, "cgroup": None}
    node = t.NamespaceMode.NODE
    config = with_security(namespace_options=t.NamespaceOption(network=node, pid=node, ipc=node))
    assert [n["type"] for n in spec.build(given(config, cgroup_v2=False))["linux"]["namespaces"]] == ["mount"]


def test_privileged_is_unmasked_and_may_use_every_device() -> None:
    plain, mighty = spec.build(given())["linux"], spec.build(given(with_security(privileged=True)))["linux"]
    assert "/proc/kcore" in plain["maskedPaths"] and "/proc/sys" in plain["readonlyPaths"]
    assert "maskedPaths" not in mighty and "readonlyPaths" not in mighty
    assert plain["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert mighty["resources"]["devices"] == [{"allow": True, "access": "rwm"}]


def test_the_machines_limits_are_respected() -> None:
    linux = t.LinuxContainerConfig(resources=t.LinuxContainerResources(oom_score_adj=-998))
    built = spec.build(given(t.ContainerConfig(command=["run"], linux=linux), oom_score_floor=0))
    assert built["process"]["oomScoreAdj"] == 0
    assert "rlimits" not in built["process"]


def test_a_pods_mount_replaces_a_default_and_parents_come_first() -> None:
    config = t.ContainerConfig(
        command=["run"],
        mounts=[
            t.Mount(container_path="/a/b", host_path="/h/ab", readonly=True),
            t.Mount(container_path="/a", host_path="/h/a", propagation=t.MountPropagation.PROPAGATION_HOST_TO_CONTAINER),
            t.Mount(container_path="/dev/shm", host_path="/h/shm"),
        ],
    )
    built = spec.build(given(config, shm_dir="/sandbox/shm"))
    destinations = [m["destination"] for m in built["mounts"]]
    assert destinations.count("/dev/shm") == 1
    assert destinations.index("/a") < destinations.index("/a/b")
    by_place = {m["destination"]: m for m in built["mounts"]}
    assert by_place["/a/b"]["options"] == ["rbind", "rprivate", "ro"]
    assert by_place["/a"]["options"] == ["rbind", "rslave"]
    assert by_place["/dev/shm"]["source"] == "/h/shm"
    assert built["linux"]["rootfsPropagation"] == "rslave"


def test_limits() -> None:
    asked = t.LinuxContainerResources(cpu_shares=102, cpu_quota=10000, memory_limit_in_bytes=1 << 26, unified={"memory.high": "1"})
    assert spec.limits(asked, swap_accounting=True, cgroup_v2=False) == {
        "cpu": {"shares": 102, "quota": 10000, "period": 100000},
        "memory": {"limit": 1 << 26, "swap": 1 << 26},
    }
    assert spec.limits(asked, swap_accounting=False, cgroup_v2=True)["unified"] == {"memory.high": "1"}
    assert spec.limits(t.LinuxContainerResources(), swap_accounting=True, cgroup_v2=True) == {}
