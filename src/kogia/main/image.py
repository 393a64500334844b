"""`kogia image pull|import|ls|rm|build-rootfs`: the images of this machine's cluster, whether its node runs or not.

What CRI has a call for goes through the node's socket when somebody serves it; else, and for import and build-rootfs always, the store on disk is used
directly: it is made for several processes (kogia/runtime/images/store.py), and a running node sees the new image at its next look.
Neighbours: entry.py dispatches here; kogia.cli.crictl_show prints.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kogia.base.cluster import DEFAULT_NAME, ClusterConfig, load
from kogia.main import settings

if TYPE_CHECKING:
    from kogia.cri.interface import ImageService
    from kogia.runtime.images.build import Entry, RunConfig
    from kogia.runtime.images.store import ImageStore


def _parser() -> argparse.ArgumentParser:
    parser = settings.Parser(prog="kogia image", description="Images on this node.", allow_abbrev=False)
    settings.add_location_options(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    pull = commands.add_parser("pull", help="pull images from their registries", allow_abbrev=False)
    pull.add_argument("images", nargs="+", metavar="IMAGE")
    pull.add_argument("--creds", default="", metavar="USERNAME[:PASSWORD]")
    load_from = commands.add_parser("import", help="import images from an OCI layout or a docker archive", allow_abbrev=False)
    load_from.add_argument("source", metavar="FILE", help="a tar (plain, gzip, zstd), a directory with an OCI layout, or - for stdin")
    load_from.add_argument("--tag", "-t", default="", help="the name to give it, if the archive holds one image")
    listing = commands.add_parser("ls", aliases=["list"], help="list images", allow_abbrev=False)
    listing.add_argument("repository", nargs="?", default="")
    listing.add_argument("--quiet", "-q", action="store_true", help="only ids")
    listing.add_argument("--digests", action="store_true")
    listing.add_argument("--no-trunc", action="store_true")
    listing.add_argument("--output", "-o", default="table", choices=("table", "json", "yaml"))
    remove = commands.add_parser("rm", help="remove images", allow_abbrev=False)
    remove.add_argument("images", nargs="+", metavar="IMAGE")
    _build_options(commands.add_parser("build-rootfs", help="make a one-layer image from files, without a registry", allow_abbrev=False))
    return parser


def _build_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="its name, such as localhost/demo:latest")
    parser.add_argument("directory", nargs="?", default=None, help="what becomes its root")
    parser.add_argument("--busybox", action="store_true", help="add this machine's static busybox with all its commands")
    parser.add_argument("--file", action="append", default=[], metavar="SOURCE:PATH[:MODE]", help="add a file of this machine")
    parser.add_argument("--text", action="append", default=[], metavar="PATH=CONTENT", help="add a file with this content")
    parser.add_argument("--link", action="append", default=[], metavar="PATH:TARGET", help="add a symbolic link")
    parser.add_argument("--entrypoint", action="append", default=[], metavar="WORD", help="one word of the entrypoint; may be repeated")
    parser.add_argument("--cmd", action="append", default=[], metavar="WORD", help="one word of the default arguments; may be repeated")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--port", action="append", default=[], metavar="PORT[/PROTOCOL]")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--workdir", default="")
    parser.add_argument("--user", default="", help="user or uid, optionally :group")
    parser.add_argument("--stop-signal", default="")


def run(words: list[str]) -> int:
    """`kogia image WORDS`; returns the exit status. Errors: PermissionError when not root."""
    options = _parser().parse_args(words)
    name, data_dir = settings.locate(options)
    config = load(data_dir) or ClusterConfig(name=name or DEFAULT_NAME, data_dir=data_dir)
    try:
        return asyncio.run(_run(config, options))
    except PermissionError:
        raise
    except Exception as error:
        if not _is_expected(error):
            raise
        print(f"kogia: {_text(error)}", file=sys.stderr)
        return 1


def _is_expected(error: Exception) -> bool:
    from kogia.cri.errors import CriError

    return isinstance(error, OSError | ValueError | CriError)


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror.lower()
    return str(error)


async def _run(config: ClusterConfig, options: argparse.Namespace) -> int:
    if options.command in ("import", "build-rootfs"):
        store = _store(config)
        (_import if options.command == "import" else _build)(store, options)
        store.settle()
        return 0
    async with _service(config) as images:
        actions = {"pull": _pull, "ls": _list, "list": _list, "rm": _remove}
        return await actions[options.command](images, options)


def _store(config: ClusterConfig) -> ImageStore:
    from kogia.main.node import image_root
    from kogia.runtime.images.store import ImageStore

    return ImageStore(image_root(config), sweep=False)


@contextlib.asynccontextmanager
async def _service(config: ClusterConfig) -> AsyncIterator[ImageService]:
    """The running node's, else our own over the same store."""
    from kogia.cri.errors import Code, CriError

    if config.paths.cri_socket.exists():
        from kogia.cri.grpc.client import connect

        try:
            client = await connect(f"unix://{config.paths.cri_socket}")
        except CriError as error:
            if error.code is not Code.UNAVAILABLE:
                raise
        else:
            try:
                yield client
            finally:
                await client.close()
            return
    from kogia.runtime.images.config import Registries
    from kogia.runtime.images.service import Images

    images = Images(_store(config), Registries(config.paths.data_dir / "registries.yaml"))
    try:
        yield images
    finally:
        await images.close()


