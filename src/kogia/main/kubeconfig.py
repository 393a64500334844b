"""Kubeconfig files: writing one's own, and adding a context to one that people already have without disturbing the rest.

The file is read with Go's YAML rules and written by a small emitter that quotes whatever could be read as anything but a string. Writing
is atomic, through symbolic links, under the same lock file kubectl uses.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOCK_STALE_S = 10.0
LOCK_WAIT_S = 5.0
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+=-]*(?::[A-Za-z0-9_./@+=-]+)*\Z")
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"])

Obj = dict[str, Any]


def _data(path: str | Path) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


def _entries(name: str, server: str, ca: str | Path, cert: str | Path, key: str | Path) -> tuple[Obj, Obj, Obj]:
    cluster = {"cluster": {"certificate-authority-data": _data(ca), "server": server}, "name": name}
    user = {"name": name, "user": {"client-certificate-data": _data(cert), "client-key-data": _data(key)}}
    return cluster, {"context": {"cluster": name, "user": name}, "name": name}, user


def write_kubeconfig(path: str | Path, server: str, ca: str | Path, cert: str | Path, key: str | Path, context: str = "kogia") -> None:
    """A kubeconfig of its own (0600) with one cluster, user and context, all called `context`. `ca`, `cert`, `key` are PEM files, embedded."""
    cluster, entry, user = _entries(context, server, ca, cert, key)
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [entry], "current-context": context, "preferences": {}, "users": [user]}
    _replace(Path(path), to_yaml(config))


def merge_kubeconfig(
    target: str | Path, name: str, *, server: str, ca: str | Path, cert: str | Path, key: str | Path, make_current: bool = True,
) -> None:
    """Add or replace the cluster, user and context `name` in `target`; everything else stays as it is.

    Errors: OSError; ValueError if the file is there and is no kubeconfig (it is left untouched).
    """
    with _locked(target) as path:
        config = _load(path)
        cluster, entry, user = _entries(name, server, ca, cert, key)
        for plural, new in (("clusters", cluster), ("contexts", entry), ("users", user)):
            items = config.get(plural) or []
            index = next((i for i, item in enumerate(items) if item.get("name") == name), None)
            if plural == "contexts" and index is not None and (items[index].get("context") or {}).get("namespace"):
                new["context"]["namespace"] = items[index]["context"]["namespace"]
            config[plural] = [*items, new] if index is None else [*items[:index], new, *items[index + 1 :]]
        if make_current or not config.get("current-context"):
            config["current-context"] = name
        _replace(path, to_yaml(config))


def remove_from_kubeconfig(target: str | Path, name: str) -> bool:
    """Take the cluster, user and context `name` out again; True if there was anything. A missing file is fine."""
    if not os.path.exists(target):
        return False
    with _locked(target) as path:
        config = _load(path)
        changed = False
        for plural in ("clusters", "contexts", "users"):
            items = config.get(plural) or []
            kept = [item for item in items if item.get("name") != name]
            changed |= len(kept) != len(items)
            config[plural] = kept
        if config.get("current-context") == name:
            config["current-context"] = ""
            changed = True
        if changed:
            _replace(path, to_yaml(config))
        return changed


def _load(path: Path) -> Obj:
    from kogia.api.yaml_loader import YamlError, load

    try:
        text = path.read_bytes()
    except FileNotFoundError:
        text = b""
    try:
        config = load(text)[0] if text.strip() else None
    except YamlError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if config is None:
        config = {"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "current-context": "", "preferences": {}, "users": []}
    lists = ("clusters", "contexts", "users")
    if not isinstance(config, dict) or any(
        not isinstance(config.get(k) or [], list) or not all(isinstance(i, dict) for i in config.get(k) or []) for k in lists
    ):
        raise ValueError(f"{path} is not a kubeconfig")
    return config


@contextlib.contextmanager
def _locked(target: str | Path) -> Iterator[Path]:
    """The real path behind `target`, while holding `<path>.lock`; a lock left behind by somebody long dead is taken over."""
    path = Path(os.path.realpath(target))
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock")
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0))
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > LOCK_STALE_S:
                    lock.unlink()
                    continue
            if time.monotonic() > deadline:
                raise OSError(f"{lock} exists: another program is changing {path}") from None
            time.sleep(0.05)
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            lock.unlink()


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        before: os.stat_result | None = path.stat()
    except FileNotFoundError:
        before = None
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if before is not None:
            os.fchmod(handle, before.st_mode & 0o777)
            with contextlib.suppress(PermissionError):
                os.fchown(handle, before.st_uid, before.st_gid)
        os.write(handle, text.encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(scratch, path)


def to_yaml(value: Any) -> str:
    """Block YAML of plain data; strings are quoted unless no YAML reader could take them for anything else."""
    lines: list[str] = []
    _emit(value, 0, lines)
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = _PLAIN.match(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    return json.dumps(value)


def _emit(value: Any, indent: int, lines: list[str], lead: str = "") -> None:
    """Append `value` as lines; `lead` ("- ") goes before the first one."""
    pad = " " * indent
    if isinstance(value, dict) and value:
        for key, item in value.items():
            head = (pad[: -len(lead)] + lead if lead else pad) + _scalar(str(key)) + ":"
            lead = ""
            if isinstance(item, dict | list) and item:
                lines.append(head)
                _emit(item, indent + (2 if isinstance(item, dict) else 0), lines)
            else:
                lines.append(f"{head} {_scalar(item)}")
    elif isinstance(value, list) and value:
        if lead:
            lines.append(pad[: -len(lead)] + lead.rstrip())
        for item in value:
            if isinstance(item, dict | list) and item:
                _emit(item, indent + 2, lines, "- ")
            else:
                lines.append(f"{pad}- {_scalar(item)}")
    else:
        lines.append((pad[: -len(lead)] + lead if lead else pad) + _scalar(value))
