"""`kogia config`: view the kubeconfig, list its contexts, clusters and users, choose a context, set its namespace."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kogia.cli import printers
from kogia.cli.flags import Flags, Options
from kogia.cli.main import CommandError

ACTIONS = ("view", "current-context", "get-contexts", "get-clusters", "get-users", "use-context", "set-context")


def add_options(parser: Flags) -> None:
    parser.switch("--current", help="set-context: the current context")
    parser.switch("--minify", help="view: only what the current context uses")
    parser.switch("--raw", help="view: certificates, keys and tokens too")
    parser.switch("--no-headers", help="get-contexts: don't print headers")
    parser.add("-o", "--output", help="view: yaml or json; get-contexts: name")
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
        if argument not in view["contexts"]:
            raise CommandError(f'error: no context exists with the name: "{argument}"')
        _change(options, lambda config: config.update({"current-context": argument}))
        print(f'Switched to context "{argument}".')
    elif action == "set-context":
        _set_context(options, view, argument)
    elif action == "view":
        _view(options, view)
    elif action == "get-contexts":
        _print_contexts(view, argument, options)
    else:
        print("\n".join(["NAME", *sorted(view["clusters" if action == "get-clusters" else "users"])]))
    return 0


def _set_context(options: Options, view: dict[str, Any], name: str) -> None:
    """`set-context NAME|--current [--namespace=…] [--cluster=…] [--user=…]`. Errors: CommandError."""
    name = view.get("current-context", "") if options.current else name
    if not name:
        raise CommandError("error: you must specify a non-empty context name or --current")
    fresh = {k: v for k, v in (("namespace", options.namespace), ("cluster", options.cluster), ("user", options.user)) if v}

    def change(config: dict[str, Any]) -> None:
        found = next((c for c in config.setdefault("contexts", []) if c.get("name") == name), None)
        if found is None:
            config["contexts"].append({"name": name, "context": fresh})
        else:
            found["context"] = {**(found.get("context") or {}), **fresh}

    _change(options, change)
    print(f'Context "{name}" {"modified" if name in view["contexts"] else "created"}.')


def _view(options: Options, view: dict[str, Any]) -> None:
    """The merged configuration, secrets left out unless --raw."""
    contexts, clusters, users = view["contexts"], view["clusters"], view["users"]
    current = options.context or view.get("current-context", "")
    if options.minify:
        contexts = {k: v for k, v in contexts.items() if k == current}
        clusters = {k: v for k, v in clusters.items() if any(c.get("cluster") == k for c in contexts.values())}
        users = {k: v for k, v in users.items() if any(c.get("user") == k for c in contexts.values())}
    shown = {"apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": current}
    for plural, key, entries in (("clusters", "cluster", clusters), ("contexts", "context", contexts), ("users", "user", users)):
        shown[plural] = [{"name": name, key: entry if options.raw else _redacted(entry)} for name, entry in sorted(entries.items())]
    printer = printers.object_printer(options.output or "yaml", lambda obj: "")
    print((printer or printers.to_json)(shown), end="")


def _redacted(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: "DATA+OMITTED" if k.endswith("-data") else "REDACTED" if k in ("token", "password") else v for k, v in entry.items()}


def _change(options: Options, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change one kubeconfig file, atomically, everything else kept. Errors: CommandError."""
    from kogia.cli.yaml_text import to_yaml
    from kogia.client import kubeconfig

    path = Path(os.path.realpath(options.kubeconfig or kubeconfig.default_paths()[0]))
    config = kubeconfig.parse(path.read_text(), str(path))
    change(config)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(to_yaml(config))
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def _print_contexts(view: dict[str, Any], only: str, options: Options) -> None:
    found = {k: v for k, v in sorted((view.get("contexts") or {}).items()) if only in ("", k)}
    if only and not found:
        raise CommandError(f"error: context {only} not found")  # kubectl prints its header before it says so
    if options.output == "name":
        print("\n".join(found))
        return
    rows = [] if options.no_headers else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
    for name, context in found.items():
        mark = "*" if name == view.get("current-context") else ""
        rows.append([mark, name, context.get("cluster", ""), context.get("user", ""), context.get("namespace", "")])
    print("\n".join(printers.columns(rows)))
