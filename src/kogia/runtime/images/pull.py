"""One pull: name → digest → manifest → configuration → layers → a record in the store.

Layers are downloaded at most three at a time and unpacked in order as they arrive; what the store already has is not fetched. Neighbours: distribution.py
speaks to registries, layers.py unpacks, service.py shares pulls and words errors. Invariant: nothing is named before all of it is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kogia.base.tasks import TaskOwner
from kogia.cri.reference import InvalidReference, Reference, check_digest
from kogia.runtime.images import platforms
from kogia.runtime.images.content import digest_of
from kogia.runtime.images.layers import Layer, chain_ids, remove_tree
from kogia.runtime.images.offload import offload
from kogia.runtime.images.store import ImageRecord, ImageStore

if TYPE_CHECKING:
    from kogia.runtime.images.distribution import Distribution

log = logging.getLogger("kogia.runtime.images")

PARALLEL = 3
MAX_BLOB_BYTES = 64 << 30
NESTING = 3  #: indexes in indexes
FOREIGN = ("nondistributable", "foreign")


@dataclass(slots=True)
class Progress:
    """How far a pull is; bytes count compressed layers still missing when it began."""

    name: str
    started: float = field(default_factory=time.monotonic)
    total_bytes: int = 0
    done_bytes: int = 0
    layers: int = 0
    layers_done: int = 0

    def told(self) -> str:
        """For events: how much is here, or what is being waited for."""
        if not self.layers:
            return "resolving the reference"
        mib = 1 << 20
        return f"{self.layers_done} of {self.layers} layers, {self.done_bytes / mib:.1f} MiB of {self.total_bytes / mib:.1f} MiB"

    def __str__(self) -> str:
        return f"{self.done_bytes / 1e6:.1f} of {self.total_bytes / 1e6:.1f} MB, {self.layers_done} of {self.layers} layers"


class Pull:
    """Everything one download needs; `run` once."""

    def __init__(self, store: ImageStore, source: Distribution, locks: Callable[[str], asyncio.Lock], progress: Progress) -> None:
        self._store, self._source, self._locks, self._progress = store, source, locks, progress
        self._slots = asyncio.Semaphore(PARALLEL)

    async def resolve(self, ref: Reference) -> str:
        """The digest `ref` stands for now. Errors: distribution's."""
        return await self._source.resolve(ref.digest or ref.tag)

    async def run(self, ref: Reference, digest: str) -> ImageRecord:
        """Fetch what is missing of `digest` and give it `ref`'s name. Errors: distribution's, BadImage, BadLayer, OSError."""
        repo_digest = str(ref.with_digest(digest))
        name = "" if ref.digest else str(ref)
        known = self._store.resolve(repo_digest) or self._store.by_manifest(digest)
        if known is not None:
            return self._store.tag(known.id, name, repo_digest)
        manifest, document = await self._manifest(digest)
        config = await self._config(document)
        diff_ids = platforms.diff_ids(config)
        layers = _descriptors(document)
        if len(layers) != len(diff_ids):
            raise platforms.BadImage("mismatched image rootfs and manifest layers")
        size = len(manifest) + len(config) + sum(layer["size"] for layer in layers)
        for _ in range(3):
            await self._layers(layers, diff_ids)
            try:
                return self._store.add(manifest=manifest, config=config, name=name, digest=repo_digest, size=size)
            except LookupError:  # another image's removal took a shared layer meanwhile
                continue
        raise platforms.BadImage("image layers keep being removed while it is pulled")

    async def _manifest(self, digest: str) -> tuple[bytes, dict[str, Any]]:
        for _ in range(NESTING):
            data = await self._source.manifest(digest)
            document = _object(data)
            if document.get("mediaType") in platforms.INDEX_TYPES or ("manifests" in document and "config" not in document):
                chosen = platforms.choose([m for m in document.get("manifests") or () if isinstance(m, dict)])
                if chosen is None:
                    raise platforms.BadImage(f"no match for platform in manifest {digest}: not found")
                digest = _digest(chosen)
                continue
            if document.get("schemaVersion") != 2 or not isinstance(document.get("config"), dict):
                raise platforms.BadImage(f"unsupported manifest {digest}: schema version {document.get('schemaVersion')}")
            return data, document
        raise platforms.BadImage(f"indexes nested too deeply in {digest}")

    async def _config(self, document: dict[str, Any]) -> bytes:
        digest = _digest(document["config"])
        with contextlib.suppress(OSError, ValueError):  # absent, or torn by a power cut
            return self._store.content.get(digest)
        data = await self._source.config(digest)
        if digest_of(data) != digest:
            raise platforms.BadImage(f"configuration does not match {digest}")
        return data

    async def _layers(self, descriptors: list[dict[str, Any]], diff_ids: list[str]) -> None:
        chain = chain_ids(diff_ids)
        missing = [n for n, chain_id in enumerate(chain) if self._store.layers.get(chain_id) is None]
        self._progress.layers = len(chain)
        self._progress.layers_done = len(chain) - len(missing)
        self._progress.total_bytes = sum(descriptors[n]["size"] for n in missing)
        unpacked = [asyncio.Event() for _ in chain]
        for n in set(range(len(chain))) - set(missing):
            unpacked[n].set()
        owner = TaskOwner(f"pull/{self._progress.name}", lambda name, error: None)  # gather raises the first failure
        try:
            await asyncio.gather(
                *[
                    owner.spawn(
                        f"layer-{n}", self._layer(descriptors[n], diff_ids[n], chain[:n], unpacked[n - 1] if n else None, unpacked[n])
                    )
                    for n in missing
                ]
            )
        finally:
            await owner.close(timeout_s=60)

    async def _layer(
        self, descriptor: dict[str, Any], diff_id: str, parents: list[str], below: asyncio.Event | None, done: asyncio.Event
    ) -> None:
        digest = descriptor["digest"]
        async with self._locks(digest):
            async with self._slots:
                if self._store.layers.get(chain_ids([*parents[-1:], diff_id])[-1]) is None:
                    path = await self._source.blob(digest, descriptor["size"], self._store.ingest, self._came)
                else:  # another pull brought it while this one waited
                    path = None
                    self._came(descriptor["size"])
            if path is not None:
                if below is not None:
                    await below.wait()
                try:
                    await offload(self._unpack, path, diff_id, parents)
                finally:
                    remove_tree(path)
        self._progress.layers_done += 1
        done.set()

    def _unpack(self, path: Any, diff_id: str, parents: list[str]) -> Layer:
        with open(path, "rb") as file:
            return self._store.layers.add(file, diff_id, parents)

    def _came(self, count: int) -> None:
        self._progress.done_bytes += count


