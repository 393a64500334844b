"""What a runtime leaves on the machine: mounts, namespaces, links, cgroups, nftables tables, conmon processes.

`check(config)` raises with a list of everything found; kernel clean-up is partly asynchronous, so it looks for a while.
"""

from __future__ import annotations

import os
import subprocess
import time

from kogia.runtime import cgroups, mounts
from kogia.runtime.config import RuntimeConfig
from kogia.runtime.conmon import conmon_pids

PATIENCE_S = 5.0


def find(config: RuntimeConfig) -> list[str]:
    """Everything of this cluster that is on the machine now."""
    found = [f"mount {point}" for base in (config.root, config.state_dir) for point in mounts.mounted_below(base)]
    names = os.listdir("/sys/class/net")
    found += [f"link {name}" for name in names if name == config.bridge or name.startswith(config.link_prefix)]
    for base in cgroups.current().hierarchies():
        group = base / config.cgroup_root.lstrip("/")
        if group.exists():
            found.append(f"cgroup {group}")
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found += [f"nftables {name}" for name in (config.net_table, config.hostports_table) if f"table ip {name}\n" in tables]
    found += [f"conmon {pid}" for pid in conmon_pids(str(config.root))]
    return found


def check(config: RuntimeConfig) -> None:
    """Errors: AssertionError naming every leak that is still there after a few seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := find(config)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not found, "left behind: " + ", ".join(found)
