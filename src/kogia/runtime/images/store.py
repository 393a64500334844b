"""What images there are: names → manifest → config → layers, and who still needs them.

    <root>/images/<id>.json     one small record per image, written atomically, all read at start
    <root>/holds/<owner>.json   who (a container's id) keeps which image's layers, so that this survives every process
    <root>/content, layers      content.py, layers.py
    <root>/ingest               downloads under way
    <root>/lock, busy           flocks: `lock` for each change of records; `busy` is shared by whoever brings content in, and
                                taken alone by the sweep at opening, which then knows that every stray file is garbage

Several processes may have the store open (the node, and `kogia image import` beside it): changes are made under `lock`, and a
store notices foreign changes by the directory's mtime before it answers. Invariants: an image is listed only if its config and all its layers
are here; a layer is removed only when no image and no hold names it. No write waits for the disk: `settle` flushes everything
afterwards, and what a power cut tears before that is seen at the next start and fetched again. Synchronous; the parts that copy or delete much data belong in threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from kogia.cri import reference
from kogia.runtime.images.content import ContentStore, read_json, write_atomic
from kogia.runtime.images.layers import LayerStore, chain_ids, remove_tree, sync_filesystem

log = logging.getLogger("kogia.runtime.images")

STAMP_GRAIN_NS = 50_000_000  #: a directory changed more recently than this may change again without its mtime moving
MIN_PREFIX = 4  #: hex digits of an id that may stand for it


@dataclass(slots=True)
class ImageRecord:
    """One image. `config` is the `config` object of the OCI image configuration: Env, Entrypoint, Cmd, WorkingDir, User, StopSignal, Volumes."""

    id: str  #: "sha256:…", the configuration's digest
    manifest: str  #: the manifest's digest
    config: dict[str, Any]
    chain: list[str]  #: chainIDs, lowest first
    layer_dirs: list[str]  #: overlayfs lower directories, **top first**, absolute
    names: list[str] = field(default_factory=list)  #: repo tags, normalised
    digests: list[str] = field(default_factory=list)  #: repository@digest
    size: int = 0  #: bytes: compressed layers, config and manifest
    architecture: str = ""
    created: str = ""  #: RFC 3339 as the image says, or ""
    stored_at: float = 0.0  #: seconds since the epoch
    pinned: bool = False

    @property
    def repo_digest(self) -> str:
        """`repository@sha256:…`, or the id for images that came from no registry."""
        return self.digests[0] if self.digests else self.id


class ImageStore:
    """The node's images. `root` is created if missing. Not for use from two threads at once, except `hold` and `release`."""

    def __init__(self, root: str | Path, *, sweep: bool = True) -> None:
        self.root = Path(root)
        self._images = self.root / "images"
        self._holds = self.root / "holds"
        self.ingest = self.root / "ingest"
        for folder in (self.root, self._images, self._holds, self.ingest):
            folder.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        self.content = ContentStore(self.root)
        self.layers = LayerStore(self.root)
        self._records: dict[str, ImageRecord] = {}
        self._by_name: dict[str, str] = {}
        self._stamp: tuple[int, int] = (0, 0)
        self._reload()
        if sweep:
            self.sweep()

    # -- reading ----------------------------------------------------------------------------------------------------

    def resolve(self, ref: str) -> ImageRecord | None:
        """The image called `ref`: a name (normalised; `:latest` if bare), `repository@digest`, an id, or an id's prefix (≥ 4 hex digits)."""
        self._refresh()
        if (record := self._records.get(ref)) is not None:
            return record
        with contextlib.suppress(reference.InvalidReference):
            parsed = reference.parse(ref).with_default_tag()
            key = str(parsed.with_digest(parsed.digest)) if parsed.digest else str(parsed)
            if key in self._by_name:
                return self._records[self._by_name[key]]
        return self._by_prefix(ref)

    def _by_prefix(self, ref: str) -> ImageRecord | None:
        bare = ref.removeprefix("sha256:")
        if len(bare) < MIN_PREFIX or not all(c in "0123456789abcdef" for c in bare):
            return None
        found = [r for image_id, r in self._records.items() if image_id[7:].startswith(bare)]
        return found[0] if len(found) == 1 else None

    def all(self) -> list[ImageRecord]:
        """Every image, oldest first."""
        self._refresh()
        return sorted(self._records.values(), key=lambda record: (record.stored_at, record.id))

    def by_manifest(self, digest: str) -> ImageRecord | None:
        """The image whose manifest has this digest."""
        self._refresh()
        return next((r for r in self._records.values() if r.manifest == digest), None)

    def disk_usage(self) -> tuple[int, int]:
        """(bytes, inodes) of all unpacked layers, as their archives counted them: cheap, no walk of the disk."""
        layers = self.layers.all()
        return sum(layer.size for layer in layers), sum(layer.entries for layer in layers)

    # -- changing ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Hold this while content is brought in: nobody sweeps meanwhile."""
        with self._flock("busy", fcntl.LOCK_SH):
            yield

    def add(self, *, manifest: bytes, config: bytes, name: str = "", digest: str = "", size: int = 0, pinned: bool = False) -> ImageRecord:
        """Register an image whose layers are all unpacked. Takes `name` away from the image that had it.

        `digest` is `repository@sha256:…` of what was pulled. Errors: LookupError when a layer is missing (someone removed it: unpack again).
        """
        document = json.loads(config)
        chain = chain_ids(document["rootfs"]["diff_ids"])
        with self._flock("lock", fcntl.LOCK_EX):
            self._refresh()
            for chain_id in chain:
                if self.layers.get(chain_id) is None:
                    raise LookupError(f"layer {chain_id} is gone")
            image_id = self.content.put(config)
            known = self._records.get(image_id)
            record = ImageRecord(
                id=image_id,
                manifest=self.content.put(manifest),
                config=document.get("config") or {},
                chain=chain,
                layer_dirs=[str(self.layers.path(c)) for c in reversed(chain)],
                names=list(known.names) if known else [],
                digests=list(known.digests) if known else [],
                size=size or len(manifest) + len(config),
                architecture=document.get("architecture", ""),
                created=document.get("created") or "",
                stored_at=known.stored_at if known else time.time(),
                pinned=pinned or bool(known and known.pinned),
            )
            self._name(record, name, digest)
        return self._records[image_id]

    def tag(self, image_id: str, name: str = "", digest: str = "") -> ImageRecord:
        """Give an image here one more name or repo digest (both normalised). Errors: KeyError."""
        with self._flock("lock", fcntl.LOCK_EX):
            self._refresh()
            record = self._records[image_id]
            if (name and name not in record.names) or (digest and digest not in record.digests):
                self._name(record, name, digest)
            return self._records[image_id]

    def remove(self, image_id: str) -> list[Path]:
        """Forget the image. Returns trees the caller removes (`layers.remove_tree`, in a thread). Idempotent."""
        with self._flock("lock", fcntl.LOCK_EX):
            self._refresh()
            record = self._records.pop(image_id, None)
            if record is None:
                return []
            self._path(image_id).unlink(missing_ok=True)
            self._reload()
            return self._collect(record.chain, {record.id, record.manifest})

    def settle(self) -> None:
        """Put everything on disk. Slow on a busy disk: run it in a thread, some time after images came in. Cheap when nothing did."""
        layers = self.layers.unsettled()
        if layers:
            sync_filesystem(self.root)
            with self._flock("lock", fcntl.LOCK_EX):
                self.layers.mark_settled(layers)

    def untag(self, image_id: str, name: str) -> None:
        """Take one name from an image; the image stays. Idempotent."""
        with self._flock("lock", fcntl.LOCK_EX):
            self._refresh()
            record = self._records.get(image_id)
            if record is not None and name in record.names:
                record.names.remove(name)
                self._write(record)
                self._reload()

    # -- holds ------------------------------------------------------------------------------------------------------

    def hold(self, image_id: str, owner: str) -> None:
        """Keep the layers of `image_id` until `release(owner)`, also across restarts. `owner` is a container's id. Errors: KeyError."""
        with self._flock("lock", fcntl.LOCK_EX):
            self._refresh()
            record = self._records[image_id]
            write_atomic(self._hold_path(owner), json.dumps({"image": image_id, "chain": record.chain}).encode())

    def release(self, owner: str) -> None:
        """Let go. Layers of images removed meanwhile go now. Idempotent."""
        path = self._hold_path(owner)
        with self._flock("lock", fcntl.LOCK_EX):
            try:
                chain = list(read_json(path)["chain"])
            except FileNotFoundError:
                return
            except (OSError, ValueError, KeyError, TypeError):
                chain = []
            path.unlink(missing_ok=True)
            self._refresh()
            trees = self._collect(chain, set())
        for tree in trees:
            remove_tree(tree)

    def owners(self) -> dict[str, str]:
        """{owner: image id} of every hold, for a runtime that looks for holds whose container is gone."""
        found = {}
        for path in self._holds.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found[unquote(path.stem)] = str(read_json(path)["image"])
        return found

    def in_use(self, image_id: str) -> bool:
        return image_id in self.owners().values()

    # -- inside -----------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Remove what crashes left behind, if nobody is bringing content in right now."""
        try:
            with self._flock("busy", fcntl.LOCK_EX | fcntl.LOCK_NB), self._flock("lock", fcntl.LOCK_EX):
                self._reload()
                chains = self._wanted_chains()
                self.layers.sweep(chains)
                self.content.sweep({d for r in self._records.values() for d in (r.id, r.manifest)})
                for folder in (self._images, self._holds):
                    for stray in folder.glob(".*"):
                        stray.unlink(missing_ok=True)
                self._sweep_ingest()
        except BlockingIOError:
            log.debug("image store in use by another process: not swept")

    def _sweep_ingest(self, max_age_s: float = 86_400) -> None:
        """Parts of downloads stay a day so that a pull after a restart goes on where it stopped."""
        for entry in list(self.ingest.iterdir()):
            if not entry.name.endswith(".part") or time.time() - entry.stat().st_mtime > max_age_s:
                remove_tree(entry)

    def _wanted_chains(self) -> set[str]:
        wanted = {chain_id for record in self._records.values() for chain_id in record.chain}
        for path in self._holds.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                wanted.update(read_json(path)["chain"])
        return wanted

    def _collect(self, chain: list[str], blobs: set[str]) -> list[Path]:
        named = {chain_id for record in self._records.values() for chain_id in record.chain}
        wanted = named if named.issuperset(chain) else self._wanted_chains()  # the holds need not be read for an image still here
        for digest in blobs - {d for r in self._records.values() for d in (r.id, r.manifest)}:
            self.content.remove(digest)
        trees = [self.layers.detach(chain_id) for chain_id in chain if chain_id not in wanted]
        return [tree for tree in trees if tree is not None]

    def _name(self, record: ImageRecord, name: str, digest: str) -> None:
        """Write the record with its new name, then take that from others: a crash between leaves two, and the younger record counts."""
        if name and name not in record.names:
            record.names.append(name)
        if digest and digest not in record.digests:
            record.digests.append(digest)
        self._write(record)
        for other in self._records.values():
            if name and other.id != record.id and name in other.names:
                other.names.remove(name)
                self._write(other, keep_age=True)
        self._reload()

    def _path(self, image_id: str) -> Path:
        return self._images / f"{image_id.removeprefix('sha256:')}.json"

    def _hold_path(self, owner: str) -> Path:
        return self._holds / f"{quote(owner, safe='')}.json"

    def _write(self, record: ImageRecord, *, keep_age: bool = False) -> None:
        data = asdict(record)
        del data["layer_dirs"]  # follows from chain and root, and the root may move
        path = self._path(record.id)
        age = path.stat().st_mtime_ns if keep_age else 0
        write_atomic(path, json.dumps(data).encode())
        if keep_age:
            os.utime(path, ns=(age, age))

    def _now_stamp(self) -> tuple[int, int]:
        info = os.stat(self._images)
        return info.st_mtime_ns, info.st_ino

    def _refresh(self) -> None:
        if self._now_stamp() != self._stamp:
            self._reload()

    def _reload(self) -> None:
        stamp = self._now_stamp()  # before reading: a change during the reading is then seen next time
        fresh = time.time_ns() - stamp[0] < STAMP_GRAIN_NS
        self._stamp = (0, 0) if fresh else stamp
        records: dict[str, ImageRecord] = {}
        taken: set[str] = set()
        for path in self._youngest_first():
            try:
                data = read_json(path)
                record = ImageRecord(**data, layer_dirs=[str(self.layers.path(c)) for c in reversed(data["chain"])])
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError, KeyError) as error:
                log.warning("unreadable image record %s: %s", path, error)
                continue
            missing = [chain_id for chain_id in record.chain if self.layers.get(chain_id) is None]
            if missing or not self.content.has(record.id):
                log.warning("image %s is incomplete and ignored", record.names[:1] or record.id)
                continue
            record.names = [name for name in record.names if name not in taken]
            taken.update(record.names)
            records[record.id] = record
        self._records = records
        self._by_name = {name: r.id for r in records.values() for name in (*r.digests, *r.names)}

    def _youngest_first(self) -> list[Path]:
        ages = []
        for path in self._images.glob("[0-9a-f]*.json"):
            with contextlib.suppress(FileNotFoundError):
                ages.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(ages, reverse=True)]

    @contextlib.contextmanager
    def _flock(self, name: str, mode: int) -> Iterator[None]:
        fd = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, mode)
            yield
        finally:
            os.close(fd)
