"""Remove every trace of one cluster's runtime from the machine, whatever state it is in.

Works from names and paths, not from records, so that it also clears what a broken installation left.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

from kogia.runtime import cgroups, mounts, nft
from kogia.runtime.config import RuntimeConfig
from kogia.runtime.conmon import conmon_pids
from kogia.runtime.netlink import Netlink

log = logging.getLogger("kogia.runtime.reset")

SETTLE_STEPS = 40


async def reset(config: RuntimeConfig) -> None:
    """Containers killed; mounts, namespaces, links, rules, cgroups and files gone. Idempotent.

    Not to be called while a runtime with this configuration is open. Errors: OSError, CriError for what refuses to go.
    """
    layout = cgroups.current()
    for step in range(SETTLE_STEPS):
        alive = cgroups.kill_all(layout, config.cgroup_root)
        for pid in conmon_pids(str(config.containers_dir)):
            alive = True
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        if not alive:
            break
        await asyncio.sleep(0.01 * (step + 1))
    await asyncio.to_thread(_unmount, config)
    await asyncio.to_thread(_delete_links, config)
    for table in (config.net_table, config.hostports_table):
        await nft.drop_table(table)
    for step in range(SETTLE_STEPS):
        if cgroups.remove(layout, config.cgroup_root):
            break
        await asyncio.sleep(0.01 * (step + 1))
    for directory in (config.sandboxes_dir, config.containers_dir, config.cni_dir, config.root / "seccomp", config.state_dir):
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
    for directory in (config.root, config.state_dir.parent):
        _remove_if_empty(directory)


def _unmount(config: RuntimeConfig) -> None:
    for base in (config.containers_dir, config.sandboxes_dir, config.state_dir):
        for point in mounts.mounted_below(base):
            mounts.detach(point)


def _delete_links(config: RuntimeConfig) -> None:
    netlink = Netlink()
    try:
        for name in os.listdir("/sys/class/net"):
            if name.startswith(config.link_prefix) and len(name) == len(config.link_prefix) + 8:
                netlink.delete_link(name)
        netlink.delete_link(config.bridge)
    finally:
        netlink.close()


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        pass
