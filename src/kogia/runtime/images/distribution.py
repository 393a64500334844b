"""The OCI distribution protocol, as far as pulling needs it, on aiohttp (imported at the first pull: an idle node never loads it).

One `Distribution` serves one pull. Endpoints are tried in order; a request is repeated after connection trouble, 429 and 5xx; a blob goes on where
its stream broke. Invariants: nothing is believed that does not match its digest and size; bodies are bounded; Authorization never follows a
redirect to another host, and a redirect never leads from TLS to plain HTTP.
Source: opencontainers/distribution-spec, spec.md (pull).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from kogia.base.backoff import Backoff
from kogia.runtime.images.auth import Authorizer, Denied
from kogia.runtime.images.config import Endpoint, is_local
from kogia.runtime.images.content import digest_of
from kogia.runtime.images.offload import offload
from kogia.runtime.images.platforms import INDEX_TYPES, MANIFEST_TYPES

log = logging.getLogger("kogia.runtime.images")

ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES, "*/*"))
MANIFEST_LIMIT = 4 << 20
CONFIG_LIMIT = 8 << 20
ERROR_LIMIT = 8 << 10
PIECE = 1 << 20
REDIRECTS = 5
RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})


class RegistryError(Exception):
    """The registry could not give what was asked; the text is fit for an event."""


class Missing(RegistryError):
    """404 from every endpoint."""


class Mismatch(RegistryError):
    """What came is not what was promised: size or digest."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a pull is."""

    connect_s: float = 15
    read_s: float = 60  #: without a byte
    attempts: int = 5  #: in a row without progress
    initial_delay_s: float = 0.5
    max_delay_s: float = 8


