"""Plain HTTP against an API server in a process of its own, as tests need it: answers, watches, identities."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cluster import Result

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass
class Answer:
    code: int
    headers: dict[str, str]
    data: bytes

    @property
    def obj(self) -> Any:
        return json.loads(self.data)

    def ok(self) -> Any:
        assert self.code < 300, f"{self.code} {self.data[:600]!r}"
        return self.obj if self.data[:1] in (b"{", b"[") else self.data.decode()

    def refused(self, code: int, reason: str = "") -> Any:
        """The Status of a request that has to fail so."""
        assert self.code == code, f"{self.code} instead of {code}: {self.data[:600]!r}"
        status = self.obj
        assert status["kind"] == "Status" and status["status"] == "Failure" and status["code"] == code
        if reason:
            assert status["reason"] == reason, status
        return status


class Stream:
    """One watch, read in a thread; `events` grows as they come. The connection ends with `close`."""

    def __init__(self, connection: http.client.HTTPSConnection, path: str, headers: dict[str, str]) -> None:
        self.events: list[dict[str, Any]] = []
        self.ended = False
        self._connection = connection
        connection.request("GET", path, headers=headers)
        self._socket = connection.sock
        self.answer = connection.getresponse()
        self.status = self.answer.status
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while line := self.answer.readline():
                with self._changed:
                    self.events.append(json.loads(line))
                    self._changed.notify_all()
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def wait(self, number: int, timeout_s: float = 10) -> list[dict[str, Any]]:
        """The first `number` events, once there."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.events) >= number or self.ended, timeout_s)
            assert enough and len(self.events) >= number, f"{len(self.events)} of {number} events: {self.events}"
            return self.events[:number]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def close(self) -> None:
        import socket

        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._connection.close()


@dataclass
class Api:
    """Plain HTTP with an identity: the admin's client certificate, or a bearer token, or nothing."""

    port: int
    ca: str
    cert: tuple[str, str] | None = None
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    _connection: http.client.HTTPSConnection | None = None

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.ca)
        if self.cert:
            context.load_cert_chain(*self.cert)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Accept": JSON, "User-Agent": "test/1.0", **bearer, **self.headers, **more}

    def call(self, method: str, path: str, body: Any = None, content_type: str = "", **headers: str) -> Answer:
        data = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        more = {key.replace("_", "-"): value for key, value in headers.items()}
        if data is not None and content_type != "-":
            more["Content-Type"] = content_type or JSON
        for attempt in (1, 2):
            self._connection = self._connection or self.connect()
            try:
                self._connection.request(method, path, body=data, headers=self._headers(more))
                answer = self._connection.getresponse()
                return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
            except (http.client.HTTPException, OSError):
                self._connection.close()
                self._connection = None
                if attempt == 2:
                    raise
        raise AssertionError("not reached")

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Answer:
        return self.call("PUT", path, body, **headers)

    def patch(self, path: str, body: Any, content_type: str = MERGE, **headers: str) -> Answer:
        return self.call("PATCH", path, body, content_type, **headers)

    def delete(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("DELETE", path, body, **headers)

    def watch(self, path: str) -> Stream:
        return Stream(self.connect(), path, self._headers({}))


@dataclass
class Server:
    folder: Path
    port: int
    process: subprocess.Popen[str]

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "data" / "admin.kubeconfig"

    def file(self, name: str) -> str:
        return str(self.folder / "data" / "pki" / name)

    def admin(self, **headers: str) -> Api:
        return Api(self.port, self.file("ca.crt"), (self.file("admin.crt"), self.file("admin.key")), headers=headers)

    def as_token(self, token: str) -> Api:
        return Api(self.port, self.file("ca.crt"), token=token)

    def anonymous(self) -> Api:
        return Api(self.port, self.file("ca.crt"))

    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder / "home"), "NO_PROXY": "*", "no_proxy": "*"}

    def kubectl(self, binary: str, *words: str, stdin: str | None = None) -> Result:
        done = subprocess.run([binary, *words], input=stdin, capture_output=True, text=True, timeout=30, env=self.environment(), cwd=self.folder)
        return Result(done.returncode, done.stdout, done.stderr)


def eventually(condition: Any, what: str, timeout_s: float = 10) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not reached: {what}"
        time.sleep(0.02)
    return value
