"""Volumes without root: atomic writes, payloads, paths that must not leave their volume, mounts of containers."""

import asyncio
import base64
import os
import stat
from pathlib import Path

import pytest

from kogia.base.clock import FakeClock
from kogia.client.fake import FakeApi
from kogia.kubelet.volumes import atomic_writer, directories, payload
from kogia.kubelet.volumes.api_data import ApiData
from kogia.kubelet.volumes.atomic_writer import File
from kogia.kubelet.volumes.directories import VolumeError
from kogia.kubelet.volumes.pod_volumes import PodVolumes


def names(target):
    return sorted(p.name for p in target.iterdir() if not p.name.startswith(".."))


def test_swap_is_by_the_data_link_and_only_on_change(tmp_path):
    assert atomic_writer.write(tmp_path, {"a": File(b"1", 0o640), "dir/b": File(b"2", 0o600)})
    first = os.readlink(tmp_path / "..data")
    assert names(tmp_path) == ["a", "dir"] and os.readlink(tmp_path / "a") == "..data/a"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640 and (tmp_path / "dir/b").read_bytes() == b"2"
    assert not atomic_writer.write(tmp_path, {"a": File(b"1", 0o640), "dir/b": File(b"2", 0o600)})
    assert os.readlink(tmp_path / "..data") == first
    assert atomic_writer.write(tmp_path, {"a": File(b"new", 0o640)})
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"new"
    assert not (tmp_path / first).exists() and len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "..x"])
def test_paths_that_lead_out_are_refused(tmp_path, path):
    with pytest.raises(ValueError):
        atomic_writer.write(tmp_path, {path: File(b"", 0o600)})


def test_items_modes_and_optional():
    data = {"a": b"1", "b": b"2"}
    files = payload.keyed(data, {"items": [{"key": "a", "path": "x/y", "mode": 0o400}]}, 0o644, "configmap", "m")
    assert files == {"x/y": File(b"1", 0o400)}
    with pytest.raises(payload.PayloadError, match="configmap references non-existent config key: c"):
        payload.keyed(data, {"items": [{"key": "c", "path": "c"}]}, 0o644, "configmap", "m")
    with pytest.raises(payload.PayloadError, match='secret "s" not found'):
        payload.keyed(None, {}, 0o644, "secret", "s")
    assert payload.keyed(None, {"optional": True}, 0o644, "secret", "s") == {}


def test_sub_paths_stay_inside(tmp_path):
    volume = tmp_path / "v"
    (volume / "in").mkdir(parents=True)
    os.symlink("/etc", volume / "out")
    os.symlink("in", volume / "fine")
    for bad in ("out", "out/passwd", "../x", "/etc", "in/../../x"):
        with pytest.raises(VolumeError):
            os.close(directories.open_sub_path(str(volume), bad))
    fd = directories.open_sub_path(str(volume), "fine/new/deep")
    os.close(fd)
    assert (volume / "in/new/deep").is_dir()


def test_host_path_types(tmp_path):
    assert directories.check_host_path({"path": str(tmp_path / "made"), "type": "DirectoryOrCreate"})
    assert (tmp_path / "made").is_dir()
    directories.check_host_path({"path": str(tmp_path / "file"), "type": "FileOrCreate"})
    with pytest.raises(VolumeError, match="hostPath type check failed: .* is not a directory"):
        directories.check_host_path({"path": str(tmp_path / "file"), "type": "Directory"})
    assert directories.check_host_path({"path": "/not/there"}) == "/not/there"


class Mounts:
    def __init__(self):
        self.points = {}

    def tmpfs(self, target, *, size_bytes=0, mode="0777"):
        self.points[target] = size_bytes

    def bind(self, source, target):
        self.points[target] = os.readlink(source)

    def unmount(self, target):
        self.points.pop(target, None)

    def mounted(self, below):
        return [p for p in self.points if p == below or below in p.parents]


def pod(volumes, mounts):
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "1"}},
        "spec": {"volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]},
    }


def put(api, kind, name, data):
    api.put({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "ns"}, "data": data})


def test_a_pods_volumes_from_set_up_to_tear_down(tmp_path):
    async def go():
        api, mounts, clock = FakeApi(), Mounts(), FakeClock()
        volumes = PodVolumes(tmp_path / "pod", ApiData(api.client(), clock), mounts, clock.now, lambda: (["10.0.0.9"], ["h"], {}))
        spec = [
            {"name": "e", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "m", "configMap": {"name": "m"}},
            {"name": "p", "projected": {"sources": [{"secret": {"name": "s"}}, {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
        ]
        wanted = pod(spec, [{"name": "m", "mountPath": "etc/m", "readOnly": True}, {"name": "e", "mountPath": "/x", "subPathExpr": "$(D)/y"}])
        with pytest.raises(VolumeError) as caught:
            await volumes.set_up(wanted)
        assert str(caught.value) == 'MountVolume.SetUp failed for volume "m" : configmap "m" not found'
        put(api, "ConfigMap", "m", {"k": "1"})
        put(api, "Secret", "s", {"t": base64.b64encode(b"hidden").decode()})
        await volumes.set_up(wanted)
        container = wanted["spec"]["containers"][0]
        first, second = volumes.mounts(container, {"D": "sub"})
        assert (first.container_path, first.readonly) == ("/etc/m", True) and (Path(first.host_path) / "k").read_text() == "1"
        projected = tmp_path / "pod/volumes/kubernetes.io~projected/p"
        assert (projected / "t").read_text() == "hidden" and (projected / "l").read_text() == 'a="1"' and projected in mounts.points
        assert mounts.points[tmp_path / "pod/volumes/kubernetes.io~empty-dir/e"] == 1 << 20
        assert mounts.points[Path(second.host_path)].endswith("/e/sub/y")
        put(api, "ConfigMap", "m", {"k": "2"})
        await volumes.refresh(wanted)
        assert (Path(first.host_path) / "k").read_text() == "2"
        with pytest.raises(VolumeError):
            volumes.mounts({"name": "c", "volumeMounts": [{"name": "e", "mountPath": "/x", "subPathExpr": "$(D)"}]}, {"D": "../.."})
        await volumes.tear_down()
        assert not mounts.points and not (tmp_path / "pod/volumes").exists()

    asyncio.run(go())


def test_tokens_are_bound_and_renewed_at_four_fifths(tmp_path):
    async def go():
        api, clock = FakeApi(), FakeClock()
        asked = []

        class Data(ApiData):
            async def token(self, pod, audiences, expiration_s):
                from kogia.kubelet.volumes.api_data import Token

                asked.append((list(audiences), expiration_s))
                return Token(f"t{len(asked)}", clock.now() + expiration_s * 0.8)

        mounts = Mounts()
        volumes = PodVolumes(tmp_path / "pod", Data(api.client(), clock), mounts, clock.now, lambda: ([], [], {}))
        source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 1000, "audience": "vault"}}
        wanted = pod([{"name": "t", "projected": {"sources": [source]}}], [])
        await volumes.set_up(wanted)
        await volumes.refresh(wanted)
        assert asked == [(["vault"], 1000)]
        await clock.advance(801)
        await volumes.refresh(wanted)
        file = tmp_path / "pod/volumes/kubernetes.io~projected/t/token"
        assert len(asked) == 2 and file.read_text() == "t2"

    asyncio.run(go())