class Distribution:
    """Manifests and blobs of one repository."""

    def __init__(self, endpoints: list[Endpoint], limits: Limits | None = None) -> None:
        self._endpoints = endpoints
        self._limits = limits or Limits()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._authorizers: dict[Endpoint, Authorizer] = {}
        self._ssl: dict[Endpoint, Any] = {}

    async def __aenter__(self) -> Distribution:
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()

    # -- what a pull asks -------------------------------------------------------------------------------------------

    async def resolve(self, what: str) -> str:
        """The digest of tag or digest `what`. Errors: Missing, RegistryError, Denied."""
        return await self._first(lambda endpoint: self._resolve(endpoint, what))

    async def manifest(self, digest: str) -> bytes:
        """Errors: as `resolve`, and Mismatch."""
        return await self._first(lambda endpoint: self._small(endpoint, "manifests", digest, MANIFEST_LIMIT))

    async def config(self, digest: str) -> bytes:
        """A small blob. Errors: as `manifest`."""
        return await self._first(lambda endpoint: self._small(endpoint, "blobs", digest, CONFIG_LIMIT))

    async def blob(self, digest: str, size: int, folder: Path, progress: Callable[[int], None]) -> Path:
        """Fetch a blob of `size` bytes into a file in `folder`, which the caller removes; verified. `progress` is told bytes as they come
        (negative when they have to come again). Errors: as `manifest`; OSError for the disk. Cancel: safe; what came stays for the next try."""
        with _Part(folder, digest, size) as part:
            already = await offload(part.recover)
            progress(already)
            try:
                await self._first(lambda endpoint: self._download(endpoint, digest, part, progress))
            except Mismatch:
                part.discard()
                raise
            return part.path

    # -- trying -----------------------------------------------------------------------------------------------------

    async def _first(self, ask: Callable[[Endpoint], Any]) -> Any:
        """The first endpoint's answer that is one. The registry itself is last, so its refusal is the one told."""
        failure: Exception = RegistryError("no endpoints")
        for endpoint in self._endpoints:
            try:
                return await ask(endpoint)
            except (RegistryError, Denied) as error:
                failure = error
                if endpoint is not self._endpoints[-1]:
                    log.info("%s: %s; trying the next endpoint", endpoint.host, error)
        raise failure

    async def _resolve(self, endpoint: Endpoint, what: str) -> str:
        async with self._request("HEAD", endpoint, f"manifests/{what}") as answer:
            found = answer.headers.get("Docker-Content-Digest", "")
            if answer.status == 200 and len(found) == 71 and found.startswith("sha256:"):
                if what.startswith("sha256:") and found != what:
                    raise Mismatch(f"unexpected digest {found} for {what}")
                return found
            if answer.status not in (200, 400, 401, 403, 404, 405):  # a GET's refusal has a text
                await self._refused(answer, endpoint, what)
        data = await self._small(endpoint, "manifests", what, MANIFEST_LIMIT)
        return digest_of(data)

    async def _small(self, endpoint: Endpoint, kind: str, what: str, limit: int) -> bytes:
        backoff = self._backoff()
        for attempt in range(self._limits.attempts):
            try:
                async with self._request("GET", endpoint, f"{kind}/{what}") as answer:
                    if answer.status != 200:
                        await self._refused(answer, endpoint, what)
                    data = await _read(answer, limit)
                break
            except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError) as error:
                if attempt + 1 == self._limits.attempts:
                    raise RegistryError(f"failed to read {kind[:-1]} {what}: {error or 'i/o timeout'}") from None
                await asyncio.sleep(backoff.next())
        if what.startswith("sha256:") and digest_of(data) != what:
            raise Mismatch(f"unexpected commit digest {digest_of(data)}, expected {what}: failed precondition")
        return data

    async def _download(self, endpoint: Endpoint, digest: str, part: _Part, progress: Callable[[int], None]) -> None:
        backoff, failures = self._backoff(), 0
        while True:
            before = part.done
            try:
                if part.done < part.size or part.size == 0:
                    await self._stream(endpoint, digest, part, progress)
                break
            except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError) as error:
                failures = failures + 1 if part.done <= before else 1
                if failures >= self._limits.attempts:
                    raise RegistryError(f"failed to copy: read of {digest} broke off: {error or 'i/o timeout'}") from None
                if part.done > before:
                    backoff.reset()
                log.info("download of %s broke off at %d of %d bytes; going on", digest, part.done, part.size)
                await asyncio.sleep(backoff.next())
        part.verify()

    async def _stream(self, endpoint: Endpoint, digest: str, part: _Part, progress: Callable[[int], None]) -> None:
        headers = {"Range": f"bytes={part.done}-"} if part.done else {}
        async with self._request("GET", endpoint, f"blobs/{digest}", headers) as answer:
            if answer.status == 200 and part.done:  # the server ignores ranges: from the start
                progress(-part.done)
                part.restart()
            elif answer.status == 206:
                if not answer.headers.get("Content-Range", "").startswith(f"bytes {part.done}-"):
                    raise Mismatch(f"unexpected range {answer.headers.get('Content-Range')!r} for {digest}")
            elif answer.status == 416:
                progress(-part.done)
                part.restart()
                raise aiohttp.ClientPayloadError("range refused")
            elif answer.status != 200:
                await self._refused(answer, endpoint, digest)
            pieces: list[bytes] = []
            pending = 0
            try:
                async for piece in answer.content.iter_any():
                    pieces.append(piece)
                    pending += len(piece)
                    part.admit(pending)
                    if pending >= PIECE:
                        batch, came, pieces, pending = pieces, pending, [], 0
                        await offload(part.write, batch)
                        progress(came)
            finally:
                if pieces:  # also of a broken stream: they need not come again
                    part.write(pieces)
                    progress(pending)
            if part.done < part.size:
                raise aiohttp.ClientPayloadError(f"unexpected EOF after {part.done} of {part.size} bytes")

    # -- one request ------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, endpoint: Endpoint, path: str, headers: dict[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Authorized, redirected, repeated. Errors: RegistryError (no connection), Denied; aiohttp's own while the body is read."""
        url = f"{endpoint.base}/{endpoint.repository}/{path}"
        if endpoint.namespace:
            url += f"?ns={endpoint.namespace}"
        backoff = self._backoff()
        for attempt in range(self._limits.attempts):
            answer = await self._authorized(method, endpoint, url, headers or {})
            if answer.status in RETRY_STATUS and attempt + 1 < self._limits.attempts:
                delay = _retry_after(answer, backoff.next(), self._limits.max_delay_s)
                answer.release()
                await asyncio.sleep(delay)
                continue
            break
        try:
            yield answer
        finally:
            answer.close()

    async def _authorized(self, method: str, endpoint: Endpoint, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        scope = f"repository:{endpoint.repository}:pull"
        authorizer = self._authorizer(endpoint)
        for _ in range(3):
            answer = await self._follow(method, endpoint, url, headers, authorizer.header(scope))
            if answer.status != 401:
                return answer
            challenge = ", ".join(answer.headers.getall("WWW-Authenticate", []))
            try:
                if not await self._connected(endpoint, authorizer.answer(self._session(endpoint.host), challenge, scope), "GET", url):
                    return answer
            except BaseException:
                answer.close()
                raise
            answer.release()
        return answer

    async def _follow(
        self, method: str, endpoint: Endpoint, url: str, headers: dict[str, str], authorization: str
    ) -> aiohttp.ClientResponse:
        first = urlsplit(url)
        for _ in range(REDIRECTS + 1):
            parts = urlsplit(url)
            own = (parts.scheme, parts.netloc) == (first.scheme, first.netloc)
            send = {"Accept": ACCEPT, "Accept-Encoding": "identity", "User-Agent": "kogia", **headers}
            if authorization and own:
                send["Authorization"] = authorization
            request = self._session(parts.netloc).request(
                method, _exact(url), headers=send, allow_redirects=False, ssl=self._tls(endpoint) if own else True
            )
            answer = await self._connected(endpoint, request, method, url)
            if answer.status not in (301, 302, 303, 307, 308) or "Location" not in answer.headers:
                return answer
            target = urljoin(url, answer.headers["Location"])
            answer.release()
            if urlsplit(target).scheme not in ("http", "https") or (first.scheme == "https" and urlsplit(target).scheme != "https"):
                raise RegistryError(f"failed to do request: refusing redirect from {first.netloc} to {urlsplit(target).scheme}://")
            url = target
        raise RegistryError(f"failed to do request: stopped after {REDIRECTS} redirects")

    async def _connected(self, endpoint: Endpoint, request: Any, method: str, url: str) -> Any:
        try:
            return await request
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            shown = url.split("?")[0]
            raise RegistryError(f'failed to do request: {method.capitalize()} "{shown}": {_reason(error)}') from None

    async def _refused(self, answer: aiohttp.ClientResponse, endpoint: Endpoint, what: str) -> None:
        """Raise what a status other than 200 means."""
        name = f"{endpoint.namespace or endpoint.host}/{endpoint.repository}"
        if answer.status == 404:
            raise Missing(f"{name}:{what}: not found" if not what.startswith("sha256:") else f"{name}@{what}: not found")
        message = _server_message(await _read(answer, ERROR_LIMIT, strict=False))
        if answer.status in (401, 403):
            said = f": server message: {message}" if message else ""
            raise Denied(f"pull access denied, repository does not exist or may require authorization{said}")
        shown = str(answer.url).split("?")[0]
        raise RegistryError(
            f"unexpected status from {answer.method} request to {shown}: {answer.status} {answer.reason}{': ' + message if message else ''}"
        )

    # -- parts ------------------------------------------------------------------------------------------------------

    def _backoff(self) -> Backoff:
        return Backoff(self._limits.initial_delay_s, self._limits.max_delay_s, jitter=0.2)

    def _session(self, host: str) -> aiohttp.ClientSession:
        local = is_local(host)
        if local not in self._sessions:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s, sock_read=self._limits.read_s)
            self._sessions[local] = aiohttp.ClientSession(
                timeout=timeout, auto_decompress=False, trust_env=not local, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=PIECE
            )
        return self._sessions[local]

    def _tls(self, endpoint: Endpoint) -> Any:
        if endpoint.tls is None:
            return True
        if endpoint not in self._ssl:
            try:
                self._ssl[endpoint] = endpoint.tls.context()
            except (OSError, ssl.SSLError) as error:
                raise RegistryError(f"TLS configuration for {endpoint.host}: {error}") from None
        return self._ssl[endpoint]

    def _authorizer(self, endpoint: Endpoint) -> Authorizer:
        if endpoint not in self._authorizers:
            self._authorizers[endpoint] = Authorizer(endpoint.credentials, endpoint.base.startswith("https:"), self._tls(endpoint))
        return self._authorizers[endpoint]


