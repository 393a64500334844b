"""The listening side: any RuntimeService and ImageService on a unix socket, for `crictl` and for kubelets of other makes.

Only asyncio until somebody connects; h2 and protobuf come with the first connection. Invariants: the socket file is ours (a stale one is
replaced, a live one refused) and root's alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kogia.base.tasks import TaskOwner
from kogia.cri.interface import ImageService, RuntimeService

if TYPE_CHECKING:
    from kogia.cri.grpc.session import Session
    from kogia.cri.grpc.streaming import StreamingServer


class CriServer:
    """Made by `serve`."""

    def __init__(self, runtime: RuntimeService, images: ImageService, path: Path) -> None:
        self._runtime, self._images, self.path = runtime, images, path
        self._tasks = TaskOwner("cri-server")
        self._sessions: set[Session] = set()
        self._streaming: StreamingServer | None = None
        self._listener: asyncio.Server | None = None

    async def _listen(self) -> None:
        _clear(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            _bind(listener, self.path)
            os.chmod(self.path, 0o600)
            self._listener = await asyncio.start_unix_server(self._connected, sock=listener)
        except BaseException:
            listener.close()
            raise

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.spawn("session", self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from kogia.cri.grpc.calls import Calls
        from kogia.cri.grpc.session import Session
        from kogia.cri.grpc.streaming import StreamingServer

        if self._streaming is None:
            self._streaming = StreamingServer(self._runtime)
        session = Session(reader, writer, Calls(self._runtime, self._images, self._streaming))
        self._sessions.add(session)
        try:
            session.start()
            await session.read()
        finally:
            self._sessions.discard(session)
            await session.close()

    async def close(self) -> None:
        """Stop listening, end sessions, remove the socket. The services stay open: they are the caller's."""
        if self._listener is not None:
            self._listener.close()
        for session in list(self._sessions):
            session.shut()
        await self._tasks.close()
        if self._streaming is not None:
            await self._streaming.close()
        self.path.unlink(missing_ok=True)


async def serve(runtime: RuntimeService, images: ImageService, path: str | Path) -> CriServer:
    """Listen on the unix socket `path`, mode 0600. Errors: OSError; `address already in use` when another process serves there."""
    server = CriServer(runtime, images, Path(path))
    await server._listen()
    return server


def _clear(path: Path) -> None:
    """Remove a socket nobody serves any more. Errors: OSError EADDRINUSE, or when something else has the name."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(17, "exists and is not a socket", str(path))
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1)
        try:
            with short_path(path) as name:
                probe.connect(name)
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise OSError(98, "address already in use", str(path))


def _bind(listener: socket.socket, path: Path) -> None:
    with short_path(path) as name:
        listener.bind(name)


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name for `path` that fits a socket address (107 bytes): itself, or one through an open directory."""
    if len(os.fsencode(path)) <= 100:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
