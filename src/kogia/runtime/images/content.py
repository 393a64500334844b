"""Content-addressed blobs: manifests and configs, `<root>/content/sha256/<hex>`.

Compressed layers are not kept after unpacking: they can be had again, and would double the disk an image takes. Invariants: a blob's
name is its digest; it appears whole or not at all (written beside, renamed). Nothing is fsynced here: see `ImageStore.settle`.
Neighbours: store.py decides which blobs are still wanted.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that a reader sees the old file or the new one, also when this process is killed. Errors: OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(data)
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """The file's JSON value. Errors: OSError, ValueError."""
    return json.loads(path.read_bytes())


class ContentStore:
    """Blobs small enough for memory, by digest."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "content" / "sha256"
        self._folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or not all(c in "0123456789abcdef" for c in value):
            raise ValueError(f"unsupported digest {digest!r}")
        return self._folder / value

    def put(self, data: bytes) -> str:
        """Keep `data`; returns its digest. A blob already there is not written again."""
        digest = digest_of(data)
        path = self.path(digest)
        try:
            if path.stat().st_size == len(data):
                return digest
        except FileNotFoundError:
            pass
        write_atomic(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        """The blob, checked against its name. Errors: FileNotFoundError; ValueError when it rotted."""
        data = self.path(digest).read_bytes()
        if digest_of(data) != digest:
            raise ValueError(f"content {digest} does not match its digest")
        return data

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def digests(self) -> set[str]:
        return {f"sha256:{entry.name}" for entry in self._folder.iterdir() if not entry.name.startswith(".")}

    def remove(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)

    def sweep(self, wanted: set[str]) -> None:
        """Remove every blob not in `wanted`, and writes a crash left behind. Only when nobody else writes."""
        for entry in list(self._folder.iterdir()):
            if f"sha256:{entry.name}" not in wanted:
                entry.unlink(missing_ok=True)
