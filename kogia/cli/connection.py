"""One synchronous connection to the API server for a short-lived command: http.client, no asyncio, errors in kubectl's words."""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from kogia.cli.main import CommandError

Obj = dict[str, Any]


class ApiFailure(CommandError):
    """The server answered with a Status of failure."""

    def __init__(self, status: Obj, code: int) -> None:
        self.status, self.http_code = status, code
        reason, message = status.get("reason") or "", status.get("message") or f"the server answered {code}"
        super().__init__(f"Error from server ({reason}): {message}" if reason else f"Error from server: {message}")

    @property
    def reason(self) -> str:
        return str(self.status.get("reason") or "")


class Api:
    """Requests with JSON bodies; one keep-alive connection, renewed when the server closed it."""

    def __init__(self, server: str, context: ssl.SSLContext | None, headers: dict[str, str], namespace: str, timeout_s: float | None = None) -> None:
        url = urlsplit(server)
        self.server, self.namespace = server, namespace
        self._host, self._port = url.hostname or "localhost", url.port or (443 if url.scheme == "https" else 80)
        self._prefix, self._tls, self._headers, self._timeout = url.path.rstrip("/"), context, headers, timeout_s
        self._kept: http.client.HTTPConnection | None = None

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(self._host, self._port, context=self._tls, timeout=self._timeout)

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        for attempt in (0, 1):
            kept, self._kept = self._kept, None
            connection = kept or self._connect()
            try:
                connection.request(method, self._prefix + path, body=body, headers={**self._headers, **headers})
                return connection, connection.getresponse()
            except ssl.SSLCertVerificationError as error:
                raise CommandError(f"Unable to connect to the server: tls: failed to verify certificate: {error.verify_message}") from error
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                if kept is not None and attempt == 0:
                    continue
                raise CommandError(f"Unable to connect to the server: {error}") from error
            except TimeoutError as error:
                raise CommandError(f"Unable to connect to the server: net/http: request canceled ({error})") from error
            except OSError as error:
                raise self._refused(error) from error
        raise CommandError("Unable to connect to the server")

    def _refused(self, error: OSError) -> CommandError:
        if isinstance(error, ConnectionRefusedError):
            address = f"{self._host}:{self._port}"
            return CommandError(f"The connection to the server {address} was refused - did you specify the right host or port? (`kogia up` starts a cluster)")
        return CommandError(f"Unable to connect to the server: {error.strerror or error}")

    def raw(self, method: str, path: str, *, query: dict[str, Any] | None = None, body: Any = None, accept: str = "application/json",
            content_type: str = "application/json") -> bytes:  # fmt: skip
        """The answer's body. Errors: ApiFailure, CommandError."""
        if query:
            path += "?" + encode_query(query)
        headers = {"Accept": accept}
        data: bytes | None = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection, answer = self._exchange(method, path, data, headers)
        content = answer.read()
        for warning in answer.headers.get_all("Warning") or []:
            print_warning(warning)
        if answer.will_close:
            connection.close()
        else:
            self._kept = connection
        if answer.status >= 400:
            raise failure(answer.status, content)
        return content

    def call(self, method: str, path: str, **more: Any) -> Obj:
        return json.loads(self.raw(method, path, **more))

    def stream(self, path: str, query: dict[str, Any], accept: str = "application/json") -> Iterator[bytes]:
        """Pieces of an unbounded answer as they come."""
        connection, answer = self._exchange("GET", path + "?" + encode_query(query), None, {"Accept": accept})
        if answer.status >= 400:
            raise failure(answer.status, answer.read())
        try:
            while piece := answer.read1(65536):
                yield piece
        except (http.client.IncompleteRead, ConnectionResetError):
            return
        finally:
            connection.close()

    def lines(self, path: str, query: dict[str, Any], accept: str = "application/json") -> Iterator[bytes]:
        rest = b""
        for piece in self.stream(path, query, accept):
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line for line in whole if line)

    @property
    def tls(self) -> ssl.SSLContext | None:
        return self._tls

    @property
    def headers(self) -> dict[str, str]:
        return self._headers

    @property
    def address(self) -> tuple[str, int]:
        return self._host, self._port


def failure(code: int, content: bytes) -> ApiFailure:
    try:
        status = json.loads(content)
        if not isinstance(status, dict):
            raise ValueError
    except ValueError:
        status = {"message": content.decode("utf-8", "replace").strip() or http.client.responses.get(code, "unknown")}
    return ApiFailure(status, code)


def print_warning(header: str) -> None:
    text = header.split(" ", 2)[-1]
    if text.startswith('"'):
        text = text[1 : text.rindex('"')].replace('\\"', '"').replace("\\\\", "\\")
    print(f"Warning: {text}", file=sys.stderr)


def encode_query(query: dict[str, Any]) -> str:
    pairs = [(k, v) for k, value in query.items() for v in (value if isinstance(value, list | tuple) else [value]) if v not in ("", None)]
    return urlencode([(k, str(v).lower() if isinstance(v, bool) else v) for k, v in pairs])


def segment(text: str) -> str:
    return quote(text, safe="")


def parse_duration(text: str) -> float | None:
    """Go's duration (`1s`, `2m30s`, `500ms`) or plain seconds, in seconds; None for 0. Errors: CommandError."""
    import re

    if re.fullmatch(r"\d+", text):
        return float(text) or None
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    if not re.fullmatch(r"([\d.]+(ms|s|m|h))+", text):
        raise CommandError(f'error: invalid duration "{text}"')
    return sum(float(n) * units[u] for n, u in re.findall(r"([\d.]+)(ms|s|m|h)", text)) or None


def target_of(options: argparse.Namespace) -> Any:
    """The kubeconfig context (or the named local cluster's own) the options speak of. Errors: CommandError."""
    from kogia.client import kubeconfig

    path = options.kubeconfig
    if path is None and (options.cluster_name or options.data_dir):
        from pathlib import Path

        from kogia.base.cluster import ClusterPaths, default_data_dir

        path = str(ClusterPaths(Path(options.data_dir or default_data_dir(options.cluster_name))).admin_kubeconfig)
    try:
        return kubeconfig.load(path, options.context)
    except FileNotFoundError as error:
        raise CommandError(f"error: no configuration has been provided: {error.filename} does not exist; start a cluster with `kogia up`") from error
    except ValueError as error:
        raise CommandError(f"error: {error}") from error


def connect(options: argparse.Namespace) -> Api:
    """An `Api` for the options. Errors: CommandError."""
    target = target_of(options)
    headers = {"User-Agent": "kogia", **target.headers()}
    if options.impersonate:
        headers["Impersonate-User"] = options.impersonate
    try:
        context = target.ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise CommandError(f"error: unusable credentials in the kubeconfig: {error}") from error
    return Api(target.server, context, headers, options.namespace or target.namespace or "default", parse_duration(options.request_timeout))
