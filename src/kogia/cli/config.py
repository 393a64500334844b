"""`kogia config current-context | get-contexts | use-context`: the kubeconfig's contexts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kogia.cli.flags import Flags, Options
from kogia.cli.main import CommandError

ACTIONS = ("current-context", "get-contexts", "use-context")


def add_options(parser: Flags) -> None:
    parser.usage = "|".join(ACTIONS) + " [NAME]"


def run(options: Options) -> int:
    from kogia.client import kubeconfig

    action, argument = [*options.words, "", ""][:2]
    if action not in ACTIONS:
        raise CommandError(f'error: unknown command "{action}" for "kogia config"\nRun \'kogia config --help\' for usage.')
    try:
        view = kubeconfig.read(options.kubeconfig or None)
    except FileNotFoundError as error:
        raise CommandError(f"error: {error.filename} does not exist; start a cluster with `kogia up`") from error
    if action == "current-context":
        if not view.get("current-context"):
            raise CommandError("error: current-context is not set")
        print(view["current-context"])
    elif action == "use-context":
        if argument not in (view.get("contexts") or {}):
            raise CommandError(f'error: no context exists with the name: "{argument}"')
        _use(Path(options.kubeconfig) if options.kubeconfig else kubeconfig.default_paths()[0], argument)
        print(f'Switched to context "{argument}".')
    else:
        _print_contexts(view)
    return 0


def _use(path: Path, context: str) -> None:
    """Set `current-context` in one file, atomically, the rest kept."""
    from kogia.cli.yaml_text import to_yaml
    from kogia.client import kubeconfig

    config = kubeconfig.parse(path.read_text(), str(path))
    config["current-context"] = context
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(to_yaml(config))
    fresh.replace(path)


def _print_contexts(view: dict[str, Any]) -> None:
    from kogia.cli.printers import columns

    rows = [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
    for name, context in sorted((view.get("contexts") or {}).items()):
        mark = "*" if name == view.get("current-context") else ""
        rows.append([mark, name, context.get("cluster", ""), context.get("user", ""), context.get("namespace", "")])
    print("\n".join(columns(rows)))
