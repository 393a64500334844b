"""kogia.cri.types dataclasses ↔ protobuf messages.

One generic walk, since field names are the same; the few messages whose shape differs (values wrapped in messages, stats nested by
resource) have their own pair of functions. Fields only one side knows are left out. Invariant: decode(encode(x)) == x for every type.
"""

from __future__ import annotations

import dataclasses
import functools
import types as pytypes
import typing
from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeVar

from kogia.cri import types as t

T = TypeVar("T")
SIGNAL = "stop_signal"  #: a name here, an enum there


def encode(value: Any, target: Any) -> Any:
    """Fill the protobuf message `target` from the dataclass `value`; returns `target`."""
    special = _ENCODERS.get(type(value))
    if special is not None:
        special(value, target)
        return target
    kind: Any = type(value)
    for name in _names(kind):
        field = getattr(value, name)
        if field is None:
            continue
        if name == SIGNAL:
            _encode_signal(field, target)
            continue
        if isinstance(field, dict):
            getattr(target, name).update(field)
        elif isinstance(field, list):
            _encode_list(field, getattr(target, name))
        elif dataclasses.is_dataclass(field):
            inner = getattr(target, name)
            inner.SetInParent()
            encode(field, inner)
        elif field:
            setattr(target, name, field)
    return target


def _encode_list(values: list[Any], target: Any) -> None:
    if values and dataclasses.is_dataclass(values[0]):
        for value in values:
            encode(value, target.add())
    else:
        target.extend(values)


def decode(kind: type[T], message: Any) -> T:
    """A dataclass of type `kind` from a protobuf message. Enum values this version does not know become the field's default."""
    special = _DECODERS.get(kind)
    if special is not None:
        return typing.cast(T, special(message))
    found = {}
    for name, convert in _plan(typing.cast(Any, kind)):
        value = convert(message, name)
        if value is not _DEFAULT:
            found[name] = value
    return kind(**found)


