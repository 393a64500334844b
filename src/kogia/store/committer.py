"""Group commit: writes that arrive while an fsync is under way share the next SQLite transaction and its one fsync.

The statements of a group run on the event loop (they touch SQLite's page cache, microseconds each); only what waits for the disk,
COMMIT, runs on the writer thread. So the interpreter lock changes hands once per group, not once per statement. The connection is
never used by both at the same time: while the writer thread has it, new work only queues.

Invariants: work runs in order of submission; a piece that raises leaves no trace and fails alone; no future is answered before the
group that holds its effects is on disk; `committed` is called before those futures are answered.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kogia.store.interface import StoreClosed, StoreError, StoreEvent

log = logging.getLogger("kogia.store")

#: pieces of work that may share one transaction; bounds how much one failure of the disk takes down
GROUP_LIMIT = 1024


class Worker:
    """One daemon thread that runs callables in order and answers on the event loop."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()

    def submit(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Run `work` on the thread, then `done(result, error)` on the calling loop."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            result, error = None, None
            try:
                result = work()
            except Exception as e:
                error = e
            try:
                loop.call_soon_threadsafe(done, result, error)
            except RuntimeError:
                log.debug("event loop closed before the store's answer")

        self._queue.put(run)

    def call(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

        self.submit(work, done)
        return future

    def stop(self) -> None:
        """End the thread after what was submitted, and wait for it."""
        self._queue.put(None)
        self._thread.join()


@dataclass(slots=True)
class _Piece:
    """One submitted piece: `run` returns its answer and the events it makes. `alone`: a maintenance job with its own transactions."""

    future: asyncio.Future[Any]
    run: Callable[[], Any]
    alone: bool = False


class Committer:
    """`committed(revision_events)` publishes a group's events once they are durable; `rolled_back()` forgets what was only prepared."""

    def __init__(
        self, db: sqlite3.Connection, committed: Callable[[list[StoreEvent]], None], rolled_back: Callable[[], None],
    ) -> None:
        self._db = db
        self._committed, self._rolled_back = committed, rolled_back
        self._pending: deque[_Piece] = deque()
        self._busy = False
        self._scheduled = False
        self._worker: Worker | None = None
        self._closing = False
        self._idle: asyncio.Future[None] | None = None

    def submit(self, run: Callable[[], tuple[Any, list[StoreEvent]]]) -> asyncio.Future[Any]:
        """Join the next group. `run` executes statements on the open transaction and returns (answer, events)."""
        return self._enqueue(run, alone=False)

    def submit_alone(self, job: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run `job` on the writer thread between two groups; it manages its own transactions."""
        return self._enqueue(job, alone=True)

    def _enqueue(self, run: Callable[[], Any], *, alone: bool) -> asyncio.Future[Any]:
        if self._closing:
            raise StoreClosed("store is closed")
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._pending.append(_Piece(future, run, alone))
        if not self._busy and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        self._scheduled = False
        if self._busy:
            return
        if not self._pending:
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            return
        self._busy = True
        if self._worker is None:
            self._worker = Worker("kogia-store-writer")
        if self._pending[0].alone:
            piece = self._pending.popleft()
            self._worker.submit(piece.run, lambda result, error: self._finish([(piece, result, [], error)]))
            return
        group: list[_Piece] = []
        while self._pending and not self._pending[0].alone and len(group) < GROUP_LIMIT:
            group.append(self._pending.popleft())
        self._commit(group)

    def _commit(self, group: list[_Piece]) -> None:
        """Prepare `group` in one transaction and send its COMMIT to the writer thread."""
        changes = self._db.total_changes
        try:
            outcomes = self._prepare(group, savepoints=False)
        except sqlite3.Error:
            outcomes = self._prepare_singly(group)
        assert self._worker is not None
        if self._db.total_changes == changes:  # nothing to wait for
            if self._db.in_transaction:
                self._db.execute("COMMIT")
            self._finish(outcomes)
            return
        self._worker.submit(lambda: self._db.execute("COMMIT"), lambda _, error: self._committed_group(outcomes, error))

    def _prepare(self, group: list[_Piece], *, savepoints: bool) -> list[tuple[_Piece, Any, list[StoreEvent], BaseException | None]]:
        outcomes: list[tuple[_Piece, Any, list[StoreEvent], BaseException | None]] = []
        self._db.execute("BEGIN")
        for piece in group:
            if savepoints:
                self._db.execute("SAVEPOINT piece")
            try:
                result, events = piece.run()
                outcomes.append((piece, result, events, None))
            except StoreError as error:  # raised before anything was written
                outcomes.append((piece, None, [], error))
            except sqlite3.Error as error:
                if not savepoints:
                    self._abort()
                    raise
                self._db.execute("ROLLBACK TO piece")
                outcomes.append((piece, None, [], StoreError(f"write failed: {error}")))
            if savepoints:
                self._db.execute("RELEASE piece")
        return outcomes

    def _prepare_singly(self, group: list[_Piece]) -> list[tuple[_Piece, Any, list[StoreEvent], BaseException | None]]:
        """Once more with a savepoint around each piece, so that only the faulty one fails."""
        try:
            return self._prepare(group, savepoints=True)
        except sqlite3.Error as error:
            self._abort()
            return [(piece, None, [], StoreError(f"write failed: {error}")) for piece in group]

    def _abort(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.error("rollback failed: %s", error)
        self._rolled_back()

    def _committed_group(self, outcomes: list[tuple[_Piece, Any, list[StoreEvent], BaseException | None]], error: BaseException | None) -> None:
        if error is not None:
            log.error("commit failed: %s", error)
            self._abort()
            failure = StoreError(f"commit failed: {error}")
            outcomes = [(piece, None, [], failure) for piece, *_ in outcomes]
        else:
            self._committed([e for _, _, events, _ in outcomes for e in events])
        self._finish(outcomes)

    def _finish(self, outcomes: list[tuple[_Piece, Any, list[StoreEvent], BaseException | None]]) -> None:
        self._busy = False
        for piece, result, _, error in outcomes:
            if piece.future.done():
                continue  # its caller went away
            if error is None:
                piece.future.set_result(result)
            else:
                piece.future.set_exception(error)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def close(self) -> None:
        """Refuse new work, finish what was submitted."""
        self._closing = True
        if self._busy or self._pending:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
