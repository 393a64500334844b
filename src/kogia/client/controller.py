"""The one shape of a controller: informers feed keys into a queue, workers call `reconcile(key)`.

`reconcile` looks at the caches, decides (in pure code), and acts through the client. It returns when all is well, raises `Retry` to be
called again, `Permanent` when only a change of the object can help; any other error is retried with back-off. It may be stopped at
any moment and started again: the caches and the server hold all the state there is.
Source: the controller pattern of sigs.k8s.io/controller-runtime and kube-controller-manager.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from kogia.api.status import StatusError
from kogia.base.clock import Clock, RealClock
from kogia.base.tasks import TaskOwner
from kogia.client.cache import object_key
from kogia.client.informer import Informer
from kogia.client.interface import Obj
from kogia.client.queue import QueueShutDown, RateLimiter, WorkQueue

log = logging.getLogger("kogia.controller")


class Retry(Exception):
    """Call again: after `after_s` seconds, or with the key's back-off when None."""

    def __init__(self, why: str = "", after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class Permanent(Exception):
    """Trying again cannot help until the object changes."""


@dataclass(slots=True)
class ControllerMetrics:
    """Counters since the start."""

    reconciled: int = 0
    failed: int = 0
    retried: int = 0
    permanent: int = 0
    seconds: float = 0.0


class Controller:
    """`reconcile` is called with one key at a time per key, by `workers` workers. `informers` must be synced before the first call."""

    def __init__(
        self, name: str, reconcile: Callable[[str], Awaitable[None]], *, informers: Sequence[Informer] = (), workers: int = 2,
        clock: Clock | None = None, limiter: RateLimiter[str] | None = None,
    ) -> None:
        self.name = name
        self.metrics = ControllerMetrics()
        self._reconcile = reconcile
        self._informers = list(informers)
        self._sources: list[tuple[Informer, Callable[[Obj], Iterable[str]]]] = []
        self._workers = workers
        self._clock = clock or RealClock()
        self._limiter = limiter
        self._tasks = TaskOwner(name)
        self.queue: WorkQueue[str] = self._new_queue()
        self._running = False

    def _new_queue(self) -> WorkQueue[str]:
        return WorkQueue(self.name, clock=self._clock, limiter=self._limiter)

    def watch(self, informer: Informer, keys: Callable[[Obj], Iterable[str]] | None = None) -> None:
        """Queue `keys(obj)` (default: the object's own key) for every change; on updates those of the old and of the new state."""
        if informer not in self._informers:
            self._informers.append(informer)
        chosen = keys or _own_key
        self._sources.append((informer, chosen))

        def handler(old: Obj | None, new: Obj | None) -> None:
            found = dict.fromkeys(chosen(new) if new is not None else ())
            if old is not None:
                found.update(dict.fromkeys(chosen(old)))
            for key in found:
                self.queue.add(key)

        informer.on_change(handler)

    def enqueue(self, key: str, after_s: float = 0) -> None:
        self.queue.add_after(key, after_s)

    def start(self) -> None:
        """Workers begin once every informer has synced. Idempotent; after `stop`, every object's keys are worked on again."""
        if self._running:
            return
        self._running = True
        self._tasks.spawn("start", self._begin())

    async def _begin(self) -> None:
        for informer in self._informers:
            informer.start()
        for informer in self._informers:
            await informer.wait_synced()
        for number in range(self._workers):
            self._tasks.spawn(f"worker-{number}", self._work())

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except QueueShutDown:
                return
            try:
                await self._one(key)
            finally:
                self.queue.done(key)

    async def _one(self, key: str) -> None:
        started = self._clock.monotonic()
        try:
            await self._reconcile(key)
        except Retry as retry:
            self.metrics.retried += 1
            if retry.after_s is None:
                self.queue.add_rate_limited(key)
            else:
                self.queue.forget(key)
                self.queue.add_after(key, retry.after_s)
        except Permanent as error:
            self.metrics.permanent += 1
            self.queue.forget(key)
            log.warning("%s: %s: %s", self.name, key, error)
        except (OSError, StatusError) as error:
            self._failed(key, error)
        except Exception as error:  # a mistake on one key must not end the worker; it is logged and retried
            log.exception("%s: %s failed", self.name, key)
            self._failed(key, error, logged=True)
        else:
            self.queue.forget(key)
        finally:
            self.metrics.reconciled += 1
            self.metrics.seconds += self._clock.monotonic() - started

    def _failed(self, key: str, error: Exception, logged: bool = False) -> None:
        self.metrics.failed += 1
        delay_s = self.queue.add_rate_limited(key)
        expected = isinstance(error, StatusError) and error.reason in ("Conflict", "AlreadyExists", "NotFound")
        if not logged:
            level = logging.DEBUG if expected or isinstance(error, OSError) else logging.WARNING
            log.log(level, "%s: %s: %s (again in %.3f s)", self.name, key, error, delay_s)

    async def stop(self) -> None:
        """End the workers, in the middle of a reconcile if need be. `start` begins anew. Informers are left alone (they may be shared)."""
        if not self._running:
            return
        self._running = False
        await self.queue.shut_down()
        await self._tasks.close()
        self.queue = self._new_queue()
        for informer, keys in self._sources:
            for obj in informer.list():
                for key in keys(obj):
                    self.queue.add(key)


def _own_key(obj: Obj) -> Iterable[str]:
    return (object_key(obj),)
