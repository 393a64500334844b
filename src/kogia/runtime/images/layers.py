"""Unpacked layers: one directory each, ready to be an overlayfs lower directory.

A layer's compressed bytes go through a decompressor, the digest of the plain archive (diffID) and tarscan, then into GNU tar; what
overlayfs spells differently is converted afterwards. All blocking: callers run it in a thread. Layers are kept by chainID, so that
images with the same base share them. Directory names are short because every lower directory of a mount must fit into one page of options.
Invariants: `<root>/layers/<name>.json` exists only when `<root>/layers/<name>` is complete; no path taken from an archive is followed
through a symbolic link; `trusted.*` attributes never come out of an archive. Unpacking does not wait for the disk: a layer not yet known to be on
it names the boot it was made in, and after another boot it counts as missing (`unsettled`, `mark_settled`).
Sources: OCI image-spec layer.md (whiteouts, chainID); kernel Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import logging
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO

from kogia.runtime.images.content import read_json, write_atomic
from kogia.runtime.images.tarscan import BadLayer, TarScanner

log = logging.getLogger("kogia.runtime.images")

CHUNK = 256 * 1024
MAX_LAYER_BYTES = 32 << 30  #: of one layer, unpacked
MAX_RATIO = 1_100  #: above deflate's possible 1032: more is a lie in a zstd frame
RATIO_FLOOR = 1 << 30  #: below this no ratio is looked at
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
TAR = (
    "tar", "--extract", "--file=-", "--numeric-owner", "--same-owner", "--preserve-permissions", "--delay-directory-restore",
    "--xattrs", "--xattrs-include=user.*", "--xattrs-include=security.capability", "--exclude=.wh.*",
    "--warning=no-timestamp", "--warning=no-unknown-keyword",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """One unpacked layer."""

    chain_id: str
    diff_id: str
    size: int  #: bytes of the plain archive
    entries: int
    boot: str = ""  #: the boot it was made in, while a power cut might still tear it; "" = safely on disk


def chain_ids(diff_ids: list[str]) -> list[str]:
    """chainID of each layer: sha256(parent chainID + " " + diffID)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append("sha256:" + hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest() if chain else diff_id)
    return chain


