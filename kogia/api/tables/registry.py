"""Which table serves which kind, by (group, kind) of the stored form."""

from __future__ import annotations

from kogia.api.tables.model import TableKind

TABLES: dict[tuple[str, str], TableKind] = {}
