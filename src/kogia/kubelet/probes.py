"""Startup, readiness and liveness probes: one timer loop per probe of a running container.

Neighbours: pod_worker.py starts and stops them, pod_state.py takes their results. Invariants: a probe begins after its initial delay from the
container's start and never outlives it; only a change of the result, or a failure of liveness or startup, is reported; until startup has
succeeded, the others wait. Source: kubelet prober/worker.go.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from kogia.base.clock import Clock
from kogia.base.tasks import TaskOwner
from kogia.cri.errors import CriError
from kogia.cri.interface import RuntimeService
from kogia.kubelet import pod_events as ev
from kogia.kubelet.hooks import HookError, http_get, resolve_port

log = logging.getLogger("kogia.kubelet.probes")

Obj = dict[str, Any]

KINDS = ("startup", "readiness", "liveness")


class Prober:
    def __init__(
        self, runtime: RuntimeService, clock: Clock, post: Callable[[ev.Event], None], emit: Callable[[str, str, str, str], None]
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._post = post
        self._emit = emit
        self._tasks = TaskOwner("probes")
        self._running: dict[str, list[asyncio.Task[Any]]] = {}

    def start(self, do: ev.DoProbe, container: Obj) -> None:
        """Begin the container's probes, if it has any. Containers without cost nothing."""
        self.stop(do.container_id)
        kinds = [k for k in KINDS if container.get(f"{k}Probe")]
        if not kinds:
            return
        started = asyncio.Event()
        if "startup" not in kinds:
            started.set()
        self._running[do.container_id] = [
            self._tasks.spawn(f"{kind}-{do.container}", self._loop(kind, container[f"{kind}Probe"], container, do, started)) for kind in kinds
        ]

    def stop(self, container_id: str) -> None:
        for task in self._running.pop(container_id, []):
            task.cancel()

    async def close(self) -> None:
        await self._tasks.close()

    async def _loop(self, kind: str, probe: Obj, container: Obj, do: ev.DoProbe, started: asyncio.Event) -> None:
        if kind != "startup":
            await started.wait()
        period = float(probe.get("periodSeconds") or 10)
        initial = float(probe.get("initialDelaySeconds") or 0)
        age = self._clock.now() - do.started_at
        await self._clock.sleep(max(0.0, initial - age))
        needed = {True: int(probe.get("successThreshold") or 1), False: int(probe.get("failureThreshold") or 3)}
        row, last, reported = 0, None, kind == "liveness"
        if age > 2 * period:  # adopted after a restart of the kubelet: spread over the period
            await self._clock.sleep(random.random() * period)
        while True:
            ok, message = await self._probe(probe, container, do)
            if not ok:
                self._emit("Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {message}", container["name"])
            row = row + 1 if ok == last else 1
            last = ok
            if row >= needed[ok] and ok != reported:
                if kind == "startup" and ok:
                    self._post(ev.ProbeResult(do.container, do.container_id, kind, True))
                    started.set()
                    return
                if kind != "startup" or not ok:
                    reported = ok
                    self._post(ev.ProbeResult(do.container, do.container_id, kind, ok, message))
            elif kind == "startup" and not ok and row >= needed[False]:
                self._post(ev.ProbeResult(do.container, do.container_id, kind, False, message))
            await self._clock.sleep(period)

    async def _probe(self, probe: Obj, container: Obj, do: ev.DoProbe) -> tuple[bool, str]:
        timeout_s = float(probe.get("timeoutSeconds") or 1)
        try:
            async with asyncio.timeout(timeout_s + 0.1):
                if probe.get("exec"):
                    result = await self._runtime.exec_sync(do.container_id, list(probe["exec"].get("command") or []), timeout_s)
                    return result.exit_code == 0, (result.stdout + result.stderr)[:10240].decode("utf-8", "replace")
                host = do.pod_ips[0] if do.pod_ips else "127.0.0.1"
                if probe.get("httpGet"):
                    get = probe["httpGet"]
                    status = await http_get(get, get.get("host") or host, resolve_port(get.get("port"), container))
                    return 200 <= status < 400, f"HTTP probe failed with statuscode: {status}"
                if probe.get("tcpSocket"):
                    tcp = probe["tcpSocket"]
                    port = resolve_port(tcp.get("port"), container)
                    _, writer = await asyncio.open_connection(tcp.get("host") or host, port)
                    writer.close()
                    return True, ""
        except TimeoutError:
            return False, f"command timed out after {timeout_s:g}s" if probe.get("exec") else "context deadline exceeded"
        except (CriError, HookError, OSError) as error:
            return False, str(error)
        return True, ""
