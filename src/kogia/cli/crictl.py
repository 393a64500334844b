"""`kogia crictl`: the node's containers through its CRI socket, with crictl's own flags and output.

Works on any CRI endpoint; by default on the one in the cluster's data directory. Here are the options and the dispatch; crictl_show.py prints,
crictl_do.py acts. Options of the command itself (`--runtime-endpoint`, `--name`, `--data-dir`) stand before the subcommand, as crictl's do,
because `ps --name` means a container's name. Source: cri-tools, docs/crictl.md and cmd/crictl.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kogia.base.cluster import ClusterPaths, default_data_dir
from kogia.cri.errors import Code, CriError

GO_CODES = {
    Code.CANCELLED: "Canceled", Code.UNKNOWN: "Unknown", Code.INVALID_ARGUMENT: "InvalidArgument",
    Code.DEADLINE_EXCEEDED: "DeadlineExceeded", Code.NOT_FOUND: "NotFound", Code.ALREADY_EXISTS: "AlreadyExists",
    Code.PERMISSION_DENIED: "PermissionDenied", Code.RESOURCE_EXHAUSTED: "ResourceExhausted",
    Code.FAILED_PRECONDITION: "FailedPrecondition", Code.ABORTED: "Aborted", Code.UNIMPLEMENTED: "Unimplemented",
    Code.INTERNAL: "Internal", Code.UNAVAILABLE: "Unavailable",
}  # fmt: skip
SHOWN_BY = "kogia.cli.crictl_show"
DONE_BY = "kogia.cli.crictl_do"


class Fatal(Exception):
    """One line in crictl's manner; exit status 1."""


def rpc_text(error: CriError) -> str:
    """The error as Go's gRPC prints it."""
    return f"rpc error: code = {GO_CODES[error.code]} desc = {error.message}"


def duration(text: str) -> float:
    """Go's durations (`2s`, `1m30s`) or plain seconds."""
    import re

    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", text)
    if not found or not text:
        raise argparse.ArgumentTypeError(f"invalid duration {text!r}")
    return sum(float(part or 0) * scale for part, scale in zip(found.groups(), (3600, 60, 1, 0.001), strict=True))


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Mount `crictl` under another parser's subcommands; `run` takes what it parses."""
    parser = subparsers.add_parser("crictl", help="look at this node's containers through CRI, as crictl does", allow_abbrev=False)
    _fill(parser)
    return parser  # type: ignore[no-any-return]


def _fill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runtime-endpoint", "-r", default=os.environ.get("CONTAINER_RUNTIME_ENDPOINT", ""), help="unix:///path of the CRI socket")
    parser.add_argument("--image-endpoint", "-i", default=os.environ.get("IMAGE_SERVICE_ENDPOINT", ""), help="as --runtime-endpoint, for images")
    parser.add_argument("--timeout", "-t", dest="call_timeout", type=duration, default=0.0, help="of one call, such as 10s (0: by the kind of call)")
    parser.add_argument("--debug", "-D", action="store_true")
    parser.add_argument("--name", dest="cluster_name", default=None, help="the cluster of this name on this machine")
    parser.add_argument("--data-dir", default=None, help="the cluster with this data directory")
    commands = parser.add_subparsers(dest="crictl_command", metavar="COMMAND", required=True)
    _lists(commands)
    _inspections(commands)
    _actions(commands)


def _lists(commands: Any) -> None:
    ps = _add(commands, "ps", SHOWN_BY, "List containers", aliases=["list"])
    ps.add_argument("--all", "-a", action="store_true", help="show all containers")
    ps.add_argument("--image", default="", help="filter by image")
    ps.add_argument("--pod", "-p", default="", help="filter by pod id")
    ps.add_argument("--state", "-s", default="", help="Created, Running, Exited or Unknown")
    ps.add_argument("--resolve-image-path", action="store_true", help="show the image's name rather than its id")
    pods = _add(commands, "pods", SHOWN_BY, "List pods")
    pods.add_argument("--state", "-s", default="", help="Ready or NotReady")
    for parser in (ps, pods):
        parser.add_argument("--id", default="", help="filter by id")
        parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="filter by label")
        parser.add_argument("--last", "-n", type=int, default=0, help="show the last n, in any state")
        parser.add_argument("--latest", "-l", action="store_true", help="show the most recent one, in any state")
        parser.add_argument("--name", dest="name_filter", default="", help="filter by a regular expression on the name")
        parser.add_argument("--namespace", default="", help="filter by a regular expression on the namespace")
        parser.add_argument("--no-trunc", action="store_true", help="show whole ids")
        parser.add_argument("--quiet", "-q", action="store_true", help="only ids")
        parser.add_argument("--verbose", "-v", action="store_true")
        _output(parser)
    images = _add(commands, "images", SHOWN_BY, "List images", aliases=["image", "img"])
    images.add_argument("repository", nargs="?", default="")
    images.add_argument("--digests", action="store_true")
    images.add_argument("--no-trunc", action="store_true")
    images.add_argument("--quiet", "-q", action="store_true")
    images.add_argument("--verbose", "-v", action="store_true")
    _output(images)
    stats = _add(commands, "stats", SHOWN_BY, "List container resource usage")
    stats.add_argument("id", nargs="?", default="")
    stats.add_argument("--all", "-a", action="store_true")
    stats.add_argument("--id", dest="id_filter", default="")
    stats.add_argument("--label", action="append", default=[])
    stats.add_argument("--pod", "-p", default="")
    stats.add_argument("--seconds", "-s", type=float, default=1.0, help="between the two samples the CPU share is taken from")
    stats.add_argument("--no-trunc", action="store_true")
    _output(stats)


