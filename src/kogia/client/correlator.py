"""Which Event to write for what happened: new, a repeat of one already written, a summary of many alike, or none. Pure.

Three steps, as client-go's: a token bucket per source and object (25 at once, one per 5 minutes after) against floods; events alike in
all but their message become one "(combined from similar events)" after 10 within 10 minutes; the same event again raises `count`.
Source: client-go tools/record EventCorrelator (names, limits and key fields).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from kogia.base.clock import rfc3339
from kogia.client.interface import Obj

LRU_SIZE = 4096
SPAM_BURST = 25
SPAM_REFILL_S = 300.0  #: one more event per object and source every five minutes
SIMILAR_MAX = 10
SIMILAR_WINDOW_S = 600.0
COMBINED = "(combined from similar events): "

V = TypeVar("V")
Key = tuple[Any, ...]


class _Lru(Generic[V]):
    def __init__(self, size: int = LRU_SIZE) -> None:
        self._size = size
        self._entries: OrderedDict[Key, V] = OrderedDict()

    def get(self, key: Key) -> V | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, key: Key) -> None:
        self._entries.pop(key, None)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    at: float = 0.0


@dataclass(slots=True)
class _Written:
    name: str
    first: str
    count: int


@dataclass(frozen=True, slots=True)
class Decision:
    """create: the whole Event. patch: body of a strategic merge PATCH on the existing Event `name`; `event` then serves as a
    replacement should that one be gone."""

    event: Obj
    key: Key
    patch: Obj | None = None

    @property
    def name(self) -> str:
        return str(self.event["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.event["metadata"]["namespace"])


def _involved(event: Obj) -> Key:
    source, about = event["source"], event["involvedObject"]
    return (
        source.get("component", ""), source.get("host", ""), about.get("kind", ""), about.get("namespace", ""), about.get("name", ""),
        about.get("uid", ""), about.get("apiVersion", ""),
    )


class Correlator:
    def __init__(self) -> None:
        self._buckets: _Lru[_Bucket] = _Lru()
        self._similar: _Lru[_Similar] = _Lru()
        self._written: _Lru[_Written] = _Lru()

    def decide(self, event: Obj, now: float) -> Decision | None:
        """What to write for `event` (a private, complete Event of count 1) at `now` (epoch seconds); None drops it as spam."""
        involved = _involved(event)
        if not self._admit(involved, now):
            return None
        similar_key = (*involved, event["type"], event["reason"], event.get("reportingComponent", ""), event.get("reportingInstance", ""))
        key = (*similar_key, event["involvedObject"].get("fieldPath", ""), event["message"])
        if self._too_many_alike(similar_key, event["message"], now):
            event["message"] = COMBINED + event["message"]
            key = similar_key
        return self._count(event, key, now)

    def _admit(self, key: Key, now: float) -> bool:
        bucket = self._buckets.get(key) or _Bucket(SPAM_BURST, now)
        bucket.tokens = min(SPAM_BURST, bucket.tokens + max(0.0, now - bucket.at) / SPAM_REFILL_S)
        bucket.at = now
        admitted = bucket.tokens >= 1
        if admitted:
            bucket.tokens -= 1
        self._buckets.put(key, bucket)
        return admitted

    def _too_many_alike(self, key: Key, message: str, now: float) -> bool:
        record = self._similar.get(key)
        if record is None or now - record.at > SIMILAR_WINDOW_S:
            record = _Similar()
        record.at = now
        record.messages.add(message)
        self._similar.put(key, record)
        if len(record.messages) < SIMILAR_MAX:
            return False
        record.messages.pop()  # keep the set from growing beyond what the comparison needs
        return True

    def _count(self, event: Obj, key: Key, now: float) -> Decision:
        known = self._written.get(key)
        if known is None:
            self._written.put(key, _Written(event["metadata"]["name"], event["firstTimestamp"], 1))
            return Decision(event, key)
        known.count += 1
        event["metadata"]["name"] = known.name
        event["firstTimestamp"] = known.first
        event["count"] = known.count
        patch = {"count": known.count, "lastTimestamp": rfc3339(now), "message": event["message"]}
        return Decision(event, key, patch)

    def forget(self, key: Key) -> None:
        """The Event written for `key` does not exist (any more): the next one is new."""
        self._written.drop(key)
