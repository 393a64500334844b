"""A small API server in memory, for the tests of everything that is a client: a `Handler` that behaves, not a stub that answers.

It stores, numbers revisions, filters by selectors, keeps history for watches, marks and finalizes deletions, binds Pods; it neither defaults,
validates, authenticates nor admits. Faults (errors, lost watches, compaction) can be switched on. Neighbours: `inproc.InProcTransport` above it;
`kogia.api` for selectors and patches. Production code never imports it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from kogia.api import resources, selectors, status
from kogia.api.jsoncopy import deep_copy
from kogia.api.kinds import ResourceInfo
from kogia.api.patch.json_patch import json_patch
from kogia.api.patch.merge import merge_patch
from kogia.api.patch.strategic import strategic_merge
from kogia.base.clock import Clock, RealClock, rfc3339
from kogia.client.inproc import InProcTransport
from kogia.client.interface import Obj
from kogia.client.rest import RestClient
from kogia.wire.messages import Request, Response, UserInfo

Kind = tuple[str, str]
#: Looks at a request before it is served: returns (or raises) what shall go wrong, None to let it pass.
Fault = Callable[[Request], Exception | None]


@dataclass(slots=True)
class _Change:
    revision: int
    kind: Kind
    type: str
    obj: Obj
    old: Obj | None


@dataclass(slots=True)
class _Route:
    """A parsed path."""

    row: ResourceInfo
    namespace: str
    name: str
    subresource: str

    @property
    def kind(self) -> Kind:
        return self.row.group, self.row.plural

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}" if self.row.namespaced else self.name


class FakeApi:
    """`await api(request)` serves it; `api.client()` is a Client on it. `graceful_pods`: deleting a bound Pod only marks it."""

    def __init__(self, clock: Clock | None = None, *, graceful_pods: bool = False) -> None:
        self.clock = clock or RealClock()
        self.graceful_pods = graceful_pods
        self.revision = 1
        self.objects: dict[Kind, dict[str, Obj]] = {}
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str]] = []  #: (method, path?query) of every request
        self._history: list[_Change] = []
        self._compacted = 0
        self._watchers: dict[int, asyncio.Queue[_Change | Exception | None]] = {}
        self._next_watcher = 0

    def client(self, user: str = "system:admin") -> RestClient:
        return RestClient(InProcTransport(self, UserInfo(user, groups=("system:masters",))))

    # -- switches for tests --------------------------------------------------------------------------------------------

    def end_watches(self, error: Exception | None = None) -> None:
        """End every open watch, in order or with `error`."""
        for queue in self._watchers.values():
            queue.put_nowait(error)

    def compact(self) -> None:
        """Forget all history: a watch from before now gets 410."""
        self._history.clear()
        self._compacted = self.revision

    @property
    def watches(self) -> int:
        return len(self._watchers)

    def all(self, plural: str, group: str = "") -> list[Obj]:
        return list(self.objects.get((group, plural), {}).values())

    def put(self, obj: Obj) -> Obj:
        """Create or replace an object directly, as some other client's write."""
        group, _, version = obj["apiVersion"].rpartition("/")
        row = resources.by_kind(group, version, obj["kind"])
        assert row is not None, obj["kind"]
        metadata = obj["metadata"]
        route = _Route(row, metadata.get("namespace", ""), metadata["name"], "")
        old = self.objects.get(route.kind, {}).get(route.key)
        return self._store(route, deep_copy(obj), old)

    # -- the handler ---------------------------------------------------------------------------------------------------

    async def __call__(self, request: Request) -> Response:
        self.log.append((request.method, request.path + (f"?{request.raw_query}" if request.raw_query else "")))
        await asyncio.sleep(0)
        try:
            for fault in self.faults:
                error = fault(request)
                if error is not None:
                    raise error
            found = self._discover(request.path)
            if found is not None:
                return _answer(found)
            return self._serve(request, self._route(request.path))
        except status.StatusError as error:
            return _answer(error.status, error.code)

    def _route(self, path: str) -> _Route:
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            group, version, rest = "", parts[1], parts[2:]
        else:
            group, version, rest = parts[1], parts[2], parts[3:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        row = resources.find(group, version, rest[0])
        if row is None:
            raise status.status_error(404, "NotFound", "the server could not find the requested resource")
        return _Route(row, namespace, rest[1] if len(rest) > 1 else "", "/".join(rest[2:]))

    def _discover(self, path: str) -> Any:
        parts = path.strip("/").split("/")
        if parts == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        if parts == ["apis"]:
            groups = [g for g in resources.groups() if g.name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                {"name": g.name, "versions": [{"groupVersion": f"{g.name}/{v}", "version": v} for v in g.versions],
                 "preferredVersion": {"groupVersion": f"{g.name}/{g.preferred}", "version": g.preferred}} for g in groups
            ]}
        if (parts[0] == "api" and len(parts) == 2) or (parts[0] == "apis" and len(parts) == 3):
            group, version = ("", parts[1]) if len(parts) == 2 else (parts[1], parts[2])
            rows = [r for r in resources.ALL if (r.group, r.version) == (group, version)]
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}" if group else version, "resources": [
                {"name": r.plural, "kind": r.kind, "namespaced": r.namespaced, "verbs": list(r.verbs), "singularName": r.singular} for r in rows
            ]}
        return None

    def _serve(self, request: Request, route: _Route) -> Response:
        method = request.method
        if not route.name:
            if method == "GET":
                watching = request.param("watch") in ("true", "1")
                return self._watch(request, route) if watching else _answer(self._list(request, route))
            if method == "POST":
                return _answer(self._create(route, orjson.loads(request.body)), 201)
            for obj in self._selected(request, route):
                self._delete(self._named(route, obj), obj, {})
            return _answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        if method == "POST" and route.subresource == "binding":
            return _answer(self._bind(route, orjson.loads(request.body)), 201)
        current = self.objects.get(route.kind, {}).get(route.key)
        if current is None:
            raise status.not_found(route.row.plural, route.name, route.row.group)
        if method == "GET":
            return _answer(current)
        if method == "DELETE":
            return _answer(self._delete(route, current, orjson.loads(request.body) if request.body else {}))
        body = orjson.loads(request.body)
        new = body if method == "PUT" else self._patched(request, route, current, body)
        return _answer(self._update(route, new, current))

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def _named(self, route: _Route, obj: Obj) -> _Route:
        return _Route(route.row, obj["metadata"].get("namespace", ""), obj["metadata"]["name"], "")

    def _selected(self, request: Request, route: _Route) -> list[Obj]:
        return [o for o in self.objects.get(route.kind, {}).values() if _matches(request, route, o)]

    def _list(self, request: Request, route: _Route) -> Obj:
        metadata = {"resourceVersion": str(self.revision)}
        return {"kind": route.row.list_kind, "apiVersion": route.row.api_version, "metadata": metadata, "items": self._selected(request, route)}

    def _create(self, route: _Route, obj: Obj) -> Obj:
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        if route.row.namespaced:
            metadata["namespace"] = route.namespace
            space = self.objects.get(("", "namespaces"), {}).get(route.namespace)
            if space is not None and space["metadata"].get("deletionTimestamp"):
                why = f"unable to create new content in namespace {route.namespace} because it is being terminated"
                error = status.forbidden(route.row.plural, metadata["name"], why, route.row.group)
                error.status["details"]["causes"] = [{"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}]
                raise error
        route = self._named(route, obj)
        if route.key in self.objects.get(route.kind, {}):
            raise status.already_exists(route.row.plural, route.name, route.row.group)
        if route.kind == ("", "namespaces"):
            obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            obj.setdefault("status", {}).setdefault("phase", "Active")
        return self._store(route, obj, None)

    def _patched(self, request: Request, route: _Route, current: Obj, body: Any) -> Obj:
        kind = request.headers.get("content-type", "")
        if "json-patch" in kind:
            return json_patch(deep_copy(current), body)
        if "strategic" in kind:
            return strategic_merge(deep_copy(current), body, route.row)
        return merge_patch(deep_copy(current), body)

    def _update(self, route: _Route, new: Obj, current: Obj) -> Obj:
        version = new["metadata"].get("resourceVersion")
        if version and version != current["metadata"]["resourceVersion"]:
            raise status.conflict(route.row.plural, route.name, status.MODIFIED, route.row.group)
        if new["metadata"].get("uid", current["metadata"]["uid"]) != current["metadata"]["uid"]:
            raise status.conflict(route.row.plural, route.name, "the UID in the precondition does not match", route.row.group)
        if route.subresource == "status":
            new = {**deep_copy(current), "status": new.get("status")}
        elif route.subresource == "finalize":
            new = {**deep_copy(current), "spec": new.get("spec") or {}}
        elif "status" in current:
            new = {**new, "status": deep_copy(current["status"])}
        fixed = {k: current["metadata"][k] for k in ("uid", "creationTimestamp", "deletionTimestamp") if k in current["metadata"]}
        new["metadata"] = {**new["metadata"], **fixed, "resourceVersion": current["metadata"]["resourceVersion"]}
        if new == current:
            return current
        if new["metadata"].get("deletionTimestamp") and not self._held(route, new):
            return self._remove(route, new)
        return self._store(route, new, current)

    def _bind(self, route: _Route, binding: Obj) -> Obj:
        pod = self.objects.get(route.kind, {}).get(route.key)
        if pod is None:
            raise status.not_found("pods", route.name)
        if pod["spec"].get("nodeName"):
            raise status.conflict("pods/binding", route.name, f'pod {route.name} is already assigned to node "{pod["spec"]["nodeName"]}"')
        new = deep_copy(pod)
        new["spec"]["nodeName"] = binding["target"]["name"]
        conditions = [c for c in new.setdefault("status", {}).get("conditions", []) if c["type"] != "PodScheduled"]
        new["status"]["conditions"] = [*conditions, {"type": "PodScheduled", "status": "True"}]
        self._store(route, new, pod)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def _held(self, route: _Route, obj: Obj) -> bool:
        return bool(obj["metadata"].get("finalizers") or (route.kind == ("", "namespaces") and (obj.get("spec") or {}).get("finalizers")))

    def _delete(self, route: _Route, current: Obj, options: Obj) -> Obj:
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != current["metadata"]["uid"]:
            raise status.conflict(route.row.plural, route.name, "the UID in the precondition does not match")
        graceful = self.graceful_pods and route.kind == ("", "pods") and current["spec"].get("nodeName") and options.get("gracePeriodSeconds") != 0
        if not self._held(route, current) and not graceful:
            return self._remove(route, deep_copy(current))
        if current["metadata"].get("deletionTimestamp"):
            return current
        new = deep_copy(current)
        new["metadata"]["deletionTimestamp"] = rfc3339(self.clock.now())
        if route.kind == ("", "namespaces"):
            new["status"]["phase"] = "Terminating"
        return self._store(route, new, current)

    # -- storage and watches -------------------------------------------------------------------------------------------

    def _store(self, route: _Route, obj: Obj, old: Obj | None) -> Obj:
        self.revision += 1
        obj["apiVersion"], obj["kind"] = route.row.api_version, route.row.kind
        metadata = obj["metadata"]
        metadata.setdefault("uid", old["metadata"]["uid"] if old else str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", rfc3339(self.clock.now()))
        metadata["resourceVersion"] = str(self.revision)
        self.objects.setdefault(route.kind, {})[route.key] = obj
        self._publish(_Change(self.revision, route.kind, "MODIFIED" if old else "ADDED", obj, old))
        return obj

    def _remove(self, route: _Route, last: Obj) -> Obj:
        self.revision += 1
        old = self.objects[route.kind].pop(route.key)
        last["metadata"]["resourceVersion"] = str(self.revision)
        self._publish(_Change(self.revision, route.kind, "DELETED", last, old))
        return last

    def _publish(self, change: _Change) -> None:
        self._history.append(change)
        for queue in self._watchers.values():
            queue.put_nowait(change)

    def _watch(self, request: Request, route: _Route) -> Response:
        version = int(request.param("resourceVersion") or 0)
        if 0 < version < self._compacted:
            raise status.expired(f"too old resource version: {version} ({self._compacted})")
        queue: asyncio.Queue[_Change | Exception | None] = asyncio.Queue()
        if version == 0:
            for obj in self.objects.get(route.kind, {}).values():
                queue.put_nowait(_Change(int(obj["metadata"]["resourceVersion"]), route.kind, "ADDED", obj, None))
        else:
            for change in self._history:
                if change.revision > version:
                    queue.put_nowait(change)
        self._next_watcher += 1
        self._watchers[self._next_watcher] = queue
        return Response(stream=self._stream(self._next_watcher, queue, request, route))

    async def _stream(
        self, number: int, queue: asyncio.Queue[_Change | Exception | None], request: Request, route: _Route
    ) -> AsyncIterator[bytes]:
        try:
            while (change := await queue.get()) is not None:
                if isinstance(change, status.StatusError):
                    yield orjson.dumps({"type": "ERROR", "object": change.status}) + b"\n"
                    return
                if isinstance(change, Exception):
                    raise change
                event = _event(request, route, change)
                if event is not None:
                    yield orjson.dumps({"type": event, "object": change.obj}) + b"\n"
        finally:
            self._watchers.pop(number, None)


def _event(request: Request, route: _Route, change: _Change) -> str | None:
    """The type of `change` as a watcher with these selectors sees it."""
    if change.kind != route.kind:
        return None
    now = change.type != "DELETED" and _matches(request, route, change.obj)
    before = change.old is not None and _matches(request, route, change.old)
    if now:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else None


def _matches(request: Request, route: _Route, obj: Obj) -> bool:
    metadata = obj["metadata"]
    if route.namespace and metadata.get("namespace") != route.namespace:
        return False
    if not selectors.parse_label_selector(request.param("labelSelector")).matches(metadata.get("labels")):
        return False
    wanted = selectors.parse_field_selector(request.param("fieldSelector"))
    return wanted.matches({r.name: _field(obj, r.name) for r in wanted.requirements})


def _field(obj: Obj, path: str) -> str:
    at: Any = obj
    for step in path.split("."):
        at = at.get(step) if isinstance(at, dict) else None
    return "" if at is None else str(at)


def _answer(body: Any, code: int = 200) -> Response:
    return Response(status=code, body=orjson.dumps(body))
