"""The pure parts around containers: users, seccomp, cgroups, CNI, host ports, error texts, records, addresses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime import cgroups, cni, conmon, hostports, libc, namespaces, oci, seccomp, state, users
from kogia.runtime.config import RuntimeConfig
from kogia.runtime.context import find
from kogia.runtime.ipam import HostLocal
from kogia.runtime.network_default import network_rules, overlapping
from kogia.runtime.sandbox_run import resolv_conf

PASSWD = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\nbroken line\n"
GROUP = "root:x:0:\nann:x:1001:\nstaff:x:50:bob,ann\n"


def who(user: str = "", **more: Any) -> users.Identity:
    fields: dict[str, Any] = {"uid": None, "username": "", "gid": None, "extra": [], "strict": False, **more}
    return users.decide(PASSWD, GROUP, user, **fields)


def test_users() -> None:
    assert who() == users.Identity(0, 0, (0,), "/root")
    assert who("ann") == users.Identity(1000, 1001, (50, 1001), "/home/ann")
    assert who("ann", strict=True, extra=[9]) == users.Identity(1000, 1001, (9, 1001), "/home/ann")
    assert who("ann:staff").gid == 50
    assert who("ann", uid=4242) == users.Identity(4242, 0, (0,), "/")
    assert who("", uid=1000, gid=7).gid == 7
    assert who(username="ann").uid == 1000
    assert who("77:88") == users.Identity(77, 88, (88,), "/")
    with pytest.raises(CriError, match="unable to find user eve: no matching entries in passwd file"):
        who("eve")
    with pytest.raises(CriError, match="unable to find group crew"):
        who("ann:crew")


def test_the_images_links_do_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "inside").write_text("image's own")
    (tmp_path / "etc/passwd").symlink_to("/inside")
    (tmp_path / "etc/group").symlink_to("../../../../../../../../etc/hostname")
    assert users.read_in_root(str(tmp_path), "/etc/passwd") == "image's own"
    assert users.read_in_root(str(tmp_path), "/etc/group") == ""


PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_AARCH64"}],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "args": None, "includes": {"caps": ["CAP_SYS_ADMIN"]}, "excludes": {}},
        {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "includes": {}, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["arm_only"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}, "excludes": {}},
    ],
}


def test_seccomp_conditions() -> None:
    def names(caps: set[str], machine: str) -> list[str]:
        return [name for rule in seccomp.resolve(PROFILE, caps, machine)["syscalls"] for name in rule["names"]]

    assert names(set(), "x86_64") == ["read", "clone"]
    assert names({"CAP_SYS_ADMIN"}, "x86_64") == ["read", "mount"]
    assert names(set(), "aarch64") == ["read", "clone", "arm_only"]
    resolved = seccomp.resolve(PROFILE, set(), "x86_64")
    assert resolved["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert resolved["defaultErrnoRet"] == 38
    assert resolved["syscalls"][1] == {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    plain = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": []}
    assert seccomp.resolve(plain, set(), "x86_64") == plain


HYBRID = """\
30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
34 30 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
"""
UNIFIED = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_cgroup_layouts() -> None:
    hybrid = cgroups.detect(HYBRID)
    assert not hybrid.is_v2 and hybrid.hybrid == Path("/sys/fs/cgroup/unified")
    assert hybrid.v1["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct") and "systemd" in hybrid.v1
    assert len(hybrid.hierarchies()) == 4
    unified = cgroups.detect(UNIFIED)
    assert unified.is_v2 and unified.hierarchies() == [Path("/sys/fs/cgroup")]
    assert cgroups.group_dir(unified, "memory", "/kogia/p") == Path("/sys/fs/cgroup/kogia/p")


def test_cgroup_v2_files(tmp_path: Path) -> None:
    """A recorded tree of Linux 6.1, and what is written into it."""
    group = tmp_path / "kogia/pod1"
    for level in (tmp_path, tmp_path / "kogia", group):
        level.mkdir(exist_ok=True)
        (level / "cgroup.subtree_control").write_text("")
        (level / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    for name in ("cpu.weight", "cpu.max", "memory.max", "memory.high"):
        (group / name).write_text("")
    resources = t.LinuxContainerResources(cpu_shares=1024, cpu_quota=50000, memory_limit_in_bytes=1 << 27, unified={"memory.high": "99"})
    layout = cgroups.Layout(tmp_path, {})
    cgroups.make_pod_group(layout, "/kogia/pod1", resources)
    assert (group / "cpu.weight").read_text() == "39"
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert (group / "memory.max").read_text() == str(1 << 27)
    assert (group / "memory.high").read_text() == "99"
    for level in (tmp_path, tmp_path / "kogia", group):
        assert (level / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids +io"
    (group / "cpu.stat").write_text("usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 0\n")
    (group / "memory.current").write_text("5000\n")
    (group / "memory.stat").write_text("anon 3000\nfile 2000\ninactive_file 1500\n")
    (group / "pids.current").write_text("7\n")
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n")
    assert cgroups.usage(layout, "/kogia/pod1") == cgroups.Usage(1_500_000, 5000, 3500, 3000, 7)
    assert cgroups.oom_kills(layout, "/kogia/pod1") == 1
    assert cgroups.usage(layout, "/gone") == cgroups.Usage()


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (100, 4), (1024, 39), (262144, 10000), (0, 1)])
def test_weight_of_shares(shares: int, weight: int) -> None:
    assert cgroups.weight_of_shares(shares) == weight


def test_cni_results() -> None:
    modern = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": "/ns/x"}],
        "ips": [
            {"address": "fd00::5/64", "interface": 1},
            {"address": "10.1.0.5/24", "interface": 1},
            {"address": "10.1.0.1/24", "interface": 0},
        ],
    }
    assert cni.addresses(modern) == ["10.1.0.5", "fd00::5"]
    assert cni.addresses({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.9/24"}}) == ["10.1.0.9"]
    assert cni.addresses({}) == []


def test_cni_requests() -> None:
    text = cni.default_conflist("kogia", "kogia0", "10.42.0.0/24", Path("/data"), 1400)
    conf = cni.parse_conf(text)
    ports = [
        t.PortMapping(container_port=80, host_port=8080, protocol=t.Protocol.UDP, host_ip="127.0.0.1"),
        t.PortMapping(container_port=9),
    ]
    pod = cni.Attachment(sandbox_id="s", netns="/n", pod_name="p", pod_namespace="d", pod_uid="u", port_mappings=ports)
    first, second = (cni.request(conf, plugin, pod, previous) for plugin, previous in zip(conf.plugins, (None, {"ips": []}), strict=True))
    assert (first["name"], first["cniVersion"], first["type"], first["mtu"]) == ("kogia", "1.0.0", "bridge", 1400)
    assert "prevResult" not in first and "runtimeConfig" not in first
    assert second["prevResult"] == {"ips": []} and "capabilities" not in second
    mapping = {"hostPort": 8080, "containerPort": 80, "protocol": "udp", "hostIP": "127.0.0.1"}
    assert second["runtimeConfig"] == {"portMappings": [mapping]}
    assert cni.parse_conf('{"name": "n", "type": "bridge"}').plugins[0]["type"] == "bridge"
    for broken in ("", "[]", '{"name": "x", "plugins": []}', '{"plugins": [{"type": "a"}]}', '{"name": "x", "plugins": [{}]}'):
        with pytest.raises(CriError, match="broken CNI network configuration"):
            cni.parse_conf(broken)


def test_host_ports() -> None:
    config = RuntimeConfig(root=Path("/r"), state_dir=Path("/s"), name="two")
    pod = t.PodSandboxConfig(
        port_mappings=[
            t.PortMapping(container_port=80, host_port=8080),
            t.PortMapping(container_port=53, host_port=53, protocol=t.Protocol.UDP, host_ip="127.0.0.1"),
            t.PortMapping(container_port=1),
        ]
    )
    ports = hostports.wanted(pod, "10.42.0.9")
    assert [(p.protocol, p.host_ip, p.host_port, p.pod_port) for p in ports] == [("tcp", "", 8080, 80), ("udp", "127.0.0.1", 53, 53)]
    text = hostports.render(config, ports)
    assert text.startswith("table ip kogia_two_hostports {}\ndelete table ip kogia_two_hostports\n")
    assert text.index("ip daddr 127.0.0.1 udp dport 53 dnat to 10.42.0.9:53") < text.index("tcp dport 8080 dnat to 10.42.0.9:80")
    assert "chain" not in hostports.render(config, [])
    any_ip, one_ip = hostports.HostPort("tcp", "", 80, "a", 1), hostports.HostPort("tcp", "10.0.0.1", 80, "b", 1)
    assert hostports.conflict(one_ip, [any_ip]) is any_ip
    assert (
        hostports.conflict(one_ip, [hostports.HostPort("tcp", "10.0.0.2", 80, "a", 1), hostports.HostPort("udp", "", 80, "a", 1)]) is None
    )


def test_names_on_the_machine_derive_from_the_clusters() -> None:
    def config(name: str) -> RuntimeConfig:
        return RuntimeConfig(root=Path("/r"), state_dir=Path("/s"), name=name)

    assert (config("kogia").bridge, config("kogia").cgroup_root) == ("kogia0", "/kogia")
    assert config("a.b").cgroup_root == "/kogia-a_b"
    assert len(config("a-very-long-cluster-name").bridge) <= 15
    assert len({config(n).link_prefix for n in ("kogia", "a", "b")}) == 3
    assert 'oifname != { "kogia0", "lo" } drop' in network_rules(config("kogia"))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (
            "\x1b[1;31m2026-11-21T09:00:29.761143Z: executable file `nope` not found in $PATH: No such file or directory\x1b[0m\n",
            'exec: "nope": executable file not found in $PATH',
        ),
        (
            "2026-11-21T09:00:29Z: executable file `/nope` not found: No such file or directory",
            'exec: "/nope": stat /nope: no such file or directory',
        ),
        (
            'time="2026-11-21T09:00:29Z" level=error msg="runc create failed: unable to start container process: exec: \\"nope\\": executable file not found in $PATH"',
            'exec: "nope": executable file not found in $PATH',
        ),
        (
            '\x1b[31mERRO\x1b[0m[0000] exec failed: unable to start container process: exec: "x": executable file not found in $PATH \n',
            'exec: "x": executable file not found in $PATH',
        ),
        ("crun: mount `a` to `b`: Permission denied", "mount `a` to `b`: Permission denied"),
        ("", ""),
    ],
)
def test_the_oci_runtimes_words(raw: str, shown: str) -> None:
    assert conmon.shorten(raw) == shown


def test_signals() -> None:
    assert [oci.signal_number(s) for s in ("SIGTERM", "term", "15", "SIGRTMIN+3", "nonsense")] == [15, 15, 15, 37, 15]


def test_records_survive_the_disk(tmp_path: Path) -> None:
    records = state.Records(tmp_path / "s", tmp_path / "c")
    config = t.PodSandboxConfig(
        metadata=t.PodSandboxMetadata(name="p"),
        port_mappings=[t.PortMapping(host_port=1)],
        linux=t.LinuxPodSandboxConfig(sysctls={"a": "b"}),
    )
    sandbox = state.SandboxRecord(id="s1", name="n", config=config, ips=["10.0.0.1"])
    container = state.ContainerRecord(
        id="c1",
        sandbox_id="s1",
        name="n",
        config=t.ContainerConfig(envs=[t.KeyValue(key="k", value="v")]),
        state=t.ContainerState.CONTAINER_EXITED,
    )
    for directory in ("s/s1", "c/c1", "c/half", "c/broken"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "c/broken/state.json").write_text("{")
    records.save_sandbox(sandbox)
    records.save_container(container)
    again = state.Records(tmp_path / "s", tmp_path / "c")
    assert sorted(path.name for path in again.load()) == ["broken", "half"]
    assert again.sandboxes == {"s1": sandbox} and again.containers == {"c1": container}
    newer = {**json.loads(orjson.dumps(container)), "from_the_future": 1}
    assert state.decode(state.ContainerRecord, newer) == container


def test_find_by_prefix() -> None:
    records = {"abc1": 1, "abd2": 2}
    assert (find(records, "abc1"), find(records, "abc"), find(records, "ab"), find(records, ""), find(records, "x")) == (
        1,
        1,
        None,
        None,
        None,
    )


def test_addresses_rotate_and_survive(tmp_path: Path) -> None:
    pool = HostLocal(tmp_path, "10.9.0.0/29")
    given = [pool.allocate(str(n)) for n in range(5)]
    assert given == [f"10.9.0.{n}" for n in range(2, 7)] and pool.gateway == "10.9.0.1"
    with pytest.raises(CriError) as caught:
        pool.allocate("x")
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    pool.release("10.9.0.3")
    pool.release("10.9.0.2")
    again = HostLocal(tmp_path, "10.9.0.0/29")
    assert again.owners()["10.9.0.4"] == "2"
    assert [again.allocate("a"), again.allocate("b")] == ["10.9.0.2", "10.9.0.3"]
    again.release("10.9.0.2")
    again.release("10.9.0.5")
    assert again.allocate("c") == "10.9.0.5"  # the one after the last given, not the lowest


def test_sysctl_names() -> None:
    assert namespaces.sysctl_path("net.ipv4.ip_forward") == "/proc/sys/net/ipv4/ip_forward"
    assert namespaces.sysctl_path("net/ipv4/conf/eth0.1/forwarding") == "/proc/sys/net/ipv4/conf/eth0.1/forwarding"
    assert namespaces.sysctl_path("net.ipv4.conf.eth0/1.forwarding") == "/proc/sys/net/ipv4/conf/eth0.1/forwarding"


def test_resolv_conf() -> None:
    dns = t.DNSConfig(servers=["10.0.0.10"], searches=["a.local", "b.local"], options=["ndots:5"])
    assert resolv_conf(dns) == "search a.local b.local\nnameserver 10.0.0.10\noptions ndots:5\n"


def test_inotify_buffers() -> None:
    import struct

    raw = struct.pack("=iIII", 1, libc.IN_MOVED_TO, 0, 16) + b"name".ljust(16, b"\0") + struct.pack("=iIII", -1, libc.IN_Q_OVERFLOW, 0, 0)
    assert libc.inotify_parse(raw) == [(1, libc.IN_MOVED_TO, "name"), (-1, libc.IN_Q_OVERFLOW, "")]


def test_overlapping_routes() -> None:
    routes = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0
kogia0 00002A0A 00000000 0001 0 0 0 00FFFFFF 0 0 0
kg-two 00002A0A 00000000 0001 0 0 0 00FFFFFF 0 0 0
"""
    assert overlapping(routes, "10.42.0.0/24", "kogia0") == ["kg-two"]
    assert overlapping(routes, "10.43.0.0/24", "kogia0") == []
