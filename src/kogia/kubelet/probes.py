"""Startup, readiness and liveness probes: one timer loop per probe of a running container.

Neighbours: pod_worker.py starts and stops them, probe_checks.py makes each try, pod_state.py takes the results. Invariants: a probe begins after its initial delay from the
container's start and never outlives it; only a change of the result, or a failure of liveness or startup, is reported; until startup has
succeeded, the others wait; a try that taught nothing counts for nothing. Source: kubelet prober/worker.go.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from typing import Any

from kogia.base.clock import Clock
from kogia.base.tasks import TaskOwner
from kogia.cri.interface import RuntimeService
from kogia.kubelet import pod_events as ev
from kogia.kubelet.probe_checks import Outcome, check

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
        kinds = [k for k in KINDS if container.get(f"{k}Probe") and not (k == "startup" and do.started)]
        if not kinds:
            return
        started = asyncio.Event()
        if "startup" not in kinds:
            started.set()
        self._running[do.container_id] = [
            self._tasks.spawn(f"{kind}-{do.container}", self._loop(kind, container[f"{kind}Probe"], container, do, started)) for kind in kinds
        ]

    def keep(self, running: Collection[str]) -> None:
        """Stop the probes of every container that is not among `running` (ids)."""
        for container_id in [c for c in self._running if c not in running]:
            self.stop(container_id)

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
        reported: bool | None = {"liveness": True, "readiness": do.ready}.get(kind)
        row, last = 0, None
        if age > 2 * period:  # adopted after a restart of the kubelet: spread over the period
            await self._clock.sleep(random.random() * period)
        while True:
            began = self._clock.monotonic()
            outcome = await check(probe, container, do, self._runtime)
            self._tell(kind, outcome, container["name"])
            if outcome.ok is not None:
                row = row + 1 if outcome.ok == last else 1
                last = outcome.ok
                if row >= needed[last] and last != reported:
                    if kind != "startup":
                        reported = last
                    self._post(ev.ProbeResult(do.container, do.container_id, kind, last, outcome.message))
                    if kind == "startup" and last:
                        started.set()
                        return
            await self._clock.sleep(max(0.01, period - (self._clock.monotonic() - began)))

    def _tell(self, kind: str, outcome: Outcome, container: str) -> None:
        if outcome.ok is None:
            self._emit("Warning", "Unhealthy", f"{kind.capitalize()} probe errored: {outcome.message}", container)
        elif not outcome.ok:
            self._emit("Warning", "Unhealthy", f"{kind.capitalize()} probe failed: {outcome.message}", container)
        elif outcome.warning:
            self._emit("Warning", "ProbeWarning", f"{kind.capitalize()} probe warning: {outcome.message}", container)
