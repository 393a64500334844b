"""What lists and statuses show: records as CRI messages. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from kogia.cri import types as t
from kogia.runtime.state import ContainerRecord, SandboxRecord


def matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def sandbox_state(record: SandboxRecord) -> t.PodSandboxState:
    return t.PodSandboxState.SANDBOX_READY if record.ready else t.PodSandboxState.SANDBOX_NOTREADY


def sandbox_item(record: SandboxRecord) -> t.PodSandbox:
    return t.PodSandbox(
        id=record.id,
        metadata=record.config.metadata,
        state=sandbox_state(record),
        created_at=record.created_at,
        labels=record.config.labels,
        annotations=record.config.annotations,
        runtime_handler=record.handler,
    )


def sandbox_status(record: SandboxRecord) -> t.PodSandboxStatus:
    """With `network` for a sandbox that has a network of its own (also after it was stopped, as the last known)."""
    network = t.PodSandboxNetworkStatus(ip=record.ips[0] if record.ips else "", additional_ips=[t.PodIP(ip=ip) for ip in record.ips[1:]])
    return t.PodSandboxStatus(
        id=record.id,
        metadata=record.config.metadata,
        state=sandbox_state(record),
        created_at=record.created_at,
        network=network,
        labels=record.config.labels,
        annotations=record.config.annotations,
        runtime_handler=record.handler,
    )


def sandbox_matches(record: SandboxRecord, wanted: t.PodSandboxFilter | None) -> bool:
    if wanted is None:
        return True
    return (
        record.id.startswith(wanted.id)
        and (wanted.state is None or wanted.state == sandbox_state(record))
        and matches(record.config.labels, wanted.label_selector)
    )


def container_item(record: ContainerRecord) -> t.Container:
    return t.Container(
        id=record.id,
        pod_sandbox_id=record.sandbox_id,
        metadata=record.config.metadata,
        image=record.config.image,
        image_ref=record.image_ref,
        state=record.state,
        created_at=record.created_at,
        labels=record.config.labels,
        annotations=record.config.annotations,
        image_id=record.image_id,
    )


def container_matches(record: ContainerRecord, wanted: t.ContainerFilter | None) -> bool:
    if wanted is None:
        return True
    return (
        record.id.startswith(wanted.id)
        and record.sandbox_id.startswith(wanted.pod_sandbox_id)
        and (wanted.state is None or wanted.state == record.state)
        and matches(record.config.labels, wanted.label_selector)
    )


def stats_matches(record: ContainerRecord, wanted: t.ContainerStatsFilter | None) -> bool:
    """Only running containers have statistics."""
    if record.state != t.ContainerState.CONTAINER_RUNNING:
        return False
    if wanted is None:
        return True
    return (
        record.id.startswith(wanted.id)
        and record.sandbox_id.startswith(wanted.pod_sandbox_id)
        and matches(record.config.labels, wanted.label_selector)
    )


def container_status(record: ContainerRecord) -> t.ContainerStatus:
    return t.ContainerStatus(
        id=record.id,
        metadata=record.config.metadata,
        state=record.state,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        exit_code=record.exit_code,
        image=record.config.image,
        image_ref=record.image_ref,
        reason=record.reason,
        message=record.message,
        labels=record.config.labels,
        annotations=record.config.annotations,
        mounts=record.config.mounts,
        log_path=record.log_path,
        image_id=record.image_id,
    )
