"""Addresses of the default network, kept on disk in the form of the host-local CNI plugin.

`<dir>/<ip>` holds `<owner>\r\neth0`, `<dir>/last_reserved_ip.0` the last one given: the plugin could take over the
directory. A file is created with O_EXCL before the address is used, so none is ever handed out twice, whatever dies when.
Addresses rotate: a freed one comes back last, so peers' caches do not meet its successor at once.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from kogia.cri.errors import Code, CriError

_LAST = "last_reserved_ip.0"


class HostLocal:
    """Gives out the addresses of one range; the first is the gateway's. Synchronous; safe under one lock of the caller."""

    def __init__(self, directory: Path, cidr: str) -> None:
        self.network = ipaddress.IPv4Network(cidr)
        self.directory = directory
        self.gateway = str(self.network[1])
        self.directory.mkdir(parents=True, exist_ok=True)
        self._taken: dict[str, str] = {}
        for path in self.directory.iterdir():
            if path.name[:1].isdigit():
                self._taken[path.name] = path.read_bytes().split(b"\r\n")[0].decode()
        self._last = int(self.network[1])
        try:
            self._last = int(ipaddress.IPv4Address((self.directory / _LAST).read_text().strip()))
        except (OSError, ValueError):
            pass

    def owners(self) -> dict[str, str]:
        """ip → owner of all addresses given out."""
        return dict(self._taken)

    def allocate(self, owner: str) -> str:
        """Errors: CriError RESOURCE_EXHAUSTED."""
        first, last = int(self.network[2]), int(self.network[-2])
        size = last - first + 1
        for step in range(1, size + 1):
            number = first + (self._last - first + step) % size
            address = str(ipaddress.IPv4Address(number))
            if address in self._taken:
                continue
            try:
                fd = os.open(self.directory / address, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except FileExistsError:
                continue
            with os.fdopen(fd, "wb") as handle:
                handle.write(f"{owner}\r\neth0".encode())
            self._taken[address] = owner
            self._last = number
            (self.directory / _LAST).write_text(address)
            return address
        raise CriError(Code.RESOURCE_EXHAUSTED, f"no IP addresses available in range set: {self.network[1]}-{self.network[-2]}")

    def release(self, address: str) -> None:
        """Idempotent."""
        self._taken.pop(address, None)
        (self.directory / address).unlink(missing_ok=True)
