"""Namespaces without a pause process: made by a thread, held by bind mounts of their nsfs files.

One set is a directory `<state>/ns/<id>/` with the files `net`, `ipc` and `uts` (those that the sandbox does not share
with the host). A thread that changed its namespaces is never reused: each job runs on a thread of its own that then
ends, so no other code can land in a pod's namespace by accident.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kogia.runtime import libc, mounts
from kogia.runtime.netlink import LOOPBACK_INDEX, Netlink

FLAGS = {"net": libc.CLONE_NEWNET, "ipc": libc.CLONE_NEWIPC, "uts": libc.CLONE_NEWUTS}


@dataclass(frozen=True, slots=True)
class NamespaceSet:
    """Pinned namespaces; `ip` is set when the default network already attached them."""

    id: str
    directory: Path
    kinds: tuple[str, ...]
    ip: str = ""
    link: str = ""

    def path(self, kind: str) -> str:
        """The nsfs file to hand to setns or into an OCI spec; "" if this set has none of that kind."""
        return str(self.directory / kind) if kind in self.kinds else ""


def on_own_thread(job: Callable[[], Any]) -> Any:
    """Run `job` on a fresh thread and return what it returns or raise what it raises. Blocks."""
    outcome: list[Any] = [None, None]

    def work() -> None:
        try:
            outcome[0] = job()
        except BaseException as error:
            outcome[1] = error

    thread = threading.Thread(target=work, name="namespace")
    thread.start()
    thread.join()
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def make(directory: Path, kinds: tuple[str, ...]) -> Netlink | None:
    """Pin new namespaces of `kinds` under `directory`; the loopback of a new `net` is up.

    Returns an rtnetlink socket inside the new network namespace (to be closed by the caller), None without `net`.
    On failure nothing stays pinned. Errors: OSError. Blocks; call it on a worker thread.
    """
    directory.mkdir(parents=True)
    flags = 0
    for kind in kinds:
        (directory / kind).touch()
        flags |= FLAGS[kind]

    def job() -> Netlink | None:
        libc.unshare(flags)
        for kind in kinds:
            mounts.bind(f"/proc/thread-self/ns/{kind}", directory / kind)
        if "net" not in kinds:
            return None
        inside = Netlink()
        inside.set_up(LOOPBACK_INDEX)
        _write_sysctl("net.ipv4.ip_unprivileged_port_start", "0")
        return inside

    try:
        result: Netlink | None = on_own_thread(job)
        return result
    except BaseException:
        unpin(directory)
        raise


def unpin(directory: Path) -> None:
    """Let go of every namespace pinned under `directory` and remove it. Idempotent."""
    for kind in FLAGS:
        pin = directory / kind
        mounts.detach(pin)
        pin.unlink(missing_ok=True)
    if directory.is_dir():
        directory.rmdir()


def configure(held: NamespaceSet, hostname: str, sysctls: Mapping[str, str]) -> None:
    """Set hostname and sysctls inside a set. Errors: OSError. Blocks."""

    def job() -> None:
        for kind in held.kinds:
            with open(held.path(kind), "rb") as pin:
                libc.setns(pin.fileno(), FLAGS[kind])
        if hostname and "uts" in held.kinds:
            libc.sethostname(hostname)
        for name, value in sysctls.items():
            _write_sysctl(name, value)

    if hostname and "uts" in held.kinds or sysctls:
        on_own_thread(job)


def socket_inside(netns: str, make_socket: Callable[[], Any]) -> Any:
    """What `make_socket` returns when called inside the network namespace file `netns`. Blocks."""

    def job() -> Any:
        with open(netns, "rb") as pin:
            libc.setns(pin.fileno(), libc.CLONE_NEWNET)
        return make_socket()

    return on_own_thread(job)


def sysctl_path(name: str) -> str:
    """`net.ipv4.ip_forward` or `net/ipv4/ip_forward` to its file; in the slash form dots belong to the name."""
    if "/" in name and name.find("/") < (name.find(".") if "." in name else len(name)):
        return "/proc/sys/" + name
    return "/proc/sys/" + name.replace("/", "\0").replace(".", "/").replace("\0", ".")


def _write_sysctl(name: str, value: str) -> None:
    fd = os.open(sysctl_path(name), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
