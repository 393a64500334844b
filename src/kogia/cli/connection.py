"""One synchronous connection to the API server for a short-lived command: no asyncio, errors in kubectl's words."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from kogia.cli import http
from kogia.cli.flags import Options, duration
from kogia.cli.main import CommandError

Obj = dict[str, Any]


class ApiFailure(CommandError):
    """The server answered with a Status of failure; `str()` is what kubectl would print."""

    def __init__(self, status: Obj, code: int) -> None:
        self.status, self.http_code, self.at = status, code, ""  # at: the request's method, where that is told
        super().__init__(self.worded())

    def worded(self, before: str = "") -> str:
        """The line for the terminal; `before` goes between the reason and the message (`error when creating "x.yaml": `)."""
        message = self.status.get("message") or f"the server answered {self.http_code}"
        if self.reason == "Invalid" and not before and (self.status.get("details") or {}).get("causes"):
            return "The " + _invalid(self.status)
        return f"Error from server ({self.reason}): {before}{message}" if self.reason else f"Error from server: {before}{message}"

    @property
    def reason(self) -> str:
        return str(self.status.get("reason") or "")


def _invalid(status: Obj) -> str:
    """`Pod "x" is invalid: …` as kubectl shows it: one cause plainly, several starred one under the other."""
    details = status.get("details") or {}
    if not details.get("kind") and not details.get("name"):
        return f"request is invalid: {(status.get('message') or '').removeprefix(': ').partition(' is invalid: ')[2] or status.get('message')}".replace("request is invalid:  ", "request is invalid: ")
    head = f'{details.get("kind", "")} "{details.get("name", "")}" is invalid: '
    causes = list(dict.fromkeys(f"{c['field']}: {c.get('message', '')}" if c.get("field") else c.get("message", "") for c in details.get("causes") or []))
    return head + (causes[0] if len(causes) == 1 else "".join(f"\n* {c}" for c in causes))


class Api:
    """Requests with JSON bodies; one keep-alive connection, renewed when the server closed it."""

    def __init__(self, server: str, context: ssl.SSLContext | None, headers: dict[str, str], namespace: str, timeout_s: float | None = None,
                 server_name: str = "") -> None:  # fmt: skip
        scheme, _, rest = server.partition("://")
        authority, slash, path = rest.partition("/")
        host, port = split_authority(authority)
        self.server, self.namespace = server, namespace
        self._host, self._port = host, port or (443 if scheme == "https" else 80)
        self._prefix, self._tls, self._headers, self._timeout = (slash + path).rstrip("/"), context, headers, timeout_s
        self._server_name = server_name
        self._kept: http.Connection | None = None

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[http.Connection, http.Answer]:
        kept, self._kept = self._kept, None
        if kept is not None:
            try:
                return kept, kept.request(method, self._prefix + path, {**self._headers, **headers}, body)
            except OSError:
                kept.close()  # closed by the server between two requests
        try:
            connection = http.Connection(self._host, self._port, self._tls, self._server_name, self._timeout)
            return connection, connection.request(method, self._prefix + path, {**self._headers, **headers}, body)
        except ssl.SSLCertVerificationError as error:
            raise CommandError(f"Unable to connect to the server: tls: failed to verify certificate: {error.verify_message}") from error
        except TimeoutError as error:
            raise CommandError("Unable to connect to the server: net/http: request canceled while waiting for the answer (timeout exceeded)") from error
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> CommandError:
        if isinstance(error, ConnectionRefusedError):
            return CommandError(f"The connection to the server {self._host}:{self._port} was refused - did you specify the right host or port?")
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
            data = body if isinstance(body, bytes) else json.dumps(body, sort_keys=True).encode()  # kubectl's order too: errors name fields in it
        connection, answer = self._exchange(method, path, data, headers)
        try:
            content = answer.read()
        except TimeoutError as error:
            raise CommandError("Unable to connect to the server: context deadline exceeded") from error
        except OSError as error:
            raise CommandError(f"Unable to connect to the server: {error}") from error
        for name, value in answer.headers:
            if name == "warning":
                print_warning(value)
        if answer.keeps_alive:
            self._kept = connection
        else:
            connection.close()
        if answer.status >= 400:
            refused = failure(answer.status, content)
            refused.at = method
            raise refused
        return content

    def call(self, method: str, path: str, **more: Any) -> Obj:
        return json.loads(self.raw(method, path, **more))

    def stream(self, path: str, query: dict[str, Any], accept: str = "application/json") -> Iterator[bytes]:
        """Pieces of an unbounded answer as they come; ends quietly when the connection does."""
        connection, answer = self._exchange("GET", path + "?" + encode_query(query), None, {"Accept": accept})
        try:
            if answer.status >= 400:
                raise failure(answer.status, answer.read())
            yield from answer.pieces()
        except ConnectionError:
            return
        finally:
            connection.close()

    def lines(self, path: str, query: dict[str, Any], accept: str = "application/json") -> Iterator[bytes]:
        rest = b""
        for piece in self.stream(path, query, accept):
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line for line in whole if line)


#: What client-go makes of answers that carry no Status: code → (reason, message).
_GENERIC = {
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", "the server does not allow access to the requested resource"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
}


def failure(code: int, content: bytes) -> ApiFailure:
    """The Status in an answer's body, or the one client-go would make up for its code."""
    try:
        status = json.loads(content)
        if not isinstance(status, dict) or status.get("kind") != "Status":
            raise ValueError
    except ValueError:
        reason, message = _GENERIC.get(code, ("InternalError" if code >= 500 else "", content.decode("utf-8", "replace").strip() or f"the server answered {code}"))
        status = {"message": message, "reason": reason, "code": code}
    return ApiFailure(status, code)


