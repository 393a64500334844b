"""From command-line options to one cluster's configuration: saved values, given values, free ports and networks."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
import subprocess
from dataclasses import replace
from typing import NoReturn

from kogia.base.cluster import (
    DEFAULT_KUBELET_PORT,
    DEFAULT_NAME,
    DEFAULT_POD_CIDR,
    DEFAULT_PORT,
    DEFAULT_SERVICE_CIDR,
    ClusterConfig,
    ConfigError,
    default_data_dir,
    load,
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is for those who ask for it."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


def add_location_options(parser: argparse.ArgumentParser) -> None:
    """`--name` and `--data-dir`, which every command takes."""
    parser.add_argument("--name", default=None, help=f"the cluster's name (default {DEFAULT_NAME})")
    parser.add_argument("--data-dir", default=None, help="where its files are (default /var/lib/kogia, or /var/lib/kogia-NAME)")


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """The options `up` and the component commands share."""
    add_location_options(parser)
    parser.add_argument("--port", type=int, default=None, help=f"the API server's port (default {DEFAULT_PORT})")
    parser.add_argument("--kubelet-port", type=int, default=None, help=f"the kubelet's port (default {DEFAULT_KUBELET_PORT} or a free one)")
    parser.add_argument("--node-name", default=None, help="the node's name (default: this machine's host name)")
    parser.add_argument("--service-cidr", default=None, help=f"addresses of Services (default {DEFAULT_SERVICE_CIDR})")
    parser.add_argument("--oci-runtime", default=None, choices=("crun", "runc"), help="the default OCI runtime (default crun, or runc where crun cannot run)")
    parser.add_argument("--pod-cidr", default=None, help=f"addresses of Pods (default {DEFAULT_POD_CIDR}, or a free one)")


def locate(options: argparse.Namespace) -> tuple[str, str]:
    """(name, data directory) the options speak of."""
    name = options.name or os.environ.get("KOGIA_NAME") or ""
    data_dir = options.data_dir or os.environ.get("KOGIA_DATA_DIR") or default_data_dir(name or DEFAULT_NAME)
    return name, os.path.abspath(data_dir)


def existing(options: argparse.Namespace) -> ClusterConfig:
    """The configuration of a cluster that was started before. Errors: ConfigError if there is none."""
    name, data_dir = locate(options)
    config = load(data_dir)
    if config is None:
        raise ConfigError(f"there is no cluster in {data_dir}: start one with `kogia up`")
    if name and config.name != name:
        raise ConfigError(f"the cluster in {data_dir} is named {config.name}, not {name}: give the right --name or --data-dir")
    return config


def resolve(options: argparse.Namespace, running: bool = False) -> ClusterConfig:
    """The configuration to run with: what was saved, changed by what was given; free choices made once. Errors: ConfigError."""
    name, data_dir = locate(options)
    given = {
        key: value
        for key in ("port", "kubelet_port", "node_name", "service_cidr", "pod_cidr", "oci_runtime")
        if (value := getattr(options, key, None)) is not None
    }
    saved = load(data_dir)
    if saved is not None:
        existing(options)
        for key in ("service_cidr", "pod_cidr", "node_name"):
            if key in given and given[key] != getattr(saved, key):
                option = "--" + key.replace("_", "-")
                raise ConfigError(f"{option} cannot change on a cluster that exists ({getattr(saved, key)}): run `kogia reset --yes` first")
        if running and any(getattr(saved, key) != value for key, value in given.items()):
            raise ConfigError("the cluster is running with other settings: run `kogia down` first")
        config = replace(saved, **given)
    else:
        config = ClusterConfig(name=name or DEFAULT_NAME, data_dir=data_dir, **given)
        config = replace(config, node_name=config.node_name or host_name())
        if "pod_cidr" not in given:
            config = replace(config, pod_cidr=free_pod_cidr(config.service_cidr))
    if "kubelet_port" not in given and not running and not port_free(config.kubelet_port):
        config = replace(config, kubelet_port=any_free_port())
    config.check()
    return config


def for_component(options: argparse.Namespace) -> ClusterConfig:
    """For one component in the foreground: the saved configuration with what was given on top; made and saved if there is none."""
    _, data_dir = locate(options)
    saved = load(data_dir)
    if saved is None:
        config = resolve(options)
        config.save()
        return config
    given = {k: v for k in ("port", "kubelet_port", "node_name", "oci_runtime") if (v := getattr(options, k, None)) is not None}
    config = replace(existing(options), **given)
    config.check()
    return config


def host_name() -> str:
    """This machine's name as a node name: lower case, RFC 1123."""
    raw = socket.gethostname().lower()
    kept = "".join(c if c.isalnum() or c in "-." else "-" for c in raw).strip("-.")
    return kept or "node"


def port_free(port: int, host: str = "0.0.0.0") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def free_pod_cidr(service_cidr: str) -> str:
    """The default Pod network, or the next /16 below it that no route of this machine overlaps."""
    taken = [ipaddress.IPv4Network(service_cidr, strict=False), *routes()]
    first = ipaddress.IPv4Network(DEFAULT_POD_CIDR)
    second_octet = int(str(first.network_address).split(".")[1])
    for octet in range(second_octet, 128, -1):
        candidate = ipaddress.IPv4Network(f"10.{octet}.0.0/16")
        if not any(candidate.overlaps(t) for t in taken):
            return str(candidate)
    raise ConfigError("every default Pod network is taken on this machine: choose one with --pod-cidr")


def routes() -> list[ipaddress.IPv4Network]:
    try:
        text = subprocess.run(["ip", "-4", "route", "show"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    found = []
    for line in text.splitlines():
        word = line.split()[0] if line.split() else "default"
        if word in ("blackhole", "unreachable", "prohibit") and len(line.split()) > 1:
            word = line.split()[1]
        try:
            found.append(ipaddress.IPv4Network(word, strict=False))
        except ValueError:
            continue
    return found
