"""`kogia reset --yes`: stop everything of one cluster and leave no trace of it on this machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys

from kogia.base.cluster import DEFAULT_NAME, ClusterConfig, ConfigError
from kogia.main import claim, processes, settings, up


def run(options: argparse.Namespace) -> int:
    name, data_dir = settings.locate(options)
    config = settings.load(data_dir)
    if config is not None:
        config = settings.existing(options)
    else:
        config = remains(name or DEFAULT_NAME, data_dir)
    if config is None:
        print(f"There is no cluster in {data_dir}; nothing to do.")
        return 0
    if not options.yes:
        raise ConfigError(f"this stops all Pods of cluster {config.name} and deletes {data_dir}: add --yes to do it")
    if os.path.isdir(data_dir):
        with claim.lock(config):
            reset(config)
    else:
        reset(config)
    print(f"Cluster {config.name} is gone from this machine.")
    return 0


def remains(name: str, data_dir: str) -> ClusterConfig | None:
    """What to clear when the data directory holds no cluster: the machine may still hold what was made by that name."""
    owner = claim.owner(name)
    if not owner or (owner != data_dir and claim.lives(name, owner)):
        return None
    return ClusterConfig(name=name, data_dir=owner)


def reset(config: ClusterConfig) -> None:
    """Stop the processes, remove containers, networks, mounts and cgroups, then the files and the kubeconfig's context."""
    for process in reversed(up.PROCESSES):
        processes.stop(config.paths.pid_file(process), timeout_s=5)
    from kogia.main import node
    from kogia.main.entry import COMPONENTS

    for pid in processes.components_of(config.data_dir, COMPONENTS):
        processes.end(pid)
    asyncio.run(node.remove_everything(config))
    from kogia.client.kubeconfig import default_paths
    from kogia.main import kubeconfig

    try:
        kubeconfig.remove_from_kubeconfig(default_paths()[0], config.context)
    except (OSError, ValueError) as error:
        print(f"kogia: the kubeconfig was left as it is: {error}", file=sys.stderr)
    shutil.rmtree(config.data_dir, ignore_errors=not os.path.exists(config.data_dir))
