"""Leader election by a Lease: of several processes with one lock name, at most one leads at a time.

Safe against conflicts: every take-over is an update with the resourceVersion that was read, so two candidates cannot both win.
A leader that cannot renew for `renew_deadline_s` steps down before others may take over at `lease_duration_s` (measured by each
candidate's own monotonic clock from when it saw the Lease change; clocks of different machines are never compared).
Source: client-go tools/leaderelection.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kogia.api.status import StatusError
from kogia.base.clock import Clock, RealClock, rfc3339_micro
from kogia.base.tasks import TaskOwner
from kogia.client.interface import Client, Obj, Resource

log = logging.getLogger("kogia.client.leader")

LEASES = Resource("coordination.k8s.io", "v1", "leases")


@dataclass(frozen=True, slots=True)
class LeaderConfig:
    """Kubernetes' defaults. Durations in seconds."""

    name: str
    identity: str
    namespace: str = "kube-system"
    lease_duration_s: int = 15
    renew_deadline_s: float = 10.0
    retry_period_s: float = 2.0
    release_on_close: bool = True


def new_identity() -> str:
    """Never the same twice, also within one process: a host's name and a random part, as Kubernetes' components call themselves."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class LeaderElector:
    """`on_started` is awaited when this process becomes leader, `on_stopped` when it no longer is (also on `close`)."""

    def __init__(
        self, client: Client, config: LeaderConfig, on_started: Callable[[], Awaitable[None]], on_stopped: Callable[[], Awaitable[None]],
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._config = config
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._clock = clock or RealClock()
        self._tasks = TaskOwner(f"leader/{config.name}")
        self._seen: tuple[object, ...] = ()  # what the Lease said when it last changed …
        self._seen_at = float("-inf")  # … and when we saw that
        self.is_leader = False

    def start(self) -> None:
        self._tasks.spawn("elect", self._run())

    async def _run(self) -> None:
        while True:
            if await self._try():
                await self._lead()
            await self._clock.sleep(self._config.retry_period_s * (1 + 0.2 * random.random()))

    async def _lead(self) -> None:
        log.info("%s: %s leads", self._config.name, self._config.identity)
        self.is_leader = True
        await self._on_started()
        renewed = self._clock.monotonic()
        while self._clock.monotonic() - renewed < self._config.renew_deadline_s:
            await self._clock.sleep(self._config.retry_period_s)
            if await self._try():
                renewed = self._clock.monotonic()
        log.warning("%s: %s lost the lease", self._config.name, self._config.identity)
        await self._step_down()

    async def _step_down(self) -> None:
        if self.is_leader:
            self.is_leader = False
            await self._on_stopped()

    async def _try(self) -> bool:
        """Take or renew the Lease; True if it is ours now."""
        try:
            async with asyncio.timeout(self._config.renew_deadline_s / 2):
                return await self._take()
        except StatusError as error:
            if error.reason not in ("Conflict", "AlreadyExists"):
                log.warning("%s: %s", self._config.name, error.message)
            return False
        except (OSError, TimeoutError) as error:
            log.debug("%s: %s", self._config.name, error)
            return False

    async def _take(self) -> bool:
        config = self._config
        try:
            lease = await self._client.get(LEASES, config.name, config.namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            fresh = {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": config.name, "namespace": config.namespace}, "spec": self._claim({}),
            }
            await self._client.create(LEASES, fresh, config.namespace)
            return True
        spec = lease.get("spec") or {}
        now = self._clock.monotonic()
        said = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if said != self._seen:
            self._seen, self._seen_at = said, now
        holder = spec.get("holderIdentity") or ""
        duration = spec.get("leaseDurationSeconds") or config.lease_duration_s
        if holder and holder != config.identity and now - self._seen_at < duration:
            return False
        await self._client.update(LEASES, {**lease, "spec": self._claim(spec)})
        return True

    def _claim(self, spec: Obj) -> Obj:
        now = rfc3339_micro(self._clock.now())
        mine = spec.get("holderIdentity") == self._config.identity
        transitions = int(spec.get("leaseTransitions") or 0)
        return {
            **spec, "holderIdentity": self._config.identity, "leaseDurationSeconds": self._config.lease_duration_s, "renewTime": now,
            "acquireTime": spec.get("acquireTime") or now if mine else now,
            "leaseTransitions": transitions if mine or not spec else transitions + 1,
        }

    async def close(self) -> None:
        """Stop leading and, if so configured, free the Lease so that others need not wait for it to run out. Idempotent."""
        led = self.is_leader
        await self._tasks.close()
        await self._step_down()
        if led and self._config.release_on_close:
            await self._release()

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(2.0):
                lease = await self._client.get(LEASES, self._config.name, self._config.namespace)
                if (lease.get("spec") or {}).get("holderIdentity") == self._config.identity:
                    now = rfc3339_micro(self._clock.now())
                    spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}
                    await self._client.update(LEASES, {**lease, "spec": spec})
        except (OSError, TimeoutError, StatusError) as error:
            log.debug("%s: the lease was not released: %s", self._config.name, error)
