"""Images made on the spot, without a registry: one layer from a directory or a list of files.

The quickstart's demo image and the tests' images come from here. The same input gives the same image id on every machine: names sorted,
times zero, owners root unless told otherwise. Blocking; run it in a thread.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kogia.cri import reference
from kogia.runtime.images.platforms import machine
from kogia.runtime.images.store import ImageRecord, ImageStore

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = "root:x:0:\nnobody:x:65534:\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the image at `path`: from the host's `source`, or `content`; a link to `link`; a directory if none of these."""

    path: str
    source: str = ""
    content: bytes | None = None
    link: str = ""
    mode: int = 0  #: 0 = the source's, 0644 for content, 0755 for directories
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How the image is run; empty fields are left out of its configuration."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Sequence[str] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    ports: Sequence[str] = ()  #: "8080" or "53/udp"
    workdir: str = ""
    user: str = ""
    stop_signal: str = ""
    volumes: Sequence[str] = ()
    labels: Sequence[tuple[str, str]] = ()

    def document(self) -> dict[str, Any]:
        """The `config` object of the OCI image configuration."""
        ports: dict[str, dict[str, str]] = {port if "/" in port else f"{port}/tcp": {} for port in self.ports}
        found: dict[str, Any] = {
            "User": self.user,
            "ExposedPorts": ports,
            "Env": list(self.env),
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Volumes": {volume: {} for volume in self.volumes},
            "WorkingDir": self.workdir,
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
        }
        return {key: value for key, value in found.items() if value}


def busybox(path: str = "/bin/busybox") -> list[Entry]:
    """A small userland: the statically linked busybox of the host with a link per applet, and the directories programs expect.

    Errors: OSError when there is none (Debian's package is `busybox-static`).
    """
    applets = subprocess.run([path, "--list"], check=True, capture_output=True, text=True).stdout.split()
    entries = [Entry("/bin/busybox", source=path, mode=0o755)]
    entries += [Entry(f"/bin/{name}", link="busybox") for name in applets if name != "busybox"]
    entries += [Entry(name, mode=0o755) for name in ("/dev", "/etc", "/proc", "/sys", "/usr", "/var")]
    entries += [Entry("/tmp", mode=0o1777), Entry("/root", mode=0o700), Entry("/usr/bin", link="../bin"), Entry("/sbin", link="bin")]
    entries += [Entry("/etc/passwd", content=PASSWD.encode()), Entry("/etc/group", content=GROUP.encode())]
    return entries


def build_rootfs(
    store: ImageStore, name: str, *, directory: str | Path | None = None, files: Iterable[Entry] = (), run: RunConfig | None = None
) -> ImageRecord:
    """Make image `name` of one layer: everything under `directory`, then `files` over it.

    Returns its record. Building the same again gives the same image. Errors: InvalidReference, OSError, BadLayer.
    """
    parsed = reference.parse(name).with_default_tag()
    with store.busy(), tempfile.TemporaryFile(dir=store.ingest) as plain:
        _write_layer(plain, directory, files)
        size = plain.tell()
        diff_id = _digest(plain)
        plain.seek(0)
        store.layers.add(plain, diff_id, [])
        config = _config(diff_id, run or RunConfig())
        manifest = _manifest(config, diff_id, size)
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        return store.add(
            manifest=manifest,
            config=config,
            name=str(parsed),
            digest=f"{parsed.repository}@{digest}",
            size=size + len(config) + len(manifest),
        )


def _config(diff_id: str, run: RunConfig) -> bytes:
    architecture, variant = machine()
    document: dict[str, Any] = {"architecture": architecture, "os": "linux"}
    if variant:
        document["variant"] = variant
    document["config"] = run.document()
    document["rootfs"] = {"type": "layers", "diff_ids": [diff_id]}
    document["history"] = [{"created_by": "kogia image build-rootfs"}]
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _manifest(config: bytes, diff_id: str, size: int) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": "sha256:" + hashlib.sha256(config).hexdigest(), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER, "digest": diff_id, "size": size}],
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _write_layer(target: IO[bytes], directory: str | Path | None, files: Iterable[Entry]) -> None:
    entries: dict[str, Entry] = {}
    if directory is not None:
        entries.update((entry.path, entry) for entry in _walk(Path(directory)))
    for entry in files:
        path = _clean(entry.path)
        entries[path] = Entry(path, entry.source, entry.content, entry.link, entry.mode, entry.uid, entry.gid)
    for path in list(entries):
        while path := path.rpartition("/")[0]:
            entries.setdefault(path, Entry(path, mode=0o755))
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(entries):
            _write_entry(archive, entries[path])


def _clean(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise ValueError(f"{path!r} is not a path inside an image")
    return "/".join(parts)


def _walk(directory: Path) -> Iterable[Entry]:
    """Everything below `directory` as entries owned by root; sockets and devices are left out."""
    if not directory.is_dir():
        raise NotADirectoryError(20, "not a directory", str(directory))
    for folder, folders, names in os.walk(directory):
        for name in folders + names:
            source = os.path.join(folder, name)
            mode = os.lstat(source).st_mode
            path = os.path.relpath(source, directory)
            if stat.S_ISLNK(mode):
                yield Entry(path, link=os.readlink(source))
            elif stat.S_ISDIR(mode):
                yield Entry(path, mode=stat.S_IMODE(mode))
            elif stat.S_ISREG(mode):
                yield Entry(path, source=source, mode=stat.S_IMODE(mode))


def _write_entry(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path)
    info.uid, info.gid, info.mtime = entry.uid, entry.gid, 0
    if entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        archive.addfile(info)
    elif entry.content is not None:
        info.size, info.mode = len(entry.content), entry.mode or 0o644
        archive.addfile(info, io.BytesIO(entry.content))
    elif entry.source:
        with open(entry.source, "rb") as file:
            found = os.fstat(file.fileno())
            info.size, info.mode = found.st_size, entry.mode or stat.S_IMODE(found.st_mode)
            archive.addfile(info, file)
    else:
        info.type, info.mode = tarfile.DIRTYPE, entry.mode or 0o755
        archive.addfile(info)
