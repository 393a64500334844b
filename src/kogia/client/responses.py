"""From a `Response` to an object, an error or watch events: the decoding half of the client, pure but for draining streams.

The server's Status becomes a `StatusError`; what is not a Status (a proxy's page, an empty body) becomes the Status that
client-go would make of it. Source: k8s.io/apimachinery api/errors NewGenericServerResponse.
"""

from __future__ import annotations

from typing import Any

import orjson

from kogia.api.status import StatusError, status_error
from kogia.client.interface import WatchEvent
from kogia.wire.messages import Response

#: An error answer longer than this is cut: it is only ever shown to a human.
ERROR_BODY_LIMIT = 1 << 20

_GENERIC = {
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", "the server does not allow access to the requested resource"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    406: ("NotAcceptable", "the server was unable to respond with a content type that the client supports"),
    409: ("Conflict", "the server reported a conflict"),
    410: ("Gone", "the requested resource is gone"),
    415: ("UnsupportedMediaType", "the server responded to our request with a content type it does not support"),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted, but may still be processing the request"),
}


def error_from(code: int, body: bytes) -> StatusError:
    """The StatusError an answer of `code` with `body` means."""
    try:
        decoded = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status":
        return StatusError({"code": code, **decoded})
    shown = body[:256].decode("utf-8", "replace").strip()
    if code in _GENERIC:
        reason, message = _GENERIC[code]
        return status_error(code, reason, message)
    if code >= 500:
        return status_error(code, "InternalError", f'an error on the server ("{shown or "unknown"}") has prevented the request from succeeding')
    return status_error(code, "", f"the server responded with the status code {code} but did not return more information")


async def read_all(response: Response, limit: int = 0) -> bytes:
    """The whole body, also of a streamed answer; `limit` bytes at most if given (the rest is dropped)."""
    if response.stream is None:
        return response.body
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in response.stream:
            parts.append(chunk)
            size += len(chunk)
            if limit and size >= limit:
                break
    finally:
        await close_stream(response)
    return b"".join(parts)


async def close_stream(response: Response) -> None:
    """Let go of a streamed answer before its end. Idempotent."""
    closer = getattr(response.stream, "aclose", None)
    if closer is not None:
        await closer()


async def check(response: Response) -> Response:
    """`response` itself below 400. Errors: StatusError."""
    if response.status < 400:
        return response
    raise error_from(response.status, await read_all(response, ERROR_BODY_LIMIT))


def decode(body: bytes) -> Any:
    """JSON; an empty body is an empty dict. Errors: ValueError."""
    return orjson.loads(body) if body else {}


class WatchDecoder:
    """Chunks of bytes in, whole watch events out. One JSON object per line; chunks may split lines anywhere."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, chunk: bytes) -> list[WatchEvent]:
        """Events completed by `chunk`. ERROR events are passed on as they are (`watch_error`)."""
        cut = chunk.rfind(b"\n")
        if cut < 0:
            if chunk:
                self._rest.append(chunk)
            return []
        self._rest.append(chunk[:cut])
        whole = b"".join(self._rest)
        self._rest = [chunk[cut + 1:]] if cut + 1 < len(chunk) else []
        events: list[WatchEvent] = []
        for line in whole.split(b"\n"):
            if line.strip():
                event = orjson.loads(line)
                events.append(WatchEvent(event["type"], event["object"]))
        return events

    @property
    def incomplete(self) -> bool:
        """Bytes of an unfinished line are pending: the stream broke off in the middle."""
        return any(part.strip() for part in self._rest)


def watch_error(event: WatchEvent) -> StatusError:
    """The StatusError that an ERROR event carries."""
    status = event.object if event.object.get("kind") == "Status" else {"message": str(event.object)}
    return StatusError({"code": 500, **status})
