"""The image store on a real file system: unpacking, sharing, holds, archives, several processes. Needs root (owners, whiteouts)."""

import gzip
import io
import json
import os
import stat
import subprocess
import tarfile

import pytest
import zstandard

from kogia.runtime.images.archive import BadArchive, import_archive
from kogia.runtime.images.build import Entry, RunConfig, build_rootfs, busybox
from kogia.runtime.images.content import digest_of
from kogia.runtime.images.layers import BadLayer, LayerStore, plain_blocks
from kogia.runtime.images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def tar(*members, fmt=tarfile.PAX_FORMAT):
    """(name, content | None for a directory | dict of TarInfo attributes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
        for name, what in members:
            info = tarfile.TarInfo(name)
            if isinstance(what, dict):
                for key, value in what.items():
                    setattr(info, key, value)
                archive.addfile(info)
            elif what is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            else:
                info.size = len(what)
                archive.addfile(info, io.BytesIO(what))
    return out.getvalue()


def add(layers, data, parents=(), packed=None):
    return layers.add(io.BytesIO(packed or data), digest_of(data), list(parents))


@pytest.fixture
def layers(tmp_path):
    return LayerStore(tmp_path)


@pytest.mark.parametrize("pack", [lambda d: d, gzip.compress, zstandard.compress, lambda d: gzip.compress(d[:700]) + gzip.compress(d[700:])])
def test_unpack_plain_gzip_zstd_and_several_members(layers, pack):
    data = tar(("etc", None), ("etc/x", b"hello" * 100), ("l", {"type": tarfile.SYMTYPE, "linkname": "/etc/x"}), ("h", {"type": tarfile.LNKTYPE, "linkname": "etc/x"}))
    layer = add(layers, data, packed=pack(data))
    root = layers.path(layer.chain_id)
    assert (root / "etc/x").read_bytes() == b"hello" * 100
    assert os.readlink(root / "l") == "/etc/x"
    assert (root / "h").stat().st_ino == (root / "etc/x").stat().st_ino
    assert layers.get(layer.chain_id) == layer and layer.size == len(data)


def test_owner_mode_and_setuid_survive(layers):
    data = tar(("bin", None), ("bin/su", {"mode": 0o4755, "uid": 7, "gid": 8}))
    found = (layers.path(add(layers, data).chain_id) / "bin/su").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o4755, 7, 8)


def test_whiteouts_become_overlayfs_words(layers):
    base = add(layers, tar(("etc", None), ("etc/gone", b"1"), ("var", None), ("var/old", b"2")))
    top = add(layers, tar(("etc/.wh.gone", b""), ("var/.wh..wh..opq", b""), ("var/new", b"3")), [base.chain_id])
    root = layers.path(top.chain_id)
    node = (root / "etc/gone").lstat()
    assert stat.S_ISCHR(node.st_mode) and node.st_rdev == 0
    assert os.getxattr(root / "var", "trusted.overlay.opaque") == b"y"
    assert not list(root.rglob(".wh.*"))
    merged = root.parent / "merged"
    merged.mkdir()
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={root}:{layers.path(base.chain_id)}", merged], check=True)
    try:
        assert sorted(p.name for p in merged.rglob("*")) == ["etc", "new", "var"]
    finally:
        subprocess.run(["umount", merged], check=True)


def test_directories_not_named_keep_the_attributes_below(layers):
    base = add(layers, tar(("tmp", {"type": tarfile.DIRTYPE, "mode": 0o1777, "uid": 5, "gid": 6})))
    top = add(layers, tar(("tmp/x", b"1")), [base.chain_id])
    found = (layers.path(top.chain_id) / "tmp").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o1777, 5, 6)


def test_a_link_in_the_layer_is_never_followed(layers, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("safe")
    for members in (
        [("a", {"type": tarfile.SYMTYPE, "linkname": str(outside)}), ("a/victim", b"owned")],
        [("a", {"type": tarfile.SYMTYPE, "linkname": str(outside)}), ("a/.wh.victim", b"")],
        [("a", {"type": tarfile.SYMTYPE, "linkname": "../../outside"}), ("a/victim", b"owned")],
        [("a", {"type": tarfile.SYMTYPE, "linkname": str(outside)}), ("a/.wh..wh..opq", b"")],
        [("../outside/victim", b"owned")],
        [("h", {"type": tarfile.LNKTYPE, "linkname": "../../outside/victim"})],
    ):
        with pytest.raises(BadLayer):
            add(layers, tar(*members))
        assert (outside / "victim").read_text() == "safe"
        assert not [x for x in os.listxattr(outside) if "overlay" in x]
    absolute = add(layers, tar((str(outside / "victim"), b"inside")))
    assert (outside / "victim").read_text() == "safe"
    assert (layers.path(absolute.chain_id) / str(outside / "victim").lstrip("/")).read_bytes() == b"inside"
    assert not [p for p in (tmp_path / "layers").iterdir() if p.name.startswith("tmp-")]


def test_devices_and_trusted_attributes_are_left_out(layers):
    data = tar(
        ("dev/null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
        ("dev/sda", {"type": tarfile.BLKTYPE, "devmajor": 8}),
        ("secret", {"type": tarfile.CHRTYPE}),
        ("d", {"type": tarfile.DIRTYPE, "mode": 0o755, "pax_headers": {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.ok": "1"}}),
    )
    root = layers.path(add(layers, data).chain_id)
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*")) == ["d", "dev", "dev/null"]
    assert os.listxattr(root / "d") == ["user.ok"]


def test_lies_are_found(layers):
    data = tar(("x", b"1"))
    with pytest.raises(BadLayer, match="wrong diff id"):
        layers.add(io.BytesIO(data), digest_of(b"other"), [])
    for broken in (gzip.compress(data)[:-20], zstandard.compress(data)[:-3], gzip.compress(data)[:20] + b"\0" * 40, b"no archive" * 100):
        with pytest.raises(BadLayer):
            layers.add(io.BytesIO(broken), digest_of(data), [])
    assert layers.all() == []


def test_bombs_are_bounded(tmp_path):
    layers = LayerStore(tmp_path, max_layer_bytes=1 << 20)
    data = tar(("zeros", b"\0" * (3 << 20)))
    with pytest.raises(BadLayer, match="larger than 1048576 bytes"):
        add(layers, data, packed=gzip.compress(data))
    assert max(len(b) for b in plain_blocks(io.BytesIO(gzip.compress(bytes(64 << 20))), 1 << 30)) <= 1 << 20


# -- the store -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "store")


def test_build_is_deterministic_and_runs_as_told(store, tmp_path):
    (tmp_path / "src/www").mkdir(parents=True)
    (tmp_path / "src/www/index.html").write_text("<h1>hello</h1>")
    run = RunConfig(entrypoint=["/bin/httpd", "-f"], cmd=["-p", "8080"], ports=["8080"], env=["A=b"], user="65534")
    first = build_rootfs(store, "localhost/demo", directory=tmp_path / "src", files=busybox(), run=run)
    os.utime(tmp_path / "src/www/index.html", (1, 1))
    again = build_rootfs(ImageStore(tmp_path / "other"), "localhost/demo", directory=tmp_path / "src", files=busybox(), run=run)
    assert (first.id, first.digests) == (again.id, again.digests)
    assert first.config == {"User": "65534", "ExposedPorts": {"8080/tcp": {}}, "Env": ["A=b"], "Entrypoint": ["/bin/httpd", "-f"], "Cmd": ["-p", "8080"]}
    assert first.names == ["localhost/demo:latest"]
    (layer,) = first.layer_dirs
    assert subprocess.run([f"{layer}/bin/busybox", "cat", f"{layer}/www/index.html"], capture_output=True, check=True).stdout == b"<h1>hello</h1>"
    assert os.readlink(f"{layer}/bin/sh") == "busybox"


def small(store, name, text="x", **run):
    return build_rootfs(store, name, files=[Entry("/f", content=text.encode())], run=RunConfig(**run))


def test_resolution(store):
    record = small(store, "nginx:1")
    for ref in ("nginx:1", "docker.io/library/nginx:1", record.id, record.id[7:], record.id[7:12], record.repo_digest, "nginx@" + record.repo_digest.split("@")[1]):
        assert store.resolve(ref).id == record.id, ref
    for ref in ("nginx", "nginx:2", record.id[7:10], "", "UPPER", "sha256:" + "0" * 64):
        assert store.resolve(ref) is None, ref


def test_a_name_moves_and_the_old_image_stays_nameless(store):
    old, new = small(store, "a", "1"), small(store, "a", "2")
    assert store.resolve("a").id == new.id
    assert store.resolve(old.id).names == []


def test_a_crash_while_a_name_moves_leaves_it_with_the_new_image(store, monkeypatch):
    small(store, "a", "1")
    monkeypatch.setattr(store, "_write", lambda record, keep_age=False: (_ for _ in ()).throw(KeyboardInterrupt) if keep_age else ImageStore._write(store, record))
    with pytest.raises(KeyboardInterrupt):
        small(store, "a", "2")
    reopened = ImageStore(store.root)
    assert open(reopened.resolve("a").layer_dirs[0] + "/f").read() == "2"  # noqa: SIM115
    assert sorted(r.names for r in reopened.all()) == [[], ["docker.io/library/a:latest"]]


def test_what_a_power_cut_may_have_torn_is_not_believed(store, monkeypatch):
    from kogia.runtime.images import layers

    safe = small(store, "safe", "1")
    store.settle()
    small(store, "torn", "2")
    assert len(ImageStore(store.root, sweep=False).all()) == 2  # killed processes tear nothing
    monkeypatch.setattr(layers, "boot_id", lambda: "another-boot")
    after = ImageStore(store.root)
    assert [r.id for r in after.all()] == [safe.id]
    again = small(after, "torn", "2")
    assert after.resolve("torn").id == again.id and after.layers.unsettled()


def test_layers_go_with_the_last_image_and_the_last_hold(store):
    from kogia.runtime.images.layers import remove_tree

    one, two = small(store, "a", "same", cmd=["1"]), small(store, "b", "same", cmd=["2"])
    assert one.layer_dirs == two.layer_dirs
    store.hold(two.id, "container/1")
    assert store.remove(one.id) == []
    assert store.remove(two.id) == [] and store.resolve("b") is None
    assert os.path.exists(two.layer_dirs[0] + "/f")
    reopened = ImageStore(store.root)
    assert reopened.owners() == {"container/1": two.id}
    assert os.path.exists(two.layer_dirs[0] + "/f")
    reopened.release("container/1")
    reopened.release("container/1")
    assert not os.path.exists(two.layer_dirs[0])
    three = small(store, "c", "other")
    for tree in store.remove(three.id):
        remove_tree(tree)
    assert os.listdir(store.root / "layers") == [] and os.listdir(store.root / "content/sha256") == []


def test_two_stores_on_one_root_see_each_other(store):
    other = ImageStore(store.root)
    assert store.resolve("late") is None
    record = small(other, "late")
    assert store.resolve("late").id == record.id
    store.remove(record.id)
    assert other.resolve("late") is None


def test_a_crash_leaves_garbage_that_the_next_start_sweeps(store):
    record = small(store, "kept")
    (store.root / "layers/tmp-123456").mkdir()
    (store.root / "layers/0123456789abcdef0123").mkdir()
    (store.root / "content/sha256" / ("0" * 64)).write_text("stray")
    (store.root / "content/sha256/.x.1").write_text("half")
    (store.root / "images/.y.json.1").write_text("half")
    (store.ingest / "import-1").mkdir()
    with ImageStore(store.root).busy():
        (store.root / "layers/tmp-999999").mkdir()
        ImageStore(store.root)
        assert (store.root / "layers/tmp-999999").exists(), "swept under a busy process"
    reopened = ImageStore(store.root)
    assert [r.id for r in reopened.all()] == [record.id]
    assert len(os.listdir(store.root / "layers")) == 2
    assert len(os.listdir(store.root / "content/sha256")) == 2
    assert len(os.listdir(store.root / "images")) == 1
    assert os.listdir(store.ingest) == []


def test_an_image_with_a_lost_layer_is_not_listed(store):
    record = small(store, "x")
    os.rename(record.layer_dirs[0] + ".json", record.layer_dirs[0] + ".gone")
    assert ImageStore(store.root, sweep=False).all() == []


# -- archives ------------------------------------------------------------------------------------------------------------


def docker_archive(layers, config, tags, gz=False):
    """As `docker save` writes it: manifest.json, a config, layer.tar per folder, a link for a repeated layer."""
    config["rootfs"] = {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}
    raw = json.dumps(config).encode()
    names = [f"{n}/layer.tar" for n in range(len(layers))]
    members, seen = [], {}
    for name, layer in zip(names, layers, strict=True):
        if layer in seen:
            members.append((name, {"type": tarfile.SYMTYPE, "linkname": f"../{seen[layer]}"}))
        else:
            members.append((name, layer))
            seen[layer] = name
    manifest = [{"Config": "abc.json", "RepoTags": tags, "Layers": names}]
    data = tar(*members, ("abc.json", raw), ("manifest.json", json.dumps(manifest).encode()))
    return gzip.compress(data) if gz else data


@pytest.mark.parametrize("gz", [False, True])
def test_docker_archive(store, gz):
    layer = tar(("f", b"1"))
    data = docker_archive([layer, tar(("g", b"2")), layer], {"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/f"]}}, ["demo:1", "demo:2"], gz)
    (record,) = import_archive(store, io.BytesIO(data))
    assert record.names == ["docker.io/library/demo:1", "docker.io/library/demo:2"] and record.digests == []
    assert record.repo_digest == record.id and record.config == {"Cmd": ["/f"]} and len(record.layer_dirs) == 3
    assert [sorted(os.listdir(d)) for d in record.layer_dirs] == [["f"], ["g"], ["f"]]


@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive"])
def test_what_skopeo_and_umoci_write(store, tmp_path, form):
    layout = tmp_path / "layout"
    rootfs = tmp_path / "bundle/rootfs"
    for command in (["init", "--layout", layout], ["new", "--image", f"{layout}:v1"], ["unpack", "--image", f"{layout}:v1", tmp_path / "bundle"]):
        subprocess.run(["umoci", *map(str, command)], check=True, capture_output=True)
    (rootfs / "hello").write_text("hi")
    subprocess.run(["umoci", "repack", "--image", f"{layout}:v1", str(tmp_path / "bundle")], check=True, capture_output=True)
    subprocess.run(["umoci", "config", "--image", f"{layout}:v1", "--config.cmd", "/hello"], check=True, capture_output=True)
    source, expected = layout, "localhost/layout:v1"
    if form != "oci":
        source = tmp_path / "a.tar"
        tag = "quay.io/x/y:z" if form == "docker-archive" else "example.org/n:t"
        subprocess.run(["skopeo", "--insecure-policy", "copy", f"oci:{layout}:v1", f"{form}:{source}:{tag}"], check=True, capture_output=True)
        expected = tag
    (record,) = import_archive(store, source)
    assert record.names == [expected] and record.config["Cmd"] == ["/hello"]
    assert any(os.path.exists(f"{d}/hello") for d in record.layer_dirs)
    (renamed,) = import_archive(store, source, name="mine:1")
    assert renamed.id == record.id and "docker.io/library/mine:1" in renamed.names


@pytest.mark.parametrize(
    "data", [b"", b"x" * 5000, gzip.compress(b"no"), tar(("f", b"1")), tar(("manifest.json", b"{")), tar(("manifest.json", b'[{"Config": "../../etc/passwd"}]'))]
)
def test_what_is_no_image(store, data):
    with pytest.raises(BadArchive):
        import_archive(store, io.BytesIO(data))
    assert os.listdir(store.ingest) == []


BUILDER = """
import sys
from kogia.runtime.images.build import Entry, build_rootfs
from kogia.runtime.images.layers import remove_tree
from kogia.runtime.images.store import ImageStore
store = ImageStore(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    files = [Entry(f"/f{n}", content=b"%d" % number * 5000) for n in range(40)]
    record = build_rootfs(store, f"localhost/crash:{number % 5}", files=files)
    store.hold(record.id, f"owner-{number % 3}")
    old = store.resolve(f"localhost/crash:{(number + 2) % 5}")
    if old is not None:
        for tree in store.remove(old.id):
            remove_tree(tree)
"""


def test_kill_9_at_any_moment_leaves_whole_images_only(tmp_path):
    import random
    import sys
    import time

    source = random.Random(5)
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", BUILDER, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(source.random() * 0.25)
        process.kill()
        process.wait()
        process.stdout.close()
        store = ImageStore(tmp_path)
        for record in store.all():
            assert len(os.listdir(record.layer_dirs[0])) == 40
            store.content.get(record.id)
            store.content.get(record.manifest)
        wanted = {os.path.basename(d) for r in store.all() for d in r.layer_dirs}
        held = {os.path.basename(str(store.layers.path(c))) for c in store._wanted_chains()}
        there = {n.removesuffix(".json") for n in os.listdir(tmp_path / "layers")}
        assert wanted <= there <= wanted | held
        assert os.listdir(store.ingest) == []


def test_two_processes_building_at_once(tmp_path):
    import sys

    code = (
        "import sys; from kogia.runtime.images.build import Entry, build_rootfs; from kogia.runtime.images.store import ImageStore\n"
        "s = ImageStore(sys.argv[1])\n"
        "for n in range(15): build_rootfs(s, f'localhost/{sys.argv[2]}:{n}', files=[Entry('/f', content=b'%d' % n)])"
    )
    store = ImageStore(tmp_path)
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), who]) for who in ("a", "b")]
    assert [p.wait(60) for p in running] == [0, 0]
    assert len(store.all()) == 15 and all(len(r.names) == 2 for r in store.all())
