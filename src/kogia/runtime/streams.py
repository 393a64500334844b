"""Sessions with streams: exec by pipes or terminal, attach by conmon's socket, port-forward by a socket made in the Pod.

All of them read on demand, so a slow client slows only its own process. Data that was written before a process ended is
always delivered; what a background child writes after that is not waited for.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kogia.cri.errors import Code, CriError
from kogia.runtime.conmon import shorten
from kogia.runtime.spawn import kill_child, wait_child

CHUNK = 65536
TAIL = 4096
DRAIN_S = 0.1  #: how long to listen on after the process itself has ended
STDOUT, STDERR = 1, 2
_CONMON_CHANNEL = {2: STDOUT, 3: STDERR}
_CONMON_WRITE = 16384


async def ready(fds: list[int], *, write: bool = False, timeout_s: float | None = None) -> list[int]:
    """Those of `fds` that can be read (or written) now; waits for one. Empty after the time-out. Cancel: safe."""
    loop = asyncio.get_running_loop()
    wake = asyncio.Event()
    found: list[int] = []

    def note(fd: int) -> None:
        if fd not in found:
            found.append(fd)
        wake.set()

    add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    for fd in fds:
        add(fd, note, fd)
    try:
        await asyncio.wait_for(wake.wait(), timeout_s)
    except TimeoutError:
        pass
    finally:
        for fd in fds:
            remove(fd)
    return found


async def write_all(fd: int, data: bytes) -> bool:
    """Write everything; False if the reader is gone."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await ready([fd], write=True)
        except (BrokenPipeError, ConnectionError):
            return False
        except OSError as error:
            if error.errno in (errno.EIO, errno.EBADF):
                return False
            raise
    return True


class ExecSession:
    """A process started by `<oci runtime> exec`, over pipes or over a pseudo terminal whose master we hold."""

    def __init__(self, child: subprocess.Popen[bytes], pid_file: Path, outputs: dict[int, int], stdin: int, tty: int) -> None:
        self._child = child
        self._pid_file = pid_file
        self._outputs = outputs  # fd → channel
        self._stdin = stdin
        self._tty = tty
        self._tail = b""
        self._ended: asyncio.Future[int] = asyncio.ensure_future(wait_child(child))
        self._started = False

    async def write_stdin(self, data: bytes) -> None:
        if self._stdin >= 0 and not await write_all(self._stdin, data):
            await self.close_stdin()

    async def close_stdin(self) -> None:
        if self._stdin < 0:
            return
        if self._tty >= 0:
            await write_all(self._stdin, b"\x04")  # a terminal's end of input
        else:
            os.close(self._stdin)
        self._stdin = -1

    async def read(self) -> tuple[int, bytes] | None:
        while self._outputs:
            over = self._ended.done()
            if not over:
                reader: asyncio.Future[list[int]] = asyncio.ensure_future(ready(list(self._outputs)))
                both: set[asyncio.Future[Any]] = {reader, self._ended}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if not reader.done():
                    reader.cancel()
                    await asyncio.wait({reader})
                    continue
                fds = reader.result()
            else:
                fds = await ready(list(self._outputs), timeout_s=DRAIN_S)
                if not fds:
                    self._close_outputs()
                    return None
            for fd in fds:
                got = self._take(fd)
                if got is not None:
                    return got
        return None

    def _take(self, fd: int) -> tuple[int, bytes] | None:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: every end of the terminal's other side is closed
                raise
            data = b""
        channel = self._outputs[fd]
        if data:
            self._tail = (self._tail + data)[-TAIL:] if channel == STDERR or self._tty >= 0 else self._tail
            return channel, data
        del self._outputs[fd]
        if fd != self._tty:
            os.close(fd)
        return None

    def _close_outputs(self) -> None:
        for fd in self._outputs:
            if fd != self._tty:
                os.close(fd)
        self._outputs.clear()

    async def resize(self, width: int, height: int) -> None:
        if self._tty >= 0:
            fcntl.ioctl(self._tty, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def wait(self) -> int:
        """Errors: CriError UNKNOWN if the command could not be started."""
        code = await asyncio.shield(self._ended)
        if code and not self.started():
            raise CriError(Code.UNKNOWN, shorten(self._tail.decode("utf-8", "replace")) or "exec failed")
        return code if code >= 0 else 128 - code

    def started(self) -> bool:
        """Whether the command itself came to run (the OCI runtime wrote its pid)."""
        return self._started or self._pid_file.exists()

    def kill(self) -> None:
        """End the process in the container, and the runtime's helper with it."""
        try:
            os.kill(int(self._pid_file.read_text()), signal.SIGKILL)
        except (OSError, ValueError):
            pass
        if self._child.returncode is None:
            try:
                os.kill(self._child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    async def close(self) -> None:
        if not self._ended.done():
            self.kill()
            try:
                await asyncio.wait_for(asyncio.shield(self._ended), 5)
            except TimeoutError:
                kill_child(self._child)
        self._started = self.started()
        self._pid_file.unlink(missing_ok=True)
        self._close_outputs()
        if self._stdin >= 0 and self._stdin != self._tty:
            os.close(self._stdin)
        if self._tty >= 0:
            os.close(self._tty)
        self._stdin = self._tty = -1


class SocketSession:
    """Bytes over a connected socket: conmon's attach socket (packets with a channel byte) or a TCP connection."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        packets: bool,
        stdin: bool,
        wait: Callable[[], Awaitable[int]],
        resize: Callable[[int, int], None] | None = None,
    ) -> None:
        sock.setblocking(False)
        self._socket: socket.socket | None = sock
        self._packets = packets
        self._stdin = stdin
        self._wait = wait
        self._resize = resize

    async def write_stdin(self, data: bytes) -> None:
        step = _CONMON_WRITE if self._packets else CHUNK
        for at in range(0, len(data), step):
            if not self._stdin or self._socket is None:
                return
            if not await write_all(self._socket.fileno(), data[at : at + step]):
                self._stdin = False

    async def close_stdin(self) -> None:
        if self._stdin and self._socket is not None:
            self._stdin = False
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the other side was faster

    async def read(self) -> tuple[int, bytes] | None:
        while self._socket is not None:
            try:
                data = self._socket.recv(CHUNK + 1 if self._packets else CHUNK)
            except BlockingIOError:
                await ready([self._socket.fileno()])
                continue
            except ConnectionError:
                return None
            if not data:
                return None
            if not self._packets:
                return STDOUT, data
            if len(data) > 1:
                return _CONMON_CHANNEL.get(data[0], STDOUT), data[1:]
        return None

    async def resize(self, width: int, height: int) -> None:
        if self._resize is not None:
            self._resize(width, height)

    async def wait(self) -> int:
        return await self._wait()

    async def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
