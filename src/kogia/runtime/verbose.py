"""What `crictl inspect` shows beyond the CRI's status: names, processes, and the OCI spec as it lies on disk.

Read-only; the keys are those containerd made known, plus `name` (`k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kogia.cri.errors import not_found
from kogia.runtime.state import ContainerRecord, Records, SandboxRecord


def info(records: Records, identity: str) -> dict[str, str]:
    """{key: JSON text} for a container or sandbox id. Reads the spec from disk: call it in a thread. Errors: CriError NOT_FOUND."""
    container = records.containers.get(identity)
    if container is not None:
        found = _container(container, records.containers_dir / identity)
    elif (sandbox := records.sandboxes.get(identity)) is not None:
        found = _sandbox(sandbox)
    else:
        raise not_found(f'could not find container or sandbox "{identity}": not found')
    return {key: json.dumps(value) for key, value in found.items() if value is not None}


def _container(record: ContainerRecord, bundle: Path) -> dict[str, Any]:
    return {
        "name": record.name,
        "sandboxID": record.sandbox_id,
        "pid": record.pid,
        "conmonPid": record.conmon_pid,
        "cgroup": record.cgroup,
        "runtimeHandler": record.handler,
        "bundle": str(bundle),
        "runtimeSpec": _spec(bundle),
    }


def _sandbox(record: SandboxRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "cgroup": record.cgroup,
        "runtimeHandler": record.handler,
        "namespaces": record.namespace_kinds,
        "ips": record.ips,
    }


def _spec(bundle: Path) -> Any:
    try:
        return json.loads((bundle / "config.json").read_bytes())
    except (OSError, ValueError):  # gone, or being written
        return None