class LayerStore:
    """The unpacked layers under `<root>/layers`."""

    def __init__(self, root: Path, *, max_layer_bytes: int = MAX_LAYER_BYTES) -> None:
        self._folder = root / "layers"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self.max_layer_bytes = max_layer_bytes

    def path(self, chain_id: str) -> Path:
        """The layer's directory, there or not."""
        return self._folder / chain_id.removeprefix("sha256:")[:20]

    def get(self, chain_id: str) -> Layer | None:
        path = self.path(chain_id)
        try:
            layer = Layer(**read_json(path.with_suffix(".json")))
        except (OSError, ValueError, TypeError):
            return None
        return layer if layer.chain_id == chain_id and layer.boot in ("", boot_id()) and path.is_dir() else None

    def unsettled(self) -> list[Layer]:
        """Layers of this boot that nobody has flushed yet."""
        return [layer for layer in self.all() if layer.boot == boot_id()]

    def mark_settled(self, layers: list[Layer]) -> None:
        """After the file system was flushed. Call it with the store locked."""
        for layer in layers:
            if self.get(layer.chain_id) == layer:
                write_atomic(self.path(layer.chain_id).with_suffix(".json"), _record(replace(layer, boot="")))

    def all(self) -> list[Layer]:
        found = []
        for entry in self._folder.glob("*.json"):
            try:
                found.append(Layer(**read_json(entry)))
            except (OSError, ValueError, TypeError):
                log.warning("unreadable layer record %s", entry)
        return found

    def add(self, source: BinaryIO, diff_id: str, parents: list[str]) -> Layer:
        """Unpack the archive in `source` (plain, gzip or zstd) on top of the chain `parents` (chainIDs, lowest first, all present).

        Errors: BadLayer (malformed, escaping, too big, not what `diff_id` says); OSError (disk full …). Nothing is left behind then.
        """
        chain_id = chain_ids([*parents[-1:], diff_id])[-1]
        if (known := self.get(chain_id)) is not None:
            return known
        work = self._folder / f"tmp-{secrets.token_hex(6)}"
        work.mkdir(mode=0o755)
        try:
            scanner, size, found = unpack(source, work, self.max_layer_bytes)
            if found != diff_id:
                raise BadLayer(f"wrong diff id calculated on extraction {found!r}, expected {diff_id!r}")
            self._inherit(work, scanner.implied(), parents)
            layer = Layer(chain_id, diff_id, size, scanner.entries, boot_id())
            self._commit(work, layer)
        except BaseException:
            remove_tree(work)
            raise
        return layer

    def _inherit(self, work: Path, implied: list[str], parents: list[str]) -> None:
        """Give directories the archive did not describe the owner and mode they have in the layers below."""
        for name in implied:
            below = next((s for p in reversed(parents) if (s := _stat_inside(self.path(p), name)) is not None), None)
            if below is not None and stat.S_ISDIR(below.st_mode):
                with open_inside(work, name) as fd:
                    os.fchown(fd, below.st_uid, below.st_gid)
                    os.fchmod(fd, stat.S_IMODE(below.st_mode))

    def _commit(self, work: Path, layer: Layer) -> None:
        path = self.path(layer.chain_id)
        record = path.with_suffix(".json")
        if self.get(layer.chain_id) is not None:  # another process was quicker
            remove_tree(work)
            return
        record.unlink(missing_ok=True)
        if path.exists():
            remove_tree(self._set_aside(path))
        try:
            os.rename(work, path)
        except OSError:
            if not path.is_dir():
                raise
            remove_tree(work)
        write_atomic(record, _record(layer))

    def _set_aside(self, path: Path) -> Path:
        away = self._folder / f"tmp-{secrets.token_hex(6)}"
        os.rename(path, away)
        return away

    def detach(self, chain_id: str) -> Path | None:
        """Take the layer out of the store (quick); the caller removes the returned tree later with `remove_tree`."""
        path = self.path(chain_id)
        path.with_suffix(".json").unlink(missing_ok=True)
        try:
            return self._set_aside(path)
        except FileNotFoundError:
            return None

    def sweep(self, wanted: set[str]) -> None:
        """Remove every layer not in `wanted` (chainIDs), and what a crash left behind. Only when nobody else unpacks."""
        names = {self.path(chain_id).name for chain_id in wanted}
        for entry in list(self._folder.iterdir()):
            if entry.name.removesuffix(".json") in names:
                continue
            if entry.is_dir():
                remove_tree(entry)
            else:
                entry.unlink(missing_ok=True)


def _record(layer: Layer) -> bytes:
    return json.dumps(asdict(layer)).encode()


def unpack(source: BinaryIO, target: Path, max_bytes: int) -> tuple[TarScanner, int, str]:
    """Unpack into the empty directory `target`. Returns (what was seen, plain size, diffID). Errors: BadLayer, OSError."""
    scanner, digest, size = TarScanner(), hashlib.sha256(), 0
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*TAR, "-C", str(target)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, bufsize=0, env=_tar_environment()
        )
        pipe = process.stdin
        assert pipe is not None
        try:
            listening = True
            for block in plain_blocks(source, max_bytes):
                size += len(block)
                digest.update(block)
                scanner.feed(block)
                listening = listening and _write_all(pipe, block)
            scanner.finish()
            pipe.close()
            if process.wait() != 0:
                errors.seek(0)
                raise _tar_error(errors.read(4096).decode("utf-8", "replace"))
        finally:
            pipe.close()
            if process.poll() is None:
                process.kill()
                process.wait()
    _convert(target, scanner)
    return scanner, size, "sha256:" + digest.hexdigest()


def _write_all(pipe: IO[bytes], block: bytes) -> bool:
    """False once tar stopped listening: it met the end mark, or an error its exit code will tell."""
    view = memoryview(block)
    try:
        while view:
            view = view[pipe.write(view) :]
    except BrokenPipeError:
        return False
    return True


def _tar_environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}


def _tar_error(errors: str) -> Exception:
    if "No space left on device" in errors:
        return OSError(28, "no space left on device")
    lines = [line for line in errors.splitlines() if "Exiting with failure" not in line]
    return BadLayer(f"failed to extract layer: {lines[0] if lines else 'tar failed'}")


