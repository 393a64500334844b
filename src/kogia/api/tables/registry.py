"""Which table serves which kind, by (group, kind) of the stored form."""

from __future__ import annotations

from kogia.api.tables import cluster, network, pods, workloads
from kogia.api.tables.model import TableKind

TABLES: dict[tuple[str, str], TableKind] = {**pods.TABLES, **workloads.TABLES, **cluster.TABLES, **network.TABLES}
