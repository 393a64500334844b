"""Manifests from files, folders, stdin and URLs: YAML documents and JSON, Lists opened, errors naming file and line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kogia.cli.connection import Api, ApiFailure
from kogia.cli.flags import Flags, Options
from kogia.cli.main import CommandError

if TYPE_CHECKING:
    from kogia.api.kinds import ResourceInfo

Obj = dict[str, Any]
_HOW_TO_IGNORE = "if you choose to ignore these errors, turn validation off with --validate=false"


@dataclass(slots=True)
class Manifest:
    source: str  #: file name, URL or "STDIN"
    obj: Obj


def add_file_options(parser: Flags) -> None:
    parser.add("-f", "--filename", append=True, default=[], help="file, folder, URL, or - for standard input")
    parser.switch("-R", "--recursive", help="process the folder of -f recursively")


def read(options: Options) -> list[Manifest]:
    """Every object named by -f, in order. Errors: CommandError worded as kubectl's."""
    found: list[Manifest] = []
    for name in options.filename:
        for source, text in _texts(name, options.recursive):
            found.extend(parse(source, text))
    if not found:
        raise CommandError("error: no objects passed to " + options.command_name)
    return found


def _texts(name: str, recursive: bool) -> Iterator[tuple[str, bytes]]:
    if name == "-":
        yield "STDIN", sys.stdin.buffer.read()
    elif name.startswith(("http://", "https://")):
        yield name, _download(name)
    elif os.path.isdir(name):
        for folder, folders, files in os.walk(name):
            folders.sort()
            for file in sorted(files):
                if file.endswith((".yaml", ".yml", ".json")):
                    path = os.path.join(folder, file)
                    yield path, _file(path)
            if not recursive:
                break
    else:
        yield name, _file(name)


def _file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise CommandError(f'error: the path "{path}" does not exist') from error
    except OSError as error:
        raise CommandError(f"error: open {path}: {error.strerror}") from error


def _download(url: str) -> bytes:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise CommandError(f'error: unable to read URL "{url}": {error}') from error


def parse(source: str, text: bytes) -> list[Manifest]:
    """The objects of one file. Errors: CommandError with file and line."""
    stripped = text.lstrip()
    if stripped[:1] == b"{":
        try:
            documents: list[Any] = [json.loads(text)]
        except ValueError as error:
            if isinstance(error, json.JSONDecodeError) and error.pos >= len(text.decode("utf-8", "replace").rstrip()):
                raise CommandError(f"error: error parsing {source}: unexpected EOF") from error
            documents = _yaml(source, text)
    else:
        documents = _yaml(source, text)
    out: list[Any] = []
    for document in documents:
        if document is not None:
            out.extend(_checked(source, document))
    return out


def _yaml(source: str, text: bytes) -> list[Any]:
    from kogia.api.yaml_loader import YamlError, load_all

    try:
        loaded = load_all(text, strict=False)
    except YamlError as error:
        raise CommandError(f"error: error parsing {source}: error converting YAML to JSON: {error}") from error
    return [document for document, _ in loaded]


def _checked(source: str, document: Any) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        raise CommandError(f"error: error validating \"{source}\": error validating data: invalid object to validate; {_HOW_TO_IGNORE}")
    missing = [f"{key} not set" for key in ("apiVersion", "kind") if not document.get(key)]
    if missing:
        shown = missing[0] if len(missing) == 1 else "[" + ", ".join(missing) + "]"
        raise CommandError(f'error: error validating "{source}": error validating data: {shown}; {_HOW_TO_IGNORE}')
    if document["kind"] == "List" or (document["kind"].endswith("List") and isinstance(document.get("items"), list)):
        for item in document.get("items") or []:
            yield from _checked(source, item)
    else:
        yield Manifest(source, document)


def resource_of(api: Api, manifest: Manifest) -> ResourceInfo:
    """What serves the manifest's kind. Errors: names.NoMatch, ApiFailure."""
    from kogia.cli import names

    meta = manifest.obj.get("metadata") or {}
    whose = f' for name: "{meta.get("name") or ""}" namespace: "{meta.get("namespace") or ""}" from "{manifest.source}"'
    return names.by_kind(api, manifest.obj["apiVersion"], manifest.obj["kind"], whose)


class Failures:
    """What went wrong while working through manifests, told at the end as kubectl tells it."""

    def __init__(self) -> None:
        self._found: list[tuple[CommandError, str]] = []

    def add(self, error: CommandError, doing: str = "", manifest: Manifest | None = None) -> None:
        self._found.append((error, f'error when {doing} "{manifest.source}": ' if manifest else ""))

    def tell(self) -> int:
        """Print all; the exit status."""
        for error, before in self._found:
            alone = len(self._found) == 1 and isinstance(error, ApiFailure) and error.reason == "Invalid"
            print(error.worded("" if alone else before) if isinstance(error, ApiFailure) else error, file=sys.stderr)
        return 1 if self._found else 0


def name_of(manifest: Manifest) -> str:
    meta = manifest.obj.get("metadata") or {}
    return str(meta.get("name") or "")


def namespace_of(api: Api, manifest: Manifest, options: Options) -> str:
    """The namespace to use: the manifest's, else the current one; a clash with -n is an error."""
    own = (manifest.obj.get("metadata") or {}).get("namespace")
    if own and options.namespace and own != options.namespace:
        raise CommandError(
            f'error: the namespace from the provided object "{own}" does not match the namespace "{options.namespace}". '
            f"You must pass '--namespace={own}' to perform this operation."
        )
    return own or api.namespace


def targets_of_files(api: Api, options: Options) -> list[Any]:
    """The objects named by -f as targets (for get, describe, delete, wait)."""
    from kogia.cli import names

    out: list[Any] = []
    for manifest in read(options):
        resource = resource_of(api, manifest)
        namespace = namespace_of(api, manifest, options) if resource.namespaced else ""
        out.append(names.Target(resource, name_of(manifest), namespace))
    return out