def plain_blocks(source: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """The plain bytes of `source`, at most a few MiB at a time. Errors: BadLayer (corrupt, or above `max_bytes`)."""
    head = source.read(CHUNK)
    if head.startswith(GZIP):
        blocks = _gunzip(head, source)
    elif head.startswith(ZSTD) or (head[1:4] == b"\x2a\x4d\x18" and head[:1] >= b"\x50" and head[:1] <= b"\x5f"):
        blocks = _unzstd(head, source)
    else:
        blocks = _plain(head, source)
    total = 0
    for read, block in blocks:
        total += len(block)
        if total > max_bytes:
            raise BadLayer(f"layer is larger than {max_bytes} bytes unpacked")
        if total > RATIO_FLOOR and total > MAX_RATIO * max(read, 1):
            raise BadLayer("layer unpacks to an absurd multiple of its size")
        yield block


def _plain(head: bytes, source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    read = 0
    while head:
        read += len(head)
        yield read, head
        head = source.read(CHUNK)


def _gunzip(head: bytes, source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """gzip of one or many members; output pieces are bounded, so that a bomb is met before it fills memory."""
    machine: Any = None
    read, data = len(head), head
    try:
        while True:
            if not data:
                data = source.read(CHUNK)
                read += len(data)
                if not data and machine is not None:
                    raise BadLayer("unexpected end of gzip stream")
                if not data:
                    return
            if machine is None:
                if not data.strip(b"\0"):  # padding after the last member
                    data = b""
                    continue
                machine = zlib.decompressobj(31)
            block = machine.decompress(data, 4 * CHUNK)
            data = machine.unused_data if machine.eof else machine.unconsumed_tail
            if machine.eof:
                machine = None
            if block:
                yield read, block
    except zlib.error as error:
        raise BadLayer(f"gzip: {error}") from None


def _unzstd(head: bytes, source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    import zstandard

    class Counted:
        def __init__(self) -> None:
            self.head, self.read_bytes = head, 0

        def read(self, size: int = -1) -> bytes:
            data, self.head = self.head or source.read(CHUNK if size < 0 else min(size, CHUNK)), b""
            self.read_bytes += len(data)
            return data

    counted = Counted()
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(counted, read_across_frames=True)  # type: ignore[arg-type]
        while block := reader.read(CHUNK):
            yield counted.read_bytes, block
    except zstandard.ZstdError as error:
        raise BadLayer(f"zstd: {error}") from None


@contextlib.contextmanager
def open_inside(root: Path, name: str, *, create: bool = False) -> Iterator[int]:
    """A descriptor of directory `name` under `root`, no symbolic link followed. Errors: BadLayer when a component is none."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in name.split("/") if name else ():
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=fd)
            try:
                step = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            except (NotADirectoryError, OSError) as error:
                raise BadLayer(f"layer path {name!r} is not a plain directory: {error.strerror}") from None
            os.close(fd)
            fd = step
        yield fd
    finally:
        os.close(fd)


def _stat_inside(root: Path, name: str) -> os.stat_result | None:
    try:
        with open_inside(root, name) as fd:
            return os.fstat(fd)
    except (BadLayer, OSError):
        return None


def _convert(target: Path, scanner: TarScanner) -> None:
    """Whiteouts as overlayfs wants them; forbidden device nodes out."""
    for name in scanner.devices:
        parent, _, base = name.rpartition("/")
        log.warning("left out device node /%s of an image layer", name)
        with open_inside(target, parent, create=True) as fd, contextlib.suppress(FileNotFoundError):
            if stat.S_ISBLK(mode := os.stat(base, dir_fd=fd, follow_symlinks=False).st_mode) or stat.S_ISCHR(mode):
                os.unlink(base, dir_fd=fd)
    for name in scanner.opaque:
        with open_inside(target, name, create=True) as fd:
            os.setxattr(fd, "trusted.overlay.opaque", b"y")
    for name in scanner.whiteouts:
        parent, _, base = name.rpartition("/")
        with open_inside(target, parent, create=True) as fd:
            try:
                mode = os.stat(base, dir_fd=fd, follow_symlinks=False).st_mode
            except FileNotFoundError:
                os.mknod(base, stat.S_IFCHR, os.makedev(0, 0), dir_fd=fd)
                continue
            if stat.S_ISDIR(mode):  # removed and made anew in one layer: what lies below must not show through
                with open_inside(target, name) as inner:
                    os.setxattr(inner, "trusted.overlay.opaque", b"y")


def remove_tree(path: Path) -> None:
    """Remove a layer's tree, never following links. Idempotent. What cannot go now goes with the next sweep."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for _ in range(5):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.02)  # the tar of a process that was killed is still ending


@functools.cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def sync_filesystem(path: Path) -> None:
    """Everything written to the file system of `path` is on disk when this returns."""
    fd = os.open(path, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")
    finally:
        os.close(fd)