def _object(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise platforms.BadImage("manifest is not a JSON object")
    return document


def _digest(descriptor: dict[str, Any]) -> str:
    try:
        digest = check_digest(descriptor["digest"])
    except (KeyError, TypeError, InvalidReference):
        raise platforms.BadImage("manifest has a descriptor without a valid digest") from None
    if not digest.startswith("sha256:"):
        raise platforms.BadImage(f"unsupported digest {digest}")
    return digest


def _descriptors(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The manifest's layers, each with a checked digest and size. Errors: BadImage."""
    layers = document.get("layers") or []
    if not isinstance(layers, list) or len(layers) > platforms.MAX_LAYERS:
        raise platforms.BadImage("manifest has too many layers")
    for layer in layers:
        if not isinstance(layer, dict):
            raise platforms.BadImage("manifest has a layer that is no descriptor")
        _digest(layer)
        size = layer.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BLOB_BYTES:
            raise platforms.BadImage(f"layer {layer['digest']} has an impossible size: {size}")
        media = str(layer.get("mediaType", ""))
        if any(word in media for word in FOREIGN):
            raise platforms.BadImage(f"layer {layer['digest']} may not be distributed by registries: {media}")
        if "encrypted" in media:
            raise platforms.BadImage(f"layer {layer['digest']} is encrypted")
    return layers