def _inspections(commands: Any) -> None:
    for name, what in (("inspect", "containers"), ("inspectp", "pods"), ("inspecti", "images")):
        parser = _add(commands, name, SHOWN_BY, f"Display the status of one or more {what}")
        parser.add_argument("ids", nargs="*", metavar="ID")
        parser.add_argument("--output", "-o", default="json", choices=("json", "yaml", "table"))
        parser.add_argument("--quiet", "-q", action="store_true", help="without the runtime's own information")
    _add(commands, "version", SHOWN_BY, "Display runtime version information")
    info = _add(commands, "info", SHOWN_BY, "Display information of the container runtime")
    info.add_argument("--output", "-o", default="json", choices=("json", "yaml"))
    info.add_argument("--quiet", "-q", action="store_true")
    usage = _add(commands, "imagefsinfo", SHOWN_BY, "Return image filesystem info")
    usage.add_argument("--output", "-o", default="json", choices=("json", "yaml", "table"))


def _actions(commands: Any) -> None:
    logs = _add(commands, "logs", DONE_BY, "Fetch the logs of a container")
    logs.add_argument("id", metavar="CONTAINER-ID")
    logs.add_argument("--follow", "-f", action="store_true")
    logs.add_argument("--tail", type=int, default=-1, help="lines from the end (-1: all)")
    logs.add_argument("--limit-bytes", type=int, default=-1)
    logs.add_argument("--since", default="", help="an RFC 3339 time, or a duration such as 5m")
    logs.add_argument("--timestamps", "-t", action="store_true")
    logs.add_argument("--previous", "-p", action="store_true", help="of the attempt before")
    execute = _add(commands, "exec", DONE_BY, "Run a command in a running container")
    execute.add_argument("--interactive", "-i", action="store_true", help="keep stdin open")
    execute.add_argument("--tty", "-t", action="store_true", help="with a terminal")
    execute.add_argument("--sync", "-s", action="store_true", help="without streams")
    execute.add_argument("--timeout", dest="seconds", type=float, default=0.0)
    execute.add_argument("id", metavar="CONTAINER-ID")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    _targets(_add(commands, "start", DONE_BY, "Start one or more created containers"))
    stop = _targets(_add(commands, "stop", DONE_BY, "Stop one or more running containers"))
    stop.add_argument("--timeout", "-t", dest="seconds", type=float, default=0.0, help="seconds to wait before killing it")
    _targets(_add(commands, "stopp", DONE_BY, "Stop one or more running pods"))
    for name, what in (("rm", "containers"), ("rmp", "pods")):
        parser = _targets(_add(commands, name, DONE_BY, f"Remove one or more {what}"))
        parser.add_argument("--force", "-f", action="store_true", help="also what still runs")
        parser.add_argument("--all", "-a", action="store_true")
    rmi = _targets(_add(commands, "rmi", DONE_BY, "Remove one or more images"))
    rmi.add_argument("--all", "-a", action="store_true")
    rmi.add_argument("--prune", "-q", action="store_true", help="all that no container uses")
    pull = _add(commands, "pull", DONE_BY, "Pull an image from a registry")
    pull.add_argument("image")
    pull.add_argument("--creds", default="", metavar="USERNAME[:PASSWORD]")
    pull.add_argument("--auth", default="", help="base64 of username:password")


def _add(commands: Any, name: str, module: str, text: str, aliases: Sequence[str] = ()) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, aliases=list(aliases), allow_abbrev=False)
    parser.set_defaults(crictl_module=module, crictl_function=name)
    return parser  # type: ignore[no-any-return]


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", "-o", default="table", choices=("table", "json", "yaml"))


def _targets(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("ids", nargs="*", metavar="ID")
    return parser


def endpoint(options: argparse.Namespace) -> str:
    """The CRI socket the options speak of."""
    if options.runtime_endpoint:
        return str(options.runtime_endpoint)
    name = options.cluster_name or os.environ.get("KOGIA_NAME") or "kogia"
    data_dir = options.data_dir or os.environ.get("KOGIA_DATA_DIR") or default_data_dir(name)
    return f"unix://{ClusterPaths(Path(os.path.abspath(data_dir))).cri_socket}"


def run(options: argparse.Namespace) -> int:
    """Do what was parsed; returns the exit status."""
    import asyncio

    try:
        return asyncio.run(_run(options))
    except (Fatal, ValueError) as error:
        print(f"FATA[0000] {error}", file=sys.stderr)
    except CriError as error:
        print(f"FATA[0000] {rpc_text(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


async def _run(options: argparse.Namespace) -> int:
    import importlib

    from kogia.cri.grpc.client import CriClient

    where = endpoint(options)
    waits = {"timeout_s": options.call_timeout, "long_s": options.call_timeout} if options.call_timeout else {}
    client = CriClient(where, image_endpoint=options.image_endpoint, **waits)
    try:
        function = getattr(importlib.import_module(options.crictl_module), options.crictl_function)
        return int(await function(client, options) or 0)
    except CriError as error:
        if error.code is Code.UNAVAILABLE and "while dialing" in error.message.lower() and not options.runtime_endpoint:
            raise Fatal(f"validate service connection: {rpc_text(error)} (is the node running? `kogia status` tells)") from None
        raise
    finally:
        await client.close()


def main(argv: Sequence[str]) -> int:
    """`kogia crictl ARGUMENTS`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="kogia crictl", description="The node's containers through CRI.", allow_abbrev=False)
    _fill(parser)
    return run(parser.parse_args(list(argv)))
