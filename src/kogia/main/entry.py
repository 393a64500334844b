"""The `kogia` command: processes and this machine here, everything that speaks to the API in `kogia.cli`.

Start-up is measured: nothing is imported before the command is known.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

NODE_COMMANDS: dict[str, str] = {
    "quickstart": "Start a cluster here and see a first Pod run",
    "up": "Start the cluster's server and node in the background",
    "down": "Stop them (Pods go on unless --pods)",
    "status": "Show whether they run",
    "reset": "Remove the cluster and every trace of it from this machine",
    "kubeconfig": "Print the admin kubeconfig",
    "doctor": "Check what this machine offers",
    "image": "Images on this node: pull, import, ls, rm, build-rootfs",
}
COMPONENTS: dict[str, str] = {
    "server": "API server, controllers and scheduler in one process",
    "node": "kubelet and container runtime in one process",
    "apiserver": "the API server alone",
    "controller-manager": "the controllers alone",
    "scheduler": "the scheduler alone",
    "kubelet": "the kubelet alone (with the embedded runtime unless --container-runtime-endpoint)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors are one line on stderr."""
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `kogia get pods | head -1`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        from kogia.cli.main import usage

        print(usage({**NODE_COMMANDS, **{k: f"Run {v}" for k, v in COMPONENTS.items()}}))
        return 0
    if words[0] == "--version":
        words = ["version", "--client"]
    command = _node_command(words)
    if command is None:
        from kogia.cli.main import main as cli

        return cli(words)
    return _guarded(command, words)


def _node_command(words: list[str]) -> Callable[[list[str]], int] | None:
    name = words[0]
    if name in COMPONENTS:
        return _component
    if name == "image":
        return _image
    if name in NODE_COMMANDS:
        return _local
    if name == "logs" and _is_own_logs(words[1:]):
        return _local
    return None


def _is_own_logs(rest: list[str]) -> bool:
    """`kogia logs` without a Pod and without a selector shows Kogia's own logs."""
    with_value = {"--component", "--tail", "--name", "--data-dir", "-n", "--namespace", "-c", "--since"}
    positional, i = [], 0
    while i < len(rest):
        if rest[i] in ("-l", "--selector", "-h", "--help") or rest[i].startswith("--selector="):
            return False
        if rest[i] in with_value:
            i += 1
        elif not rest[i].startswith("-"):
            positional.append(rest[i])
        i += 1
    return not positional


def _guarded(command: Callable[[list[str]], int], words: list[str]) -> int:
    from kogia.base.cluster import ConfigError
    from kogia.main.up import StartFailed

    try:
        return command(words)
    except (ConfigError, StartFailed) as error:
        print(f"kogia: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"kogia: {error.filename or ''}: permission denied: run this as root", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, a file where a folder should be: the system's own words say what to do
        if not error.filename:
            raise
        print(f"kogia: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _local(words: list[str]) -> int:

    from kogia.main import settings, up

    name = words[0]
    parser = settings.Parser(prog=f"kogia {name}", description=NODE_COMMANDS.get(name, "Kogia's own logs"), allow_abbrev=False)
    if name in ("up", "quickstart"):
        settings.add_cluster_options(parser)
        parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait until everything is ready")
        parser.add_argument("--no-kubeconfig", action="store_true", help="leave the user's kubeconfig alone")
        parser.add_argument("--quiet", action="store_true")
    else:
        settings.add_location_options(parser)
    if name == "up":
        parser.add_argument("--foreground", action="store_true", help="stay in the foreground, logs on the terminal")
    if name == "down":
        parser.add_argument("--pods", action="store_true", help="also stop all Pods on this node")
    if name == "status":
        parser.add_argument("-o", "--output", default="", choices=("", "json"))
    if name == "reset":
        parser.add_argument("--yes", action="store_true", help="really do it")
    if name == "logs":
        parser.add_argument("--component", default="", choices=("", *up.PROCESSES))
        parser.add_argument("-f", "--follow", action="store_true")
        parser.add_argument("--tail", type=int, default=100)
    options = parser.parse_args(words[1:])
    return _dispatch(name, options)


def _dispatch(name: str, options: argparse.Namespace) -> int:
    from kogia.main import settings, up

    if name == "doctor":
        from kogia.main import doctor

        return doctor.run()
    if name == "quickstart":
        from kogia.main import quickstart

        return quickstart.run(options)
    if name == "reset":
        from kogia.main import reset

        return reset.run(options)
    if name == "kubeconfig":
        print(settings.existing(options).paths.admin_kubeconfig.read_text(), end="")
        return 0
    actions = {"up": up.up, "down": up.down, "status": up.status, "logs": up.own_logs}
    return actions[name](options)


def _image(words: list[str]) -> int:
    from kogia.main import image

    return image.run(words[1:])


def _component(words: list[str]) -> int:
    from kogia.main import components

    return components.run(words[0], words[1:])