async def _pull(images: ImageService, options: argparse.Namespace) -> int:
    from kogia.cri import types as t

    username, _, password = options.creds.partition(":")
    auth = t.AuthConfig(username=username, password=password) if username else None
    for name in options.images:
        print(f"{name} … ", end="", flush=True)
        try:
            ref = await images.pull_image(t.ImageSpec(image=name), auth)
        except BaseException:
            print()
            raise
        print(ref)
    return 0


async def _list(images: ImageService, options: argparse.Namespace) -> int:
    from kogia.cli import crictl_show

    options.verbose = False
    await crictl_show.images(images, options)
    return 0


async def _remove(images: ImageService, options: argparse.Namespace) -> int:
    from kogia.cri import types as t

    missing = 0
    for name in options.images:
        found = await images.image_status(t.ImageSpec(image=name))
        if found is None:
            print(f"kogia: no such image {name}", file=sys.stderr)
            missing += 1
            continue
        await images.remove_image(t.ImageSpec(image=found.id))
        for tag in found.repo_tags or [found.id]:
            print(f"Deleted: {tag}")
    return 1 if missing else 0


def _import(store: ImageStore, options: argparse.Namespace) -> None:
    from kogia.runtime.images.archive import import_archive

    source: Any = sys.stdin.buffer if options.source == "-" else Path(options.source)
    for record in import_archive(store, source, name=options.tag):
        for name in record.names or [record.id]:
            print(f"Loaded image: {name}")


def _build(store: ImageStore, options: argparse.Namespace) -> None:
    from kogia.runtime.images.build import build_rootfs, busybox

    files = busybox() if options.busybox else []
    files += _entries(options)
    if options.directory is None and not files:
        raise ValueError("nothing to put into the image: give a DIRECTORY, --file, --text or --busybox")
    record = build_rootfs(store, options.image, directory=options.directory, files=files, run=_run_config(options))
    print(f"Built image: {record.names[-1]} {record.id}")


def _run_config(options: argparse.Namespace) -> RunConfig:
    from kogia.runtime.images.build import RunConfig

    given: dict[str, Any] = {
        "entrypoint": options.entrypoint,
        "cmd": options.cmd,
        "ports": options.port,
        "workdir": options.workdir,
        "user": options.user,
        "stop_signal": options.stop_signal,
        "labels": [_pair(label, "=") for label in options.label],
    }
    path = list(RunConfig().env) if not any(e.startswith("PATH=") for e in options.env) else []
    return RunConfig(env=[*path, *options.env], **given)


def _entries(options: argparse.Namespace) -> list[Entry]:
    from kogia.runtime.images.build import Entry

    found = []
    for text in options.file:
        source, path = _pair(text, ":")
        path, _, mode = path.partition(":")
        found.append(Entry(path, source=os.path.abspath(source), mode=int(mode, 8) if mode else 0))
    for text in options.text:
        path, content = _pair(text, "=")
        found.append(Entry(path, content=content.encode()))
    for text in options.link:
        path, target = _pair(text, ":")
        found.append(Entry(path, link=target))
    return found


def _pair(text: str, separator: str) -> tuple[str, str]:
    left, found, right = text.partition(separator)
    if not found or not left or not right:
        raise ValueError(f"{text!r}: expected two parts with {separator!r} between")
    return left, right