class _Part:
    """A download's file: hashed as it grows, kept when the pull is interrupted, locked against other processes."""

    def __init__(self, folder: Path, digest: str, size: int) -> None:
        self._folder, self._digest, self.size = folder, digest, size
        self.path = folder / f"{digest.removeprefix('sha256:')}.part"
        self.done = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> _Part:
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process fetches the same: go beside it
            os.close(self._fd)
            self.path = self._folder / f"{self._digest.removeprefix('sha256:')}.{secrets.token_hex(4)}.part"
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def recover(self) -> int:
        """Hash what an earlier try left; returns its length. Checks that the rest will fit."""
        while self.done < self.size and (block := os.pread(self._fd, min(PIECE, self.size - self.done), self.done)):
            self._hash.update(block)
            self.done += len(block)
        os.ftruncate(self._fd, self.done)
        room = os.fstatvfs(self._fd)
        if self.size - self.done > room.f_bavail * room.f_frsize:
            raise OSError(28, "no space left on device")
        return self.done

    def restart(self) -> None:
        os.ftruncate(self._fd, 0)
        self.done, self._hash = 0, hashlib.sha256()

    def admit(self, pending: int) -> None:
        if self.done + pending > self.size:
            raise Mismatch(f"unexpected commit size of at least {self.done + pending}, expected {self.size}: failed precondition")

    def write(self, pieces: list[bytes]) -> None:
        data = b"".join(pieces)[: max(self.size - self.done, 0)]
        view = memoryview(data)
        while view:
            view = view[os.pwrite(self._fd, view, self.done + len(data) - len(view)) :]
        self._hash.update(data)
        self.done += len(data)

    def verify(self) -> None:
        """Errors: Mismatch; the part is then empty again, so that another endpoint can be asked."""
        found = "sha256:" + self._hash.hexdigest()
        if found != self._digest:
            self.restart()
            raise Mismatch(f"unexpected commit digest {found}, expected {self._digest}: failed precondition")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


