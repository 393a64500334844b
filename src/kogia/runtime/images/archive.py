"""Images from archives: OCI layouts (directory, tar) and what `docker save` writes; plain, gzip or zstd; from a file or a pipe.

The archive is read once, its regular files spooled under the store's ingest directory by number (their names are only looked
up, never used as paths). Blocking; run it in a thread. Sources: OCI image-layout.md; moby image/tarexport.
"""

from __future__ import annotations

import io
import json
import os
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from kogia.cri import reference
from kogia.runtime.images import platforms
from kogia.runtime.images.content import digest_of
from kogia.runtime.images.layers import MAX_LAYER_BYTES, BadLayer, plain_blocks
from kogia.runtime.images.store import ImageRecord, ImageStore

METADATA_LIMIT = 8 << 20  #: bytes of a manifest, index or configuration
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class BadArchive(ValueError):
    """Not an image archive, or a broken one."""


class _Files:
    """The archive's regular files by name, wherever they lie."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}
        self.links: dict[str, str] = {}

    def open(self, name: str) -> BinaryIO:
        name = _normal(name)
        for _ in range(8):
            if name not in self.links:
                break
            name = _normal(posixpath.join(posixpath.dirname(name), self.links[name]))
        if name not in self.paths:
            raise BadArchive(f"{name} is missing from the archive")
        return open(self.paths[name], "rb")

    def has(self, name: str) -> bool:
        return name in self.paths or name in self.links

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            data = file.read(METADATA_LIMIT + 1)
        if len(data) > METADATA_LIMIT:
            raise BadArchive(f"{name} is too large")
        return data

    def json(self, name: str) -> Any:
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise BadArchive(f"{name}: {error}") from None


def import_archive(store: ImageStore, source: str | Path | BinaryIO, *, name: str = "") -> list[ImageRecord]:
    """Bring in every image of this platform in `source` (a path, a directory with an OCI layout, or a stream).

    `name` names the image if the archive holds one; else images keep the names the archive gives them. Returns the records.
    Errors: BadArchive, BadLayer, InvalidReference, OSError.
    """
    stem = Path(source).name.split(".")[0].lower() if isinstance(source, str | Path) else "imported"
    with store.busy(), _spooled(store, source) as files:
        if files.has("index.json") and files.has("oci-layout"):
            found = list(_oci(store, files))
        elif files.has("manifest.json"):
            found = list(_docker(store, files))
        else:
            raise BadArchive("unrecognized image format: neither an OCI layout nor a docker archive")
        if not found:
            raise BadArchive(f"the archive has no image for {platforms.text(platforms.here())}")
        if name and len(found) > 1:
            raise BadArchive(f"the archive holds {len(found)} images: they cannot all be called {name}")
        return [_register(store, image, name, stem) for image in found]


class _Found:
    def __init__(self, manifest: bytes, config: bytes, names: list[str], size: int, real: bool) -> None:
        self.manifest, self.config, self.names, self.size, self.real = manifest, config, names, size, real


def _register(store: ImageStore, image: _Found, name: str, stem: str) -> ImageRecord:
    record = None
    for wanted in [name] if name else image.names or [""]:
        parsed = _named(wanted, stem)
        digest = str(parsed.with_digest(digest_of(image.manifest))) if image.real else ""
        if record is None:
            record = store.add(manifest=image.manifest, config=image.config, name=str(parsed), digest=digest, size=image.size)
        else:
            record = store.tag(record.id, str(parsed), digest)
    assert record is not None
    return record


def _named(wanted: str, stem: str) -> reference.Reference:
    """A full name as it is; a bare tag (as umoci and skopeo write into layouts) under `localhost/<archive's name>`."""
    if wanted and ("/" in wanted or ":" in wanted):
        return reference.parse(wanted).with_default_tag()
    safe = "".join(c if c.isalnum() and c.isascii() else "-" for c in stem).strip("-") or "imported"
    return reference.parse(f"localhost/{safe}:{wanted or 'latest'}")


# -- OCI layout ----------------------------------------------------------------------------------------------------------


def _oci(store: ImageStore, files: _Files) -> Iterator[_Found]:
    by_config = _docker_names(files)
    for descriptor, names in _manifests(files, files.json("index.json"), [], 0):
        manifest = _blob(files, descriptor)
        document = json.loads(manifest)
        config = _blob(files, document["config"])
        names = names or by_config.get(document["config"]["digest"], [])
        sources = [_blob_name(layer["digest"]) for layer in document["layers"]]
        size = _add_layers(store, files, config, sources)
        yield _Found(manifest, config, names, size + len(manifest) + len(config), real=True)


def _manifests(files: _Files, index: Any, names: list[str], depth: int) -> Iterator[tuple[dict[str, Any], list[str]]]:
    if depth > 3:
        raise BadArchive("indexes nested too deeply")
    candidates = []
    for descriptor in index.get("manifests") or ():
        annotations = descriptor.get("annotations") or {}
        own = next(([annotations[key]] for key in NAME_ANNOTATIONS if annotations.get(key)), names)
        if descriptor.get("mediaType") in platforms.INDEX_TYPES:
            inner = json.loads(_blob(files, descriptor))
            yield from _manifests(files, inner, own, depth + 1)
        elif annotations.get("vnd.docker.reference.type") != "attestation-manifest":
            candidates.append((descriptor, own))
    if depth == 0:  # a layout's own index lists images; below it, an index lists one image's platforms
        yield from (c for c in candidates if not c[0].get("platform") or platforms.matches(c[0]["platform"]))
    elif candidates:
        best = platforms.choose([c[0] for c in candidates])
        yield from (c for c in candidates if c[0] is best)


def _blob_name(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _blob(files: _Files, descriptor: dict[str, Any]) -> bytes:
    data = files.read(_blob_name(descriptor["digest"]))
    if digest_of(data) != descriptor["digest"]:
        raise BadArchive(f"blob {descriptor['digest']} does not match its digest")
    return data


# -- docker save ---------------------------------------------------------------------------------------------------------


def _docker_names(files: _Files) -> dict[str, list[str]]:
    if not files.has("manifest.json"):
        return {}
    return {digest_of(files.read(item["Config"])): list(item.get("RepoTags") or []) for item in files.json("manifest.json")}


def _docker(store: ImageStore, files: _Files) -> Iterator[_Found]:
    for item in files.json("manifest.json"):
        config = files.read(item["Config"])
        size = _add_layers(store, files, config, list(item.get("Layers") or []))
        diff_ids = json.loads(config)["rootfs"]["diff_ids"]
        document = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "digest": diff_id} for diff_id in diff_ids],
        }
        manifest = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        yield _Found(manifest, config, list(item.get("RepoTags") or []), size + len(config), real=False)


# -- both ----------------------------------------------------------------------------------------------------------------


def _add_layers(store: ImageStore, files: _Files, config: bytes, sources: list[str]) -> int:
    """Unpack the layers of one image; returns their size as they lie in the archive."""
    diff_ids = platforms.diff_ids(config)
    if len(diff_ids) != len(sources):
        raise BadArchive("mismatched image rootfs and manifest layers")
    parents: list[str] = []
    size = 0
    for diff_id, source in zip(diff_ids, sources, strict=True):
        with files.open(source) as file:
            size += os.fstat(file.fileno()).st_size
            parents.append(store.layers.add(file, diff_id, parents).chain_id)
    return size


@contextmanager
def _spooled(store: ImageStore, source: str | Path | BinaryIO) -> Iterator[_Files]:
    if isinstance(source, str | Path) and Path(source).is_dir():
        files = _Files()
        for folder, _, names in os.walk(source):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    files.paths[_normal(os.path.relpath(path, source))] = path
        yield files
        return
    folder = tempfile.mkdtemp(prefix="import-", dir=store.ingest)
    try:
        if isinstance(source, str | Path):
            with open(source, "rb") as file:
                yield _spool(file, folder)
        else:
            yield _spool(source, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Blocks(io.RawIOBase):
    """The decompressed archive as a file, for tarfile's stream mode."""

    def __init__(self, source: BinaryIO) -> None:
        self._blocks = plain_blocks(source, 4 * MAX_LAYER_BYTES)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        size = min(len(target), len(self._rest))
        target[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _spool(source: BinaryIO, folder: str) -> _Files:
    files = _Files()
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Blocks(source), 1 << 20), mode="r|") as archive:
            for number, member in enumerate(archive):
                if member.issym():
                    files.links[_normal(member.name)] = member.linkname
                elif member.islnk():
                    files.links[_normal(member.name)] = posixpath.relpath(
                        _normal(member.linkname), posixpath.dirname(_normal(member.name)) or "."
                    )
                elif member.isreg() and (content := archive.extractfile(member)) is not None:
                    path = os.path.join(folder, str(number))
                    _copy(content, path)
                    files.paths[_normal(member.name)] = path
    except (tarfile.TarError, EOFError) as error:
        raise BadArchive(f"not an image archive: {error}") from None
    except BadLayer as error:
        raise BadArchive(f"not an image archive: {error}") from None
    return files


def _copy(content: IO[bytes], path: str) -> None:
    with open(path, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


def _normal(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")
