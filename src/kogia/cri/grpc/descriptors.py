"""Protobuf classes of runtime.v1, made at run time from the descriptor that tools/build_data.py cut out of its published package.

No generated code: the pool is our own, so that another copy of the CRI in the process does not clash.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory

PACKAGE = "runtime.v1"
RUNTIME, IMAGES = f"{PACKAGE}.RuntimeService", f"{PACKAGE}.ImageService"
DATA = Path(__file__).parent.parent / "data" / "cri.bin"


@functools.cache
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    try:
        pool.AddSerializedFile(DATA.read_bytes())
    except FileNotFoundError:
        raise RuntimeError(f"{DATA} is missing: run tools/build_data.py (an installed package has it)") from None
    return pool


@functools.cache
def message(name: str) -> Any:
    """The class of message `name`, e.g. `VersionRequest`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@functools.cache
def methods() -> dict[str, tuple[Any, Any, bool]]:
    """{"/runtime.v1.RuntimeService/Version": (request class, response class, server streams)}."""
    found = {}
    for service in (RUNTIME, IMAGES):
        for method in _pool().FindServiceByName(service).methods:
            classes = (message(method.input_type.name), message(method.output_type.name))
            found[f"/{service}/{method.name}"] = (*classes, method.server_streaming)
    return found
