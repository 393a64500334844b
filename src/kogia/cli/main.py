"""The kubectl-like half of the command line: finds the command, parses its options, turns errors into kubectl's words.

Start-up is the budget here: only the chosen command's module is imported, and none of them imports asyncio. `kogia.main` calls `main` for every
command that is not about processes on this machine.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from kogia.cli.flags import FlagError, Flags, HelpAsked, Options

#: command → (module, one line of help). Each module has `add_options(flags)` and `run(options) -> int`.
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
    "config": ("kogia.cli.config", "Look at and change the kubeconfig: view, contexts, current context, namespace"),
    "crictl": ("kogia.cli.crictl", "Look at this node's containers through CRI, as crictl does"),
}


class CommandError(Exception):
    """One line for the person at the terminal; exit status 1."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def add_connection_options(flags: Flags) -> None:
    """kubectl's global flags; those that mean nothing here are accepted and ignored."""
    flags.add("--kubeconfig", help="path to the kubeconfig file")
    flags.add("--context", help="the kubeconfig context to use")
    flags.add("--cluster", help="the kubeconfig cluster to use")
    flags.add("--user", help="the kubeconfig user to use")
    flags.add("-s", "--server", help="the address of the API server")
    flags.add("--token", help="bearer token for authentication")
    flags.add("--certificate-authority", help="file with the certificate of the server's authority")
    flags.add("--client-certificate", help="file with a client certificate")
    flags.add("--client-key", help="file with the key of the client certificate")
    flags.add("--tls-server-name", help="the name to expect in the server's certificate")
    flags.switch("--insecure-skip-tls-verify", help="do not check the server's certificate")
    flags.add("-n", "--namespace", help="the namespace to work in")
    flags.add("--request-timeout", default="0", help="time to wait for one request, such as 1s or 2m (0 = no limit)")
    flags.add("--as", dest="impersonate", help="the user to impersonate")
    flags.add("--as-group", append=True, default=[], help="a group to impersonate; may be repeated")
    flags.add("--as-uid", help="the uid to impersonate")
    flags.add("--name", dest="cluster_name", help="use the cluster of this name on this machine")
    flags.add("--data-dir", help="use the cluster with this data directory")
    flags.add("-v", "--v", dest="verbosity", default="0", help="accepted as kubectl's; ignored")
    flags.add("--cache-dir", help="accepted as kubectl's; ignored")
    flags.switch("--match-server-version", help="accepted as kubectl's; ignored")


def connection_options(words: Sequence[str]) -> Options:
    """The options of `connection.connect` for callers that are no command of their own. Errors: FlagError."""
    flags = Flags("kogia")
    add_connection_options(flags)
    return flags.parse(words)


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    name, words = argv[0], list(argv[1:])
    if name not in COMMANDS:
        what = f"unknown flag: {name}" if name.startswith("-") else f'unknown command "{name}" for "kogia"'
        print(f"error: {what}\nRun 'kogia --help' for usage.", file=sys.stderr)
        return 1
    module = importlib.import_module(COMMANDS[name][0])
    try:
        if hasattr(module, "main"):  # crictl brings its own parser
            return int(module.main(words) or 0)
        return _run(name, module, words)
    except CommandError as error:
        print(str(error), file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130


def _run(name: str, module: ModuleType, words: list[str]) -> int:
    """Parse and run. Errors: whatever the command raises."""
    flags = Flags(f"kogia {name}", COMMANDS[name][1])
    module.add_options(flags)
    add_connection_options(flags)
    try:
        options = flags.parse(words)
    except HelpAsked:
        print(flags.help_text())
        return 0
    except FlagError as error:
        raise CommandError(f"error: {error}\nSee 'kogia {name} --help' for usage.") from None
    options.command_name = name
    code = int(module.run(options) or 0)
    sys.stdout.flush()
    return code


def usage(extra: dict[str, str] | None = None) -> str:
    """The list of commands; `extra` adds those of other rooms, name → help."""
    lines = ["Kogia runs Kubernetes Pods on this machine; these commands speak to it as kubectl does.", ""]
    for title, commands in (("Cluster on this machine:", extra or {}), ("Resources:", {k: v[1] for k, v in COMMANDS.items()})):
        if commands:
            lines += [title, *(f"  {name:<20} {text}" for name, text in commands.items()), ""]
    return "\n".join([*lines, "Use 'kogia COMMAND --help' for a command's options."])
