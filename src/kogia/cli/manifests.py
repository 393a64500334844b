"""Manifests from files, folders, stdin and URLs: YAML documents and JSON, Lists opened, errors naming file and line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kogia.cli.connection import Api
from kogia.cli.flags import Flags, Options
from kogia.cli.main import CommandError

Obj = dict[str, Any]


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
        except ValueError:
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
        loaded = load_all(text, strict=True)
    except YamlError as error:
        raise CommandError(f"error: error parsing {source}: error converting YAML to JSON: {error}") from error
    for document, duplicates in loaded:
        if duplicates and document is not None:
            raise CommandError(f"error: error parsing {source}: {duplicates[0]}")
    return [document for document, _ in loaded]


def _checked(source: str, document: Any) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        raise CommandError(f"error: error validating \"{source}\": error validating data: invalid object to validate: not a mapping")
    missing = [f"{key} not set" for key in ("apiVersion", "kind") if not document.get(key)]
    if missing:
        shown = missing[0] if len(missing) == 1 else "[" + ", ".join(missing) + "]"
        raise CommandError(f'error: error validating "{source}": error validating data: {shown}')
    if document["kind"] == "List" or (document["kind"].endswith("List") and isinstance(document.get("items"), list)):
        for item in document.get("items") or []:
            yield from _checked(source, item)
    else:
        yield Manifest(source, document)


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
        resource = names.by_kind(api, manifest.obj["apiVersion"], manifest.obj["kind"])
        namespace = namespace_of(api, manifest, options) if resource.namespaced else ""
        out.append(names.Target(resource, name_of(manifest), namespace))
    return out