_DEFAULT = object()


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _plan(kind: Any) -> tuple[tuple[str, Callable[[Any, str], Any]], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((name, _signal if name == SIGNAL else _converter(hints[name])) for name in _names(kind))


def _converter(hint: Any) -> Callable[[Any, str], Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict:
        return lambda message, name: dict(getattr(message, name))
    if origin is list:
        element: Any = arguments[0]
        if dataclasses.is_dataclass(element):
            return lambda message, name: [decode(typing.cast(type[Any], element), item) for item in getattr(message, name)]
        return lambda message, name: list(getattr(message, name))
    if origin in (typing.Union, pytypes.UnionType):
        inner = next(a for a in arguments if a is not type(None))
        return lambda message, name: decode(inner, getattr(message, name)) if message.HasField(name) else None
    if dataclasses.is_dataclass(hint):
        return lambda message, name: decode(typing.cast(type[Any], hint), getattr(message, name))
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return lambda message, name: _enum(hint, getattr(message, name))
    return lambda message, name: getattr(message, name)


def _enum(kind: type[IntEnum], value: int) -> Any:
    try:
        return kind(value)
    except ValueError:
        return _DEFAULT


def _encode_signal(name: str, target: Any) -> None:
    """`SIGTERM` as the enum's value; a signal the enum does not have is left to the runtime's default."""
    values = target.DESCRIPTOR.fields_by_name[SIGNAL].enum_type.values_by_name
    label = name.replace("+", "PLUS").replace("-", "MINUS")
    if label in values:
        setattr(target, SIGNAL, values[label].number)


def _signal(message: Any, name: str) -> str:
    number = getattr(message, name)
    found = message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number.get(number)
    return found.name.replace("PLUS", "+").replace("MINUS", "-") if found is not None and number else ""


# -- messages of another shape -------------------------------------------------------------------------------------------


def _encode_filter(value: t.PodSandboxFilter | t.ContainerFilter, target: Any) -> None:
    target.id = value.id
    target.label_selector.update(value.label_selector)
    if isinstance(value, t.ContainerFilter):
        target.pod_sandbox_id = value.pod_sandbox_id
    if value.state is not None:
        target.state.SetInParent()
        target.state.state = value.state


def _decode_sandbox_filter(message: Any) -> t.PodSandboxFilter:
    state = t.PodSandboxState(message.state.state) if message.HasField("state") else None
    return t.PodSandboxFilter(id=message.id, state=state, label_selector=dict(message.label_selector))


def _decode_container_filter(message: Any) -> t.ContainerFilter:
    state = t.ContainerState(message.state.state) if message.HasField("state") else None
    return t.ContainerFilter(id=message.id, state=state, pod_sandbox_id=message.pod_sandbox_id, label_selector=dict(message.label_selector))


def _encode_filesystem(value: t.FilesystemUsage, target: Any) -> None:
    target.timestamp = value.timestamp
    target.fs_id.mountpoint = value.mountpoint
    target.used_bytes.value = value.used_bytes
    target.inodes_used.value = value.inodes_used


def _decode_filesystem(message: Any) -> t.FilesystemUsage:
    return t.FilesystemUsage(
        timestamp=message.timestamp,
        mountpoint=message.fs_id.mountpoint,
        used_bytes=message.used_bytes.value,
        inodes_used=message.inodes_used.value,
    )


def _encode_stats(value: t.ContainerStats, target: Any) -> None:
    attributes = target.attributes
    attributes.id = value.id
    encode(value.metadata, attributes.metadata)
    attributes.metadata.SetInParent()
    attributes.labels.update(value.labels)
    attributes.annotations.update(value.annotations)
    target.cpu.timestamp = target.memory.timestamp = target.writable_layer.timestamp = value.timestamp
    target.cpu.usage_core_nano_seconds.value = value.cpu_usage_core_nanoseconds
    target.memory.working_set_bytes.value = value.memory_working_set_bytes
    target.memory.usage_bytes.value = value.memory_usage_bytes
    target.memory.rss_bytes.value = value.memory_rss_bytes
    target.writable_layer.used_bytes.value = value.writable_layer_used_bytes
    target.writable_layer.inodes_used.value = value.writable_layer_inodes_used


def _decode_stats(message: Any) -> t.ContainerStats:
    return t.ContainerStats(
        id=message.attributes.id,
        metadata=decode(t.ContainerMetadata, message.attributes.metadata),
        labels=dict(message.attributes.labels),
        annotations=dict(message.attributes.annotations),
        timestamp=message.cpu.timestamp or message.memory.timestamp,
        cpu_usage_core_nanoseconds=message.cpu.usage_core_nano_seconds.value,
        memory_working_set_bytes=message.memory.working_set_bytes.value,
        memory_usage_bytes=message.memory.usage_bytes.value,
        memory_rss_bytes=message.memory.rss_bytes.value,
        writable_layer_used_bytes=message.writable_layer.used_bytes.value,
        writable_layer_inodes_used=message.writable_layer.inodes_used.value,
    )


def _encode_event(value: t.ContainerEvent, target: Any) -> None:
    target.container_id = value.container_id
    target.container_event_type = value.container_event_type
    target.created_at = value.created_at
    if value.pod_sandbox_id:
        target.pod_sandbox_status.id = value.pod_sandbox_id
        target.pod_sandbox_status.metadata.uid = value.pod_uid


def _decode_event(message: Any) -> t.ContainerEvent:
    return t.ContainerEvent(
        container_id=message.container_id,
        container_event_type=t.ContainerEventType(message.container_event_type),
        created_at=message.created_at,
        pod_sandbox_id=message.pod_sandbox_status.id,
        pod_uid=message.pod_sandbox_status.metadata.uid,
    )


def _encode_runtime_status(value: t.RuntimeStatus, target: Any) -> None:
    """`target` is a StatusResponse: the handlers lie beside the conditions there."""
    for condition in value.conditions:
        encode(condition, target.status.conditions.add())
    for handler in value.runtime_handlers:
        encode(handler, target.runtime_handlers.add())


def _decode_runtime_status(message: Any) -> t.RuntimeStatus:
    return t.RuntimeStatus(
        conditions=[decode(t.RuntimeCondition, item) for item in message.status.conditions],
        runtime_handlers=[decode(t.RuntimeHandler, item) for item in message.runtime_handlers],
    )


_ENCODERS: dict[type[Any], Callable[[Any, Any], None]] = {
    t.PodSandboxFilter: _encode_filter,
    t.ContainerFilter: _encode_filter,
    t.FilesystemUsage: _encode_filesystem,
    t.ContainerStats: _encode_stats,
    t.ContainerEvent: _encode_event,
    t.RuntimeStatus: _encode_runtime_status,
}
_DECODERS: dict[type[Any], Callable[[Any], Any]] = {
    t.PodSandboxFilter: _decode_sandbox_filter,
    t.ContainerFilter: _decode_container_filter,
    t.FilesystemUsage: _decode_filesystem,
    t.ContainerStats: _decode_stats,
    t.ContainerEvent: _decode_event,
    t.RuntimeStatus: _decode_runtime_status,
}
