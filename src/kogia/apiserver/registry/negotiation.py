"""What the client accepts and how its answer is written: JSON or YAML, object, metadata or Table, indented or not.

Protobuf is never written; a client that would like it and also takes JSON gets JSON, one that takes nothing else gets 406.
Source: k8s.io/apiserver endpoints/handlers/negotiation, handlers/responsewriters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import orjson

from kogia.api.status import StatusError, not_acceptable
from kogia.wire.messages import Request, Response

JSON, YAML = "application/json", "application/yaml"
MEDIA_TYPES = (JSON, YAML, "application/vnd.kubernetes.protobuf")


@dataclass(frozen=True, slots=True)
class Accepted:
    """media: JSON or YAML. shape: object, metadata or table."""

    media: str = JSON
    shape: str = "object"


@dataclass(frozen=True, slots=True)
class _Clause:
    media: str
    params: dict[str, str]
    quality: float


def _clauses(text: str) -> list[_Clause]:
    """The alternatives of an Accept header, best first, in order of writing where equally good."""
    found = []
    for part in text.split(","):
        media, *rest = (piece.strip() for piece in part.split(";"))
        params = dict(piece.partition("=")[::2] for piece in rest if piece)
        try:
            quality = float(params.pop("q", "1"))
        except ValueError:
            quality = 1.0
        if media:
            found.append(_Clause(media.lower(), params, quality))
    return sorted((c for c in found if c.quality > 0), key=lambda c: -c.quality)


def _shape(clause: _Clause, single: str) -> str | None:
    """object, metadata or table; None if the clause asks for a conversion there is none for."""
    wanted = clause.params.get("as")
    if not wanted:
        return "object"
    if clause.params.get("g") != "meta.k8s.io" or clause.params.get("v") not in ("v1", "v1beta1"):
        return None
    if wanted == "Table":
        return "table"
    return "metadata" if wanted == single else None


@lru_cache(maxsize=512)
def negotiate(accept: str, verb: str = "get") -> Accepted:
    """Read an Accept header ("" = anything). Errors: 406 NotAcceptable."""
    if not accept or accept == "*/*" or accept == JSON:
        return Accepted()
    single = "PartialObjectMetadataList" if verb == "list" else "PartialObjectMetadata"
    for clause in _clauses(accept):
        if clause.media in (JSON, "*/*", "application/*"):
            media = JSON
        elif clause.media in (YAML, "application/x-yaml", "text/yaml"):
            media = YAML
        else:
            continue
        shape = _shape(clause, single)
        if shape is not None:
            return Accepted(media, shape)
    raise not_acceptable(MEDIA_TYPES)


def wants_pretty(request: Request) -> bool:
    """`?pretty`, or a person's tool asking: curl, wget and browsers. Source: responsewriters isPrettyPrint."""
    if "pretty" in request.raw_query:
        values = request.query.get("pretty")
        if values is not None:
            return values[0].lower() in ("", "1", "t", "true")
    agent = request.headers.get("user-agent", "")
    return agent.startswith(("curl", "Wget", "Mozilla/5.0"))


def warning_headers(warnings: list[str]) -> list[tuple[str, str]]:
    """RFC 7234 Warning headers, code 299; each text once."""
    made = []
    for text in dict.fromkeys(warnings):
        clean = "".join(c if c >= " " and c != "\x7f" else " " for c in text)
        quoted = clean.replace("\\", "\\\\").replace('"', '\\"')
        made.append(("Warning", f'299 - "{quoted}"'))
    return made


def respond(request: Request, accepted: Accepted, body: bytes, status: int = 200) -> Response:
    """`body` (JSON) as the client wants it, with the warnings gathered in the request's context."""
    warnings = request.context.get("warnings")
    headers = warning_headers(warnings) if warnings else []
    if accepted.media == YAML:
        return Response(status, headers, to_yaml(body), YAML)
    if wants_pretty(request):
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
    return Response(status, headers, body)


def to_yaml(body: bytes) -> bytes:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(orjson.loads(body), Dumper=dumper, sort_keys=True, default_flow_style=False, allow_unicode=True, width=1 << 20)
    return text.encode()


def read_error(error: StatusError) -> bytes:
    """An ERROR event's object."""
    return orjson.dumps(error.status)