async def _read(answer: aiohttp.ClientResponse, limit: int, *, strict: bool = True) -> bytes:
    """The body, at most `limit` bytes; more is an error if `strict`, else cut."""
    data = bytearray()
    async for piece in answer.content.iter_any():
        data += piece
        if len(data) > limit:
            if strict:
                raise RegistryError(f"answer from {answer.url.host} is larger than {limit} bytes")
            break
    return bytes(data[:limit])


def _exact(url: str) -> Any:
    """The URL just as the registry wrote it: signed locations break when re-quoted."""
    from yarl import URL

    return URL(url, encoded=True)


def _retry_after(answer: aiohttp.ClientResponse, default_s: float, max_s: float) -> float:
    value = answer.headers.get("Retry-After", "")
    return min(float(value), max_s) if value.isdigit() else default_s


def _server_message(body: bytes) -> str:
    """`code: message` of the distribution specification's error body."""
    import json

    try:
        first = json.loads(body)["errors"][0]
        return f"{str(first.get('code', '')).lower()}: {first.get('message', '')}"[:300]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""


def _reason(error: BaseException) -> str:
    """A connection's failure in the words Go's net package made familiar."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        text = os.strerror(error.os_error.errno).lower() if error.os_error.errno else str(error.os_error)
        return f"dial tcp {error.host}:{error.port}: connect: {text}"
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error) or type(error).__name__
