"""`/healthz`, `/livez`, `/readyz`: named checks, each also under its own path, `?verbose` and `?exclude=` as Kubernetes has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kogia.wire.messages import Request, Response

_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Check:
    """`probe` returns "" when all is well, else why not. `readiness` checks are left out of livez."""

    name: str
    probe: Callable[[], str]
    readiness: bool = False


class Health:
    def __init__(self, checks: list[Check]) -> None:
        self._checks = checks

    def answer(self, request: Request) -> Response | None:
        """None for a path that is no health check."""
        root, _, name = request.path.strip("/").partition("/")
        checks = [c for c in self._checks if root != "livez" or not c.readiness]
        if name:
            found = next((c for c in checks if c.name == name), None)
            if found is None:
                return None
            why = found.probe()
            return _text(200, "ok") if not why else _text(500, f"internal server error: {why}\n")
        excluded = set(request.query.get("exclude", []))
        lines, failed = [], []
        for check in checks:
            if check.name in excluded:
                lines.append(f"[+]{check.name} excluded: ok")
            elif check.probe():
                lines.append(f"[-]{check.name} failed: reason withheld")
                failed.append(check.name)
            else:
                lines.append(f"[+]{check.name} ok")
        for name in sorted(excluded - {c.name for c in checks}):
            lines.append(f'warn: some health checks cannot be excluded: no matches for "{name}"')
        if failed:
            return _text(500, "\n".join(lines) + f"\n{root} check failed\n")
        if "verbose" in request.query:
            return _text(200, "\n".join(lines) + f"\n{root} check passed\n")
        return _text(200, "ok")


def _text(status: int, text: str) -> Response:
    return Response(status, [("X-Content-Type-Options", "nosniff")], text.encode(), _TEXT)
