"""`kogia config current-context | get-contexts | use-context`: the kubeconfig's contexts."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from kogia.cli.main import CommandError


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("current-context", "get-contexts", "use-context"))
    parser.add_argument("argument", nargs="?", default="")


def run(options: argparse.Namespace) -> int:
    from kogia.client import kubeconfig

    try:
        view = kubeconfig.read(options.kubeconfig)
    except FileNotFoundError as error:
        raise CommandError(f"error: {error.filename} does not exist; start a cluster with `kogia up`") from error
    if options.action == "current-context":
        if not view.get("current-context"):
            raise CommandError("error: current-context is not set")
        print(view["current-context"])
    elif options.action == "use-context":
        if options.argument not in [c["name"] for c in view.get("contexts") or []]:
            raise CommandError(f'error: no context exists with the name: "{options.argument}"')
        _use(Path(options.kubeconfig) if options.kubeconfig else kubeconfig.default_paths()[0], options.argument)
        print(f'Switched to context "{options.argument}".')
    else:
        _print_contexts(view)
    return 0


def _use(path: Path, context: str) -> None:
    """Set `current-context` in one file, atomically, the rest kept."""
    from kogia.cli.printers import to_yaml
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
    for entry in view.get("contexts") or []:
        mark = "*" if entry["name"] == view.get("current-context") else ""
        context = entry.get("context") or {}
        rows.append([mark, entry["name"], context.get("cluster", ""), context.get("user", ""), context.get("namespace", "")])
    print("\n".join(columns(rows)))
