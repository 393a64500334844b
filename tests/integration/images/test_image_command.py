"""`kogia image` as a process: with no node running, and beside a store that is open in another process."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kogia.runtime.images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def kogia(folder, *words, stdin=None, check=True):
    done = subprocess.run([sys.executable, "-m", "kogia.main", "image", "--data-dir", str(folder), *map(str, words)], capture_output=True, input=stdin, timeout=60)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert not check or done.returncode == 0, err
    return out if check else (done.returncode, out, err)


def test_build_list_remove_beside_an_open_store(tmp_path):
    store = ImageStore(tmp_path / "node/images")
    built = kogia(
        tmp_path, "build-rootfs", "localhost/demo", "--busybox", "--text", "/www/index.html=<h1>hi</h1>", "--file", f"{__file__}:/me.py:600",
        "--link", "/home:/www", "--entrypoint", "httpd", "--entrypoint=-f", "--env", "A=b", "--port", "80", "--user", "1000:1000",
    )  # fmt: skip
    record = store.resolve("localhost/demo")
    assert built == f"Built image: localhost/demo:latest {record.id}\n"
    assert record.config["Entrypoint"] == ["httpd", "-f"] and record.config["Env"][-1] == "A=b" and record.config["User"] == "1000:1000"
    layer = record.layer_dirs[0]
    assert Path(f"{layer}/www/index.html").read_text() == "<h1>hi</h1>" and os.readlink(f"{layer}/home") == "/www"
    assert os.stat(f"{layer}/me.py").st_mode & 0o7777 == 0o600
    header, row = kogia(tmp_path, "ls").splitlines()
    assert header.split() == ["IMAGE", "TAG", "IMAGE", "ID", "SIZE"] and row.split()[:3] == ["localhost/demo", "latest", record.id[7:20]]
    assert kogia(tmp_path, "rm", "localhost/demo") == "Deleted: localhost/demo:latest\n"
    assert store.resolve("localhost/demo") is None and os.listdir(tmp_path / "node/images/layers") == []
    assert kogia(tmp_path, "rm", "localhost/demo", check=False) == (1, "", "kogia: no such image localhost/demo\n")


def test_import_from_a_file_and_a_pipe(tmp_path, layout):
    archive = tmp_path / "a.tar"
    subprocess.run(["skopeo", "--insecure-policy", "copy", layout, f"docker-archive:{archive}:example.org/n:t"], check=True, capture_output=True)
    assert kogia(tmp_path, "import", archive) == "Loaded image: example.org/n:t\n"
    assert kogia(tmp_path, "import", "-", "--tag", "other:1", stdin=archive.read_bytes()).splitlines()[-1] == "Loaded image: docker.io/library/other:1"
    assert len(kogia(tmp_path, "ls", "-q").split()) == 1


def test_pull_without_a_node(tmp_path, layout, start_registry):
    host = start_registry()
    subprocess.run(["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", layout, f"docker://{host}/x:v1"], check=True, capture_output=True)
    assert kogia(tmp_path, "pull", f"{host}/x:v1").startswith(f"{host}/x:v1 … {host}/x@sha256:")
    code, _, err = kogia(tmp_path, "pull", f"{host}/y:v1", check=False)
    assert code == 1 and err.splitlines()[-1].endswith(f"{host}/y:v1: not found")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "/nowhere.tar"], "kogia: /nowhere.tar: no such file or directory"),
        (["import", "-"], "kogia: not an image archive"),
        (["build-rootfs", "UPPER/x/Y", "--text", "/a=b"], "kogia: invalid reference format: repository name (x/Y) must be lowercase"),
        (["build-rootfs", "x"], "kogia: nothing to put into the image"),
        (["build-rootfs", "x", "--text", "/../a=b"], "kogia: '/../a' is not a path inside an image"),
        (["build-rootfs", "x", "--file", "nocolon"], "kogia: 'nocolon': expected two parts"),
    ],
)
def test_mistakes_are_one_line(tmp_path, words, said):
    code, _, err = kogia(tmp_path, *words, stdin=b"", check=False)
    assert code == 1 and err.startswith(said) and err.count("\n") == 1, err


def test_an_archive_bomb_is_bounded(tmp_path, monkeypatch):
    from kogia.runtime.images import archive, layers
    from kogia.runtime.images.archive import BadArchive

    monkeypatch.setattr(archive, "MAX_LAYER_BYTES", 1 << 18)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("big")
        info.size = 8 << 20
        tar.addfile(info, io.BytesIO(bytes(8 << 20)))
    assert layers.MAX_LAYER_BYTES > 1 << 18
    with pytest.raises(BadArchive, match="larger than"):
        archive.import_archive(ImageStore(tmp_path / "s"), io.BytesIO(out.getvalue()))
