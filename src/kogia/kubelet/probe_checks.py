"""One try of one probe: exec, httpGet, tcpSocket or grpc, and what it says about the container.

Neighbours: probes.py (when, and what follows), http_get.py, probe_grpc.py. Invariants: a try ends within its timeout, and never raises for what
the container does; what is no answer of the container at all (an unknown port's name, a runtime that fails) is neither success nor failure.
Source: kubelet prober/prober.go, pkg/probe.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from kogia.cri.errors import Code, CriError
from kogia.cri.interface import RuntimeService
from kogia.kubelet import pod_events as ev
from kogia.kubelet.hooks import HookError, resolve_port
from kogia.kubelet.http_get import RequestError, dial_failure, http_get, join, request_url

Obj = dict[str, Any]

MAX_OUTPUT = 10 << 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """`ok` None: nothing was learnt. `warning`: it succeeded, but the user should know `message`."""

    ok: bool | None
    message: str = ""
    warning: bool = False


async def check(probe: Obj, container: Obj, do: ev.DoProbe, runtime: RuntimeService) -> Outcome:
    """Try `probe` once. Cancel: safe."""
    timeout_s = float(probe.get("timeoutSeconds") or 1)
    host = do.pod_ips[0] if do.pod_ips else "127.0.0.1"
    try:
        if probe.get("exec"):
            return await _exec(list(probe["exec"].get("command") or []), do.container_id, runtime, timeout_s)
        if probe.get("httpGet"):
            get = probe["httpGet"]
            return await _http(get, get.get("host") or host, resolve_port(get.get("port"), container), timeout_s)
        if probe.get("tcpSocket"):
            tcp = probe["tcpSocket"]
            return await _tcp(tcp.get("host") or host, resolve_port(tcp.get("port"), container), timeout_s)
        if probe.get("grpc"):
            from kogia.kubelet import probe_grpc

            grpc = probe["grpc"]
            return Outcome(*await probe_grpc.check(host, int(grpc["port"]), grpc.get("service") or "", timeout_s))
    except HookError as error:
        return Outcome(None, str(error))
    return Outcome(None, f"missing probe handler for {container['name']}")


async def _exec(command: list[str], container_id: str, runtime: RuntimeService, timeout_s: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s + 1):  # the runtime keeps the time; this is for one that does not answer
            result = await runtime.exec_sync(container_id, command, timeout_s)
    except CriError as error:
        if error.code != Code.DEADLINE_EXCEEDED:
            return Outcome(None, error.message)
    except TimeoutError:
        pass
    else:
        return Outcome(result.exit_code == 0, (result.stdout + result.stderr)[:MAX_OUTPUT].decode("utf-8", "replace"))
    return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {timeout_s:g}s')


async def _http(get: Obj, host: str, port: int, timeout_s: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s):
            answer = await http_get(get, host, port)
    except TimeoutError:
        waited = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(False, f'Get "{request_url(get, host, port)}": {waited}')
    except RequestError as error:
        return Outcome(False, str(error))
    if not 200 <= answer.status < 400:
        return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")
    if answer.location:
        return Outcome(True, f"Probe terminated redirects, Location: {answer.location}", warning=True)
    return Outcome(True)


async def _tcp(host: str, port: int, timeout_s: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except OSError as error:  # TimeoutError is one
        return Outcome(False, dial_failure(join(host, port), error))
    writer.close()
    return Outcome(True)
