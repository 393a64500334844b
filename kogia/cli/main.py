"""The kubectl-like half of the command line: finds the command, parses its options, turns errors into kubectl's words.

Start-up is the budget here: only the chosen command's module is imported, and none of them imports asyncio. `kogia.main` calls `main` for every
command that is not about processes on this machine.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

#: command → (module, one line of help). Each module has `add_options(parser)` and `run(options) -> int`.
COMMANDS: dict[str, tuple[str, str]] = {
    "get": ("kogia.cli.get", "Display one or many resources"),
    "describe": ("kogia.cli.describe", "Show details of a specific resource or group of resources"),
    "create": ("kogia.cli.create", "Create a resource from a file or from stdin"),
    "apply": ("kogia.cli.apply", "Apply a configuration to a resource by file name or stdin"),
    "delete": ("kogia.cli.delete", "Delete resources by file names, stdin, resources and names, or by resources and label selector"),
    "logs": ("kogia.cli.logs", "Print the logs for a container in a pod (no pod: Kogia's own logs)"),
    "exec": ("kogia.cli.exec", "Execute a command in a container"),
    "run": ("kogia.cli.run", "Run a particular image on the cluster"),
    "version": ("kogia.cli.version", "Print the client and server version information"),
    "api-resources": ("kogia.cli.api_resources", "Print the supported API resources on the server"),
    "explain": ("kogia.cli.explain", "Get documentation for a resource"),
    "label": ("kogia.cli.label", "Update the labels on a resource"),
    "annotate": ("kogia.cli.label", "Update the annotations on a resource"),
    "wait": ("kogia.cli.wait", "Wait for a specific condition on one or many resources"),
    "config": ("kogia.cli.config", "Modify kubeconfig files: current-context, get-contexts, use-context"),
    "crictl": ("kogia.cli.crictl", "Look at this node's containers through CRI, as crictl does"),
}


class CommandError(Exception):
    """One line for the person at the terminal; exit status 1."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"error: {message}\nSee 'kogia {self.prog.removeprefix('kogia ')} --help' for usage.", file=sys.stderr)
        raise SystemExit(1)


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("connection")
    group.add_argument("--kubeconfig", default=None, help="path to the kubeconfig file")
    group.add_argument("--context", default=None, help="the kubeconfig context to use")
    group.add_argument("-n", "--namespace", default=None, help="the namespace to work in")
    group.add_argument("--request-timeout", default="0", help="time to wait for one request, such as 1s or 2m (0 = no limit)")
    group.add_argument("--as", dest="impersonate", default=None, help="the user to impersonate")
    group.add_argument("--name", dest="cluster_name", default=None, help="use the cluster of this name on this machine")
    group.add_argument("--data-dir", default=None, help="use the cluster with this data directory")


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    name = argv[0]
    if name not in COMMANDS:
        print(f'error: unknown command "{name}" for "kogia"\nRun \'kogia --help\' for usage.', file=sys.stderr)
        return 1
    module = importlib.import_module(COMMANDS[name][0])
    try:
        if hasattr(module, "main"):  # crictl brings its own parser
            return int(module.main(list(argv[1:])) or 0)
        parser = Parser(prog=f"kogia {name}", description=COMMANDS[name][1], allow_abbrev=False)
        add_connection_options(parser)
        module.add_options(parser)
        options = parser.parse_intermixed_args(argv[1:]) if getattr(module, "INTERMIXED", True) else parser.parse_args(argv[1:])
        options.command_name = name
        return int(module.run(options) or 0)
    except CommandError as error:
        print(str(error), file=sys.stderr)
        return error.code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


def usage(extra: dict[str, str] | None = None) -> str:
    """The list of commands; `extra` adds those of other rooms, name → help."""
    lines = ["Kogia runs Kubernetes Pods on this machine; these commands speak to it as kubectl does.", ""]
    for title, commands in (("Cluster on this machine:", extra or {}), ("Resources:", {k: v[1] for k, v in COMMANDS.items()})):
        if commands:
            lines += [title, *(f"  {name:<20} {text}" for name, text in commands.items()), ""]
    return "\n".join([*lines, "Use 'kogia COMMAND --help' for a command's options."])
