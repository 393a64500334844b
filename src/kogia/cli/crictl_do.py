"""What `kogia crictl` does: logs, exec, start, stop, rm, stopp, rmp, rmi, pull. Neighbours: crictl.py; crictl_logs.py reads log files.

Ids may be shortened to any prefix that is unique. Each of several targets is tried; the exit status tells if one failed.
Source: cri-tools cmd/crictl.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kogia.cli.crictl import Fatal, rpc_text
from kogia.cri import types as t
from kogia.cri.errors import CriError

if TYPE_CHECKING:
    from kogia.cri.grpc.client import CriClient
    from kogia.cri.interface import StreamSession


def _match(given: str, ids: list[str], what: str) -> str:
    """The id `given` stands for; itself when nothing fits, so that the runtime says what it thinks of it."""
    if given in ids:
        return given
    found = [i for i in ids if given and i.startswith(given)]
    if len(found) > 1:
        raise Fatal(f'{what} id "{given}" is ambiguous: {len(found)} match')
    return found[0] if found else given


async def container_id(client: CriClient, given: str) -> str:
    return _match(given, [c.id for c in await client.list_containers()], "container")


async def sandbox_id(client: CriClient, given: str) -> str:
    return _match(given, [p.id for p in await client.list_pod_sandbox()], "pod")


async def _each(ids: list[str], what: str, act: Callable[[str], Awaitable[None]]) -> int:
    if not ids:
        raise Fatal("ID cannot be empty")
    failed = 0
    for identity in ids:
        try:
            await act(identity)
        except CriError as error:
            failed += 1
            print(f"E: {what} {identity!r}: {rpc_text(error)}", file=sys.stderr)
    if failed:
        raise Fatal(f"unable to {what}(s)")
    return 0


# -- containers ----------------------------------------------------------------------------------------------------------


async def start(client: CriClient, options: argparse.Namespace) -> int:
    async def act(identity: str) -> None:
        await client.start_container(await container_id(client, identity))
        print(identity)

    return await _each(options.ids, "start container", act)


async def stop(client: CriClient, options: argparse.Namespace) -> int:
    async def act(identity: str) -> None:
        await client.stop_container(await container_id(client, identity), options.seconds)
        print(identity)

    return await _each(options.ids, "stop container", act)


async def rm(client: CriClient, options: argparse.Namespace) -> int:
    ids = [c.id for c in await client.list_containers()] if options.all else options.ids
    if options.all and not ids:
        return 0

    async def act(identity: str) -> None:
        whole = await container_id(client, identity)
        state = (await client.container_status(whole)).state
        if state == t.ContainerState.CONTAINER_RUNNING:
            if not options.force:
                raise Fatal(f'container "{identity}" is running, please stop it first')
            await client.stop_container(whole, 0)
        await client.remove_container(whole)
        print(identity)

    return await _each(ids, "remove container", act)


async def exec(client: CriClient, options: argparse.Namespace) -> int:
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words:
        raise Fatal("ID and COMMAND cannot be empty")
    identity = await container_id(client, options.id)
    try:
        if options.sync:
            answer = await client.exec_sync(identity, words, options.seconds)
            sys.stdout.buffer.write(answer.stdout)
            sys.stderr.buffer.write(answer.stderr)
            sys.stdout.flush()
            return answer.exit_code
        session = await client.exec(identity, words, tty=options.tty, stdin=options.interactive)
    except CriError as error:
        raise Fatal(f"execing command in container: {rpc_text(error)}") from None
    return await _join(session, stdin=options.interactive, tty=options.tty and sys.stdin.isatty())


async def _join(session: StreamSession, *, stdin: bool, tty: bool) -> int:
    """Terminal and session, until the command ends."""
    from kogia.base.tasks import TaskOwner

    tasks = TaskOwner("crictl-exec")
    restore = _raw_terminal() if tty else None
    try:
        if tty:
            size = os.get_terminal_size()
            await session.resize(size.columns, size.lines)
            _follow_size(session, tasks.spawn)
        if stdin:
            tasks.spawn("stdin", _send_stdin(session))
        while (item := await session.read()) is not None:
            stream = sys.stderr if item[0] == 2 else sys.stdout
            stream.buffer.write(item[1])
            stream.flush()
        return await session.wait()
    finally:
        if restore is not None:
            restore()
        await tasks.close(timeout_s=0.2)
        await session.close()


def _raw_terminal() -> Callable[[], None]:
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    return lambda: termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _follow_size(session: StreamSession, spawn: Callable[..., object]) -> None:
    import signal

    def changed() -> None:
        size = os.get_terminal_size()
        spawn("resize", session.resize(size.columns, size.lines))

    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed)


async def _send_stdin(session: StreamSession) -> None:
    """By a reader thread that the process need not wait for: a blocked read of a terminal cannot be cancelled."""
    import threading

    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)
    room = threading.Semaphore(16)

    def pump() -> None:
        while True:
            room.acquire()
            data = os.read(sys.stdin.fileno(), 32768)
            try:
                loop.call_soon_threadsafe(queue.put_nowait, data)
            except RuntimeError:  # the loop has gone
                return
            if not data:
                return

    threading.Thread(target=pump, daemon=True).start()
    while data := await queue.get():
        await session.write_stdin(data)
        room.release()
    await session.close_stdin()


async def logs(client: CriClient, options: argparse.Namespace) -> int:
    from kogia.cli import crictl_logs

    identity = await container_id(client, options.id)
    status = await client.container_status(identity)
    if options.previous:
        earlier = [
            c for c in await client.list_containers() if c.metadata.name == status.metadata.name and c.metadata.attempt == status.metadata.attempt - 1
        ]
        status = await client.container_status(earlier[0].id) if earlier else status
        if not earlier:
            raise Fatal(f'previous terminated container "{status.metadata.name}" not found')
    if not status.log_path:
        raise Fatal("the container has not set log path")

    async def running() -> bool:
        return (await client.container_status(identity)).state == t.ContainerState.CONTAINER_RUNNING

    try:
        await crictl_logs.show(status.log_path, options, running)
    except FileNotFoundError:
        raise Fatal(f'failed to try resolving symlinks in path "{status.log_path}": lstat {status.log_path}: no such file or directory') from None
    return 0


# -- pods ----------------------------------------------------------------------------------------------------------------


async def stopp(client: CriClient, options: argparse.Namespace) -> int:
    async def act(identity: str) -> None:
        await client.stop_pod_sandbox(await sandbox_id(client, identity))
        print(f"Stopped sandbox {identity}")

    return await _each(options.ids, "stop pod", act)


async def rmp(client: CriClient, options: argparse.Namespace) -> int:
    ids = [p.id for p in await client.list_pod_sandbox()] if options.all else options.ids
    if options.all and not ids:
        return 0

    async def act(identity: str) -> None:
        whole = await sandbox_id(client, identity)
        if (await client.pod_sandbox_status(whole)).state == t.PodSandboxState.SANDBOX_READY:
            if not options.force:
                raise Fatal(f'pod sandbox "{identity}" is running, please stop it first')
            await client.stop_pod_sandbox(whole)
        await client.remove_pod_sandbox(whole)
        print(f"Removed sandbox {identity}")

    return await _each(ids, "remove pod", act)


# -- images --------------------------------------------------------------------------------------------------------------


async def pull(client: CriClient, options: argparse.Namespace) -> int:
    auth = None
    if options.creds:
        username, _, password = options.creds.partition(":")
        auth = t.AuthConfig(username=username, password=password)
    elif options.auth:
        auth = t.AuthConfig(auth=options.auth)
    try:
        ref = await client.pull_image(t.ImageSpec(image=options.image), auth)
    except CriError as error:
        raise Fatal(f"pulling image: {rpc_text(error)}") from None
    print(f"Image is up to date for {ref}")
    return 0


async def rmi(client: CriClient, options: argparse.Namespace) -> int:
    ids = options.ids
    if options.all or options.prune:
        used = {ref for c in await client.list_containers() for ref in (c.image_id, c.image_ref, c.image.image)} if options.prune else set()
        ids = [i.id for i in await client.list_images() if not i.pinned and not used & {i.id, *i.repo_tags, *i.repo_digests}]
        if not ids:
            return 0

    async def act(identity: str) -> None:
        found = await client.image_status(t.ImageSpec(image=identity))
        if found is None:
            raise Fatal(f"no such image {identity}")
        await client.remove_image(t.ImageSpec(image=identity))
        for name in found.repo_tags or [found.id]:
            print(f"Deleted: {name}")

    return await _each(ids, "remove image", act)
