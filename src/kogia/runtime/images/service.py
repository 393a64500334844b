"""The CRI's ImageService over the image store: the runtime's face for images.

Concurrent pulls of one name with the same credentials share one download, which ends when its last caller gave up. Errors carry the
texts containerd made known, because they end up in events. Neighbours: store.py, pull.py, config.py. What must be imported for a pull
(aiohttp, and TLS with it) is imported at the first pull.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from contextlib import AsyncExitStack
from pathlib import Path

from kogia.base.tasks import TaskOwner
from kogia.cri import reference
from kogia.cri import types as t
from kogia.cri.errors import Code, CriError
from kogia.runtime.images.config import BadConfig, Registries
from kogia.runtime.images.layers import BadLayer, remove_tree
from kogia.runtime.images.offload import offload
from kogia.runtime.images.platforms import BadImage
from kogia.runtime.images.pull import Progress, Pull
from kogia.runtime.images.store import ImageRecord, ImageStore

log = logging.getLogger("kogia.runtime.images")

PROGRESS_EVERY_S = 5.0
SETTLE_AFTER_S = 10.0
_PullKey = tuple[str, tuple[str, ...]]


class _Shared:
    """A download and how many wait for it."""

    def __init__(self, task: asyncio.Task[str]) -> None:
        self.task, self.callers = task, 0


class Images:
    """ImageService of the embedded runtime."""

    def __init__(self, store: ImageStore, registries: Registries | None = None, *, limits: object | None = None) -> None:
        self.store = store
        self._registries = registries or Registries()
        self._limits = limits  #: distribution.Limits; typed loosely so that it is not imported before a pull
        self._pulls: dict[_PullKey, _Shared] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._looked = False
        self._settling: asyncio.Task[None] | None = None
        self._tasks = TaskOwner("images", _unexpected)
        self.progress: dict[str, Progress] = {}  #: of pulls under way, by name

    # -- ImageService -----------------------------------------------------------------------------------------------

    async def list_images(self, image: str = "") -> list[t.Image]:
        if image:
            found = self.store.resolve(image)
            return [to_cri(found)] if found else []
        return [to_cri(record) for record in self.store.all()]

    async def image_status(self, image: t.ImageSpec) -> t.Image | None:
        if not self._looked:  # an image made on the spot before this process began may not be flushed yet
            self._looked = True
            self._settle_later()
        found = self.store.resolve(image.image)
        return to_cri(found) if found else None

    async def pull_image(
        self, image: t.ImageSpec, auth: t.AuthConfig | None = None, sandbox_config: t.PodSandboxConfig | None = None
    ) -> str:
        try:
            ref = reference.parse(image.image).with_default_tag()
        except reference.InvalidReference as error:
            raise CriError(Code.INVALID_ARGUMENT, f'failed to parse image reference "{image.image}": {error}') from None
        key = (str(ref), _auth_key(auth))
        shared = self._pulls.get(key)
        if shared is None:
            shared = self._pulls[key] = _Shared(self._tasks.spawn(f"pull/{ref}", self._pull(ref, auth)))
            shared.task.add_done_callback(lambda _: self._pulls.pop(key, None))
        shared.callers += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.callers -= 1
            if shared.callers == 0 and not shared.task.done():
                self._pulls.pop(key, None)
                shared.task.cancel()

    def pull_progress(self, image: str) -> str | None:
        if not self.progress:
            return None
        try:
            progress = self.progress.get(str(reference.parse(image).with_default_tag()))
        except reference.InvalidReference:
            return None
        return None if progress is None else progress.told()

    async def remove_image(self, image: t.ImageSpec) -> None:
        found = self.store.resolve(image.image)
        if found is None:
            return
        log.info("removing image %s %s", found.id, " ".join(found.names))
        for tree in await offload(self.store.remove, found.id):
            await offload(remove_tree, tree)

    async def image_fs_info(self) -> list[t.FilesystemUsage]:
        used, inodes = await offload(self.store.disk_usage)
        return [t.FilesystemUsage(timestamp=time.time_ns(), mountpoint=str(self.store.root), used_bytes=used, inodes_used=inodes)]

    async def close(self) -> None:
        """End pulls under way; what they fetched stays for the next try. What came in is put on disk."""
        await self._tasks.close()
        await offload(self.store.settle)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _lock(self, digest: str) -> asyncio.Lock:
        if len(self._locks) > 1_000:
            self._locks = {d: lock for d, lock in self._locks.items() if lock.locked()}
        return self._locks.setdefault(digest, asyncio.Lock())

    async def _pull(self, ref: reference.Reference, auth: t.AuthConfig | None) -> str:
        name = str(ref)
        progress = self.progress[name] = Progress(name)
        reporter = self._tasks.spawn(f"progress/{name}", self._report(progress))
        try:
            record = await self._fetch(ref, auth, progress)
        finally:
            reporter.cancel()
            self.progress.pop(name, None)
        self._settle_later()
        log.info("pulled %s: %s in %.2f s", name, progress, time.monotonic() - progress.started)
        return next((d for d in record.digests if d.startswith(f"{ref.repository}@")), record.repo_digest)

    async def _fetch(self, ref: reference.Reference, auth: t.AuthConfig | None, progress: Progress) -> ImageRecord:
        from kogia.runtime.images.auth import Denied
        from kogia.runtime.images.distribution import Distribution, Limits, Mismatch, Missing, RegistryError

        stage = f'failed to resolve reference "{ref}"'
        try:
            endpoints = await offload(self._registries.endpoints, ref.domain, ref.path, auth)
            async with AsyncExitStack() as stack:
                busy = self.store.busy()
                await offload(busy.__enter__)
                stack.callback(busy.__exit__, None, None, None)
                limits = self._limits if isinstance(self._limits, Limits) else None
                source = await stack.enter_async_context(Distribution(endpoints, limits))
                pull = Pull(self.store, source, self._lock, progress)
                digest = await pull.resolve(ref)
                stage = "failed to copy"
                return await pull.run(ref, digest)
        except (RegistryError, Denied, BadConfig, BadImage, BadLayer, OSError) as error:
            code = Code.UNKNOWN
            if isinstance(error, Missing):
                code = Code.NOT_FOUND
            elif isinstance(error, Mismatch | BadLayer | BadImage):
                code = Code.FAILED_PRECONDITION
            elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                code = Code.RESOURCE_EXHAUSTED
            text = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
            failure = CriError(code, f'failed to pull and unpack image "{ref}": {stage}: {text}')
        log.warning("%s", failure)
        raise failure

    def _settle_later(self) -> None:
        """Flush what came in, once, a little later, when containers have had their start."""
        if self._settling is None or self._settling.done():
            self._settling = self._tasks.spawn("settle", self._settle())

    async def _settle(self) -> None:
        await asyncio.sleep(SETTLE_AFTER_S)
        self._settling = None
        await offload(self.store.settle)

    async def _report(self, progress: Progress) -> None:
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            log.info("pulling %s: %s", progress.name, progress)


def _unexpected(name: str, error: BaseException) -> None:
    """A CriError was worded and logged where it arose, and its callers have it."""
    if not isinstance(error, CriError):
        log.error("task %s failed", name, exc_info=error)


def _auth_key(auth: t.AuthConfig | None) -> tuple[str, ...]:
    if auth is None:
        return ()
    return (auth.username, auth.password, auth.auth, auth.server_address, auth.identity_token, auth.registry_token)


def to_cri(record: ImageRecord) -> t.Image:
    """A record as CRI tells it; `uid` when the image's user is a number, else `username`."""
    user = str(record.config.get("User") or "").split(":")[0]
    return t.Image(
        id=record.id,
        repo_tags=list(record.names),
        repo_digests=list(record.digests),
        size=record.size,
        uid=t.Int64Value(value=int(user)) if user.isdigit() else None,
        username="" if user.isdigit() else user,
        spec=t.ImageSpec(image=record.id),
        pinned=record.pinned,
    )


def open_images(root: str | Path, *, registries_file: str | Path | None = None, docker_config: str | Path | None = None) -> Images:
    """The image service over the store at `root`, as the node and the command line open it."""
    return Images(ImageStore(root), Registries(registries_file, docker_config))