def split_authority(authority: str) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]:port` → host and port (0 = not given). Errors: CommandError."""
    host, bracket, rest = authority.rpartition("]")
    if bracket:
        host, port = host.lstrip("["), rest.lstrip(":")
    else:
        host, _, port = authority.partition(":")
    if port and not port.isdigit():
        raise CommandError(f'error: parse "{authority}": invalid port ":{port}" after host')
    return host or "localhost", int(port or 0)


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


def request_timeout(text: str) -> float | None:
    """--request-timeout: Go's duration or plain seconds; None for no limit. Errors: CommandError."""
    try:
        return (float(text) if text.isdigit() else duration(text)) or None
    except ValueError as error:
        raise CommandError(f"error: invalid value for timeout: {error}") from None


def target_of(options: Options) -> Any:
    """The kubeconfig context (or the named local cluster's own) the options speak of. Errors: CommandError."""
    from kogia.client import kubeconfig

    path = options.kubeconfig or None
    if path is None and (options.cluster_name or options.data_dir):
        from pathlib import Path

        from kogia.base.cluster import ClusterPaths, default_data_dir

        path = str(ClusterPaths(Path(options.data_dir or default_data_dir(options.cluster_name))).admin_kubeconfig)
    try:
        target = _chosen(kubeconfig.read(path), options)
    except FileNotFoundError as error:
        if options.kubeconfig:
            raise CommandError(f"error: stat {options.kubeconfig}: no such file or directory") from error
        if not options.server:
            raise CommandError(f"error: there is no kubeconfig ({error.filename} does not exist); start a cluster with `kogia up`") from error
        target = kubeconfig.Target(server=options.server)
    except OSError as error:
        raise CommandError(f'error: error loading config file "{error.filename}": open {error.filename}: {(error.strerror or "").lower()}') from error
    except ValueError as error:
        raise CommandError(f"error: {error}") from error
    return _overridden(target, options)


def _chosen(config: Obj, options: Options) -> Any:
    """The context the flags name, with --cluster and --user in place of its own. Errors: ValueError, CommandError."""
    from kogia.client import kubeconfig

    if options.context and options.context not in config["contexts"]:
        raise CommandError(f"Error in configuration: context was not found for specified context: {options.context}")
    name = options.context or config.get("current-context") or ""
    if options.cluster or options.user:
        own = {k: v for k, v in (("cluster", options.cluster), ("user", options.user)) if v}
        config["contexts"][name] = {**config["contexts"].get(name, {}), **own}
    if not name and options.server:
        return kubeconfig.Target(server=options.server)
    return kubeconfig.resolve(config, name or None)


def _overridden(target: Any, options: Options) -> Any:
    """The target with what single flags say instead."""
    changes: Obj = {}
    if options.server:
        changes["server"] = options.server if "://" in options.server else "http://" + options.server
    if options.token:
        changes.update(token=options.token, cert_file="", cert_data="", key_file="", key_data="")
    if options.certificate_authority:
        changes.update(ca_file=options.certificate_authority, ca_data="")
    if options.client_certificate or options.client_key:
        changes.update(cert_file=options.client_certificate, cert_data="", key_file=options.client_key, key_data="")
    if options.insecure_skip_tls_verify:
        changes.update(insecure=True, ca_file="", ca_data="")
    if options.tls_server_name:
        changes["tls_server_name"] = options.tls_server_name
    if options.impersonate:
        changes.update(impersonate=options.impersonate, impersonate_groups=tuple(options.as_group))
    if not changes:
        return target
    from dataclasses import replace

    return replace(target, **changes)


def connect(options: Options) -> Api:
    """An `Api` for the options. Errors: CommandError."""
    target = target_of(options)
    headers = {"User-Agent": "kogia", **target.headers()}
    if options.as_uid:
        headers["Impersonate-Uid"] = options.as_uid
    try:
        context = target.ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise CommandError(f"error: unusable credentials in the kubeconfig: {error}") from error
    return Api(target.server, context, headers, options.namespace or target.namespace or "default", request_timeout(options.request_timeout),
               target.tls_server_name)  # fmt: skip
