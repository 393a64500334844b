"""Exec, attach and port-forward on the real OCI runtimes."""

from __future__ import annotations

import asyncio

import pytest

from kogia.cri.errors import Code, CriError
from kogia.cri.interface import StreamSession

from .conftest import Lab, started


async def drain(session: StreamSession) -> dict[int, bytes]:
    out = {1: b"", 2: b""}
    while (got := await session.read()) is not None:
        out[got[0]] += got[1]
    return out


def test_exec_sync(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        _, (container,) = await started(runtime, lab.pod(), lab.container("sleep", "60"))
        done = await runtime.exec_sync(container, ["sh", "-c", "echo out; echo err >&2; exit 4"])
        assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 4)
        big = await runtime.exec_sync(container, ["seq", "200000"])
        assert big.stdout.endswith(b"200000\n") and len(big.stdout) == 1288895
        with pytest.raises(CriError) as caught:
            await runtime.exec_sync(container, ["sleep", "60"], 0.3)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        with pytest.raises(CriError, match='exec: "nope": executable file not found'):
            await runtime.exec_sync(container, ["nope"])
        ps = await runtime.exec_sync(container, ["ps"])
        assert ps.stdout.count(b"sleep 60") == 1  # the timed-out one is dead
        assert not list((lab.config.containers_dir / container).glob("exec-*"))

    lab.run(test)


def test_exec_does_not_wait_for_background_children(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        if lab.config.default_handler == "runc":
            pytest.skip("runc itself waits for every holder of the streams")
        _, (container,) = await started(runtime, lab.pod(), lab.container("sleep", "60"))
        done = await asyncio.wait_for(runtime.exec_sync(container, ["sh", "-c", "sleep 30 & echo done"]), 5)
        assert done.stdout == b"done\n"

    lab.run(test)


def test_exec_with_stdin(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        _, (container,) = await started(runtime, lab.pod(), lab.container("sleep", "60"))
        session = await runtime.exec(container, ["cat"], tty=False, stdin=True)
        reading = asyncio.ensure_future(drain(session))
        payload = bytes(range(256)) * 4000
        await session.write_stdin(payload)
        await session.close_stdin()
        assert (await reading)[1] == payload
        assert await session.wait() == 0
        await session.close()

    lab.run(test)


def test_exec_with_terminal(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        _, (container,) = await started(runtime, lab.pod(), lab.container("sleep", "60"))
        session = await runtime.exec(container, ["sh", "-c", "read x; stty size; echo $TERM; exit 7"], tty=True, stdin=True)
        await session.resize(111, 44)
        await asyncio.sleep(0.3)
        await session.write_stdin(b"go\n")
        text = (await drain(session))[1]
        assert b"44 111\r\nxterm\r\n" in text
        assert await session.wait() == 7
        await session.close()

    lab.run(test)


def test_closing_an_exec_kills_it(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        _, (container,) = await started(runtime, lab.pod(), lab.container("sleep", "60"))
        session = await runtime.exec(container, ["sleep", "41"], tty=False, stdin=False)
        await asyncio.sleep(0.3)
        await session.close()
        assert b"sleep 41" not in (await runtime.exec_sync(container, ["ps"])).stdout

    lab.run(test)


def test_attach(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        _, (container,) = await started(runtime, lab.pod(), lab.script("cat; echo over >&2; exit 6", stdin=True, stdin_once=True))
        session = await runtime.attach(container, tty=False, stdin=True)
        await session.write_stdin(b"hello\n")
        assert await session.read() == (1, b"hello\n")
        await session.close_stdin()
        assert await drain(session) == {1: b"", 2: b"over\n"}
        assert await session.wait() == 6
        await session.close()

    lab.run(test)


def test_attach_to_a_terminal(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        _, (container,) = await started(runtime, lab.pod(), lab.container("sh", stdin=True, tty=True))
        session = await runtime.attach(container, tty=True, stdin=True)
        await session.resize(90, 30)
        await asyncio.sleep(0.2)
        await session.write_stdin(b"stty size; exit 3\n")
        assert b"30 90" in (await drain(session))[1]
        assert await session.wait() == 3
        await session.close()

    lab.run(test)


def test_port_forward(lab: Lab) -> None:
    async def test(runtime) -> None:  # type: ignore[no-untyped-def]
        sandbox, (container,) = await started(runtime, lab.pod(), lab.container("nc", "-l", "-p", "8080", "-e", "cat"))
        await asyncio.sleep(0.2)
        session = await runtime.port_forward(sandbox, 8080)
        await session.write_stdin(b"ping")
        assert await session.read() == (1, b"ping")
        await session.close()
        with pytest.raises(CriError, match="failed to connect to localhost:81"):
            await runtime.port_forward(sandbox, 81)

    lab.run(test)
