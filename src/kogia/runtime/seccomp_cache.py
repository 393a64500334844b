"""Compiled seccomp filters, kept so that crun need not compile the same profile for every container (about 15 ms each).

crun leaves the filter it compiled as `seccomp.bpf` in the container's state directory, and takes a ready one from the
annotation `run.oci.seccomp_bpf_data`. The key covers profile, crun's own file and the kernel, so a filter is never used
where it was not made. Anything unexpected means: no annotation, crun compiles. Source: crun(1).
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import orjson

from kogia.runtime.state import write_atomically

ANNOTATION = "run.oci.seccomp_bpf_data"
_INSTRUCTION_BYTES, _MAX_INSTRUCTIONS = 8, 4096


class SeccompCache:
    """Filters by key, in memory and below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, str] = {}
        self._keys: dict[tuple[int, str], tuple[Any, str]] = {}

    def key(self, profile: dict[str, Any], program: str) -> str:
        """`profile` as `seccomp.resolved_default` gives it: the same object for the same content, so hashed once."""
        memo = (id(profile), program)
        held = self._keys.get(memo)
        if held is None or held[0] is not profile:
            if len(self._keys) > 64:
                self._keys.clear()  # profiles of their own (Localhost) are new objects every time
            info = os.stat(program)
            made_by = f"{os.path.realpath(program)} {info.st_size} {info.st_mtime_ns} {platform.release()}"
            text = orjson.dumps(profile, option=orjson.OPT_SORT_KEYS) + made_by.encode()
            held = (profile, hashlib.sha256(text).hexdigest())
            self._keys[memo] = held
        return held[1]

    def annotation(self, key: str) -> str:
        """The filter for `ANNOTATION`, "" if there is none yet."""
        if key not in self._known:
            try:
                data = (self._directory / key).read_bytes()
            except OSError:
                return ""
            if _plausible(data):
                self._known[key] = base64.b64encode(data).decode()
        return self._known.get(key, "")

    def learn(self, key: str, compiled: Path) -> None:
        """Keep what crun compiled for a container that started. A missing or odd file teaches nothing."""
        if key in self._known:
            return
        try:
            data = compiled.read_bytes()
            if _plausible(data):
                self._directory.mkdir(parents=True, exist_ok=True)
                write_atomically(self._directory / key, data)
                self._known[key] = base64.b64encode(data).decode()
        except OSError:
            return


def _plausible(data: bytes) -> bool:
    return 0 < len(data) <= _INSTRUCTION_BYTES * _MAX_INSTRUCTIONS and len(data) % _INSTRUCTION_BYTES == 0
