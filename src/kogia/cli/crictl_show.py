"""What `kogia crictl` shows: ps, pods, images, stats, inspect*, version, info.

Tables are crictl's: columns at least 20 wide, three blanks between; JSON is protobuf's, with times as RFC 3339. Neighbour: crictl.py.
Source: cri-tools cmd/crictl (container.go, sandbox.go, image.go, stats.go, util.go).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kogia.cri import types as t
from kogia.cri.errors import Code, CriError

if TYPE_CHECKING:
    from kogia.cri.grpc.client import CriClient
    from kogia.cri.interface import ImageService

TRUNCATED = 13
TIMES = ("createdAt", "startedAt", "finishedAt")
CONTAINER_STATES = {"created": 0, "running": 1, "exited": 2, "unknown": 3}
POD_STATES = {"ready": 0, "notready": 1}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as crictl's tabwriter lays them out."""
    widths = [max(20, *(len(row[i]) + 3 for row in rows)) for i in range(len(rows[0]))]
    return "\n".join("".join(c if i == len(row) - 1 else c.ljust(widths[i]) for i, c in enumerate(row)) for row in rows)


def ago(created_ns: int, now: float | None = None) -> str:
    """`About a minute ago`, `3 hours ago`: Go's units.HumanDuration."""
    seconds = int((now if now is not None else time.time()) - created_ns / 1e9)
    minutes, hours = seconds // 60, round(seconds / 3600)
    if seconds < 1:
        text = "Less than a second"
    elif seconds == 1:
        text = "1 second"
    elif seconds < 60:
        text = f"{seconds} seconds"
    elif minutes == 1:
        text = "About a minute"
    elif minutes < 60:
        text = f"{minutes} minutes"
    elif hours == 1:
        text = "About an hour"
    elif hours < 48:
        text = f"{hours} hours"
    elif hours < 24 * 14:
        text = f"{hours // 24} days"
    elif hours < 24 * 60:
        text = f"{hours // 24 // 7} weeks"
    elif hours < 24 * 365 * 2:
        text = f"{hours // 24 // 30} months"
    else:
        text = f"{hours // 24 // 365} years"
    return text + " ago"


def human_size(count: float) -> str:
    """`4.26MB`: three significant digits, powers of 1000."""
    unit = 0
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    while count >= 1000 and unit < len(units) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.3g}{units[unit]}" if count < 1000 else f"{count:.0f}{units[unit]}"


def short(identity: str, whole: bool = False) -> str:
    """The first 13 characters of an id, without `sha256:`."""
    return identity if whole else identity.removeprefix("sha256:")[:TRUNCATED]


def labels_of(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"incorrectly specified label: {pair}")
        found[key] = value
    return found


# -- lists ---------------------------------------------------------------------------------------------------------------


async def ps(client: CriClient, options: argparse.Namespace) -> None:
    from kogia.cri.grpc.descriptors import message

    wanted = t.ContainerFilter(label_selector=labels_of(options.label))
    if options.state:
        wanted.state = t.ContainerState(_state(options.state, CONTAINER_STATES))
    elif not (options.all or options.latest or options.last):
        wanted.state = t.ContainerState.CONTAINER_RUNNING
    containers = [c for c in await client.list_containers(wanted) if c.id.startswith(options.id) and c.pod_sandbox_id.startswith(options.pod)]
    pods = {pod.id: pod.metadata for pod in await client.list_pod_sandbox()}
    nobody = t.PodSandboxMetadata()
    containers = [c for c in containers if _names(options, c.metadata.name, pods.get(c.pod_sandbox_id, nobody).namespace)]
    if options.image:
        image = await client.image_status(t.ImageSpec(image=options.image))
        known = {options.image, *([image.id, *image.repo_tags, *image.repo_digests] if image else [])}
        containers = [c for c in containers if known & {c.image.image, c.image_ref, c.image_id}]
    containers = _newest(containers, options)
    if options.quiet:
        _ids([c.id for c in containers])
    elif options.output != "table":
        await _dump_list(containers, "Container", "containers", options.output, message)
    elif options.verbose:
        for c in containers:
            pod = pods.get(c.pod_sandbox_id, nobody)
            meta = c.metadata
            full = f"k8s_{meta.name}_{pod.name}_{pod.namespace}_{pod.uid}_{meta.attempt}"
            head = [("ID", c.id), ("PodID", c.pod_sandbox_id), ("Namespace", pod.namespace), ("Name", meta.name), ("Attempt", str(meta.attempt))]
            state = c.state.name.removeprefix("CONTAINER_").capitalize()
            _verbose([*head, ("FullName", full), ("State", state), ("Created", ago(c.created_at))], c.labels, c.annotations)
    else:
        rows = [["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE"]]
        for c in containers:
            image_text = c.image.user_specified_image or c.image.image
            image_text = short(image_text, options.no_trunc) if image_text.startswith("sha256:") else image_text
            pod = pods.get(c.pod_sandbox_id, nobody)
            rows.append([
                short(c.id, options.no_trunc), image_text, ago(c.created_at), c.state.name.removeprefix("CONTAINER_").capitalize(),
                c.metadata.name, str(c.metadata.attempt), short(c.pod_sandbox_id, options.no_trunc), pod.name or "unknown", pod.namespace or "unknown",
            ])  # fmt: skip
        print(table(rows))


async def pods(client: CriClient, options: argparse.Namespace) -> None:
    from kogia.cri.grpc.descriptors import message

    wanted = t.PodSandboxFilter(label_selector=labels_of(options.label))
    if options.state:
        wanted.state = t.PodSandboxState(_state(options.state, POD_STATES))
    found = [p for p in await client.list_pod_sandbox(wanted) if p.id.startswith(options.id)]
    found = _newest([p for p in found if _names(options, p.metadata.name, p.metadata.namespace)], options)
    if options.quiet:
        _ids([p.id for p in found])
    elif options.output != "table":
        await _dump_list(found, "PodSandbox", "items", options.output, message)
    elif options.verbose:
        for p in found:
            meta = p.metadata
            full = f"k8s_POD_{meta.name}_{meta.namespace}_{meta.uid}_{meta.attempt}"
            head = [("ID", p.id), ("Name", meta.name), ("UID", meta.uid), ("Namespace", meta.namespace), ("Attempt", str(meta.attempt))]
            state = "Ready" if p.state == t.PodSandboxState.SANDBOX_READY else "NotReady"
            _verbose([*head, ("FullName", full), ("Status", state), ("Created", ago(p.created_at))], p.labels, p.annotations)
    else:
        rows = [["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"]]
        for p in found:
            state = "Ready" if p.state == t.PodSandboxState.SANDBOX_READY else "NotReady"
            meta = p.metadata
            rows.append([
                short(p.id, options.no_trunc), ago(p.created_at), state, meta.name, meta.namespace, str(meta.attempt),
                p.runtime_handler or "(default)",
            ])  # fmt: skip
        print(table(rows))


async def images(client: ImageService, options: argparse.Namespace) -> None:
    from kogia.cri.grpc.descriptors import message

    found = sorted(await client.list_images(options.repository), key=lambda i: (i.repo_tags or i.repo_digests or [i.id])[0])
    if options.quiet:
        _ids([i.id for i in found])
    elif options.output != "table":
        await _dump_list(found, "Image", "images", options.output, message)
    elif options.verbose:
        for image in found:
            names = [("RepoTags", tag) for tag in image.repo_tags] + [("RepoDigests", digest) for digest in image.repo_digests]
            user = image.username or (str(image.uid.value) if image.uid else "")
            _verbose([("ID", image.id), *names, ("Size", human_size(image.size)), *([("User", user)] if user else [])], {}, {})
    else:
        rows = [["IMAGE", "TAG", *(["DIGEST"] if options.digests else []), "IMAGE ID", "SIZE"]]
        for image in found:
            digest = next((d.partition("@")[2] for d in image.repo_digests), "<none>")
            digest = digest if options.no_trunc or digest == "<none>" else short(digest)
            bare = image.repo_digests[0].partition("@")[0] if image.repo_digests else "<none>"
            for name in image.repo_tags or [f"{bare}:<none>"]:
                repository, _, tag = name.rpartition(":")
                middle = [digest] if options.digests else []
                rows.append([repository, tag, *middle, short(image.id, options.no_trunc), human_size(image.size)])
        print(table(rows))


async def stats(client: CriClient, options: argparse.Namespace) -> None:
    from kogia.cri.grpc.descriptors import message

    wanted = t.ContainerStatsFilter(label_selector=labels_of(options.label))
    prefix = options.id or options.id_filter
    if options.pod:
        wanted.pod_sandbox_id = next((p.id for p in await client.list_pod_sandbox() if p.id.startswith(options.pod)), options.pod)
    before = {s.id: s for s in await client.list_container_stats(wanted)}
    await asyncio.sleep(max(options.seconds, 0.01))
    after = [s for s in await client.list_container_stats(wanted) if s.id.startswith(prefix)]
    if options.output != "table":
        await _dump_list(after, "ContainerStats", "stats", options.output, message)
        return
    rows = [["CONTAINER", "NAME", "CPU %", "MEM", "DISK", "INODES"]]
    for s in sorted(after, key=lambda s: s.id):
        old = before.get(s.id, s)
        span = s.timestamp - old.timestamp
        share = (s.cpu_usage_core_nanoseconds - old.cpu_usage_core_nanoseconds) / span * 100 if span > 0 else 0.0
        rows.append([
            short(s.id, options.no_trunc), s.metadata.name, f"{share:.2f}", human_size(s.memory_working_set_bytes),
            human_size(s.writable_layer_used_bytes), str(s.writable_layer_inodes_used),
        ])  # fmt: skip
    print(table(rows))


def _verbose(head: Sequence[tuple[str, str]], labels: dict[str, str], annotations: dict[str, str]) -> None:
    """One object as a block of lines, ended by an empty one."""
    for key, value in head:
        print(f"{key}: {value}")
    for title, pairs in (("Labels", labels), ("Annotations", annotations)):
        if pairs:
            print(f"{title}:")
            for key in sorted(pairs):
                print(f"\t{key} -> {pairs[key]}")
    print()


def _state(text: str, states: dict[str, int]) -> int:
    if text.lower() not in states:
        raise ValueError(f"invalid state {text!r}: use one of {', '.join(states)}")
    return states[text.lower()]


def _names(options: argparse.Namespace, name: str, namespace: str) -> bool:
    try:
        return bool(re.search(options.name_filter, name) and re.search(options.namespace, namespace))
    except re.error as error:
        raise ValueError(f"invalid regular expression: {error}") from None


def _newest(found: list[Any], options: argparse.Namespace) -> list[Any]:
    found = sorted(found, key=lambda item: item.created_at, reverse=True)
    count = 1 if options.latest else options.last
    return found[:count] if count > 0 else found


def _ids(ids: Sequence[str]) -> None:
    for identity in ids:
        print(identity.removeprefix("sha256:") if identity.startswith("sha256:") else identity)


async def _dump_list(found: list[Any], kind: str, key: str, output: str, message: Any) -> None:
    from kogia.cri.grpc.codec import encode

    dump({key: [as_dict(encode(item, message(kind)())) for item in found]}, output)


# -- one thing -----------------------------------------------------------------------------------------------------------


def as_dict(message: Any) -> dict[str, Any]:
    """protobuf's JSON with every field written out."""
    from google.protobuf.json_format import MessageToDict

    return dict(MessageToDict(message, always_print_fields_with_no_presence=True))


def with_times(status: dict[str, Any]) -> dict[str, Any]:
    """Nanoseconds as RFC 3339, as crictl shows them in a status."""
    for key in TIMES:
        if key in status:
            whole, nanos = divmod(int(status[key]), 1_000_000_000)
            fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
            year = "0001-01-01T00:00:00" if int(status[key]) == 0 else time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
            status[key] = f"{year}{fraction}Z"
    return status


def dump(document: Any, output: str) -> None:
    if output == "yaml":
        import yaml

        yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True)
    else:
        print(json.dumps(document, indent=2, ensure_ascii=False))


def _info(info: Any) -> dict[str, Any]:
    """Each value as the JSON it holds, else as text."""
    found = {}
    for key, value in dict(info).items():
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


async def inspect(client: CriClient, options: argparse.Namespace) -> int:
    from kogia.cli.crictl_do import container_id

    ids = options.ids or [c.id for c in await client.list_containers()]
    return await _inspect(options, [await container_id(client, i) for i in ids], client, "ContainerStatus", "container_id")


async def inspectp(client: CriClient, options: argparse.Namespace) -> int:
    from kogia.cli.crictl_do import sandbox_id

    ids = options.ids or [p.id for p in await client.list_pod_sandbox()]
    return await _inspect(options, [await sandbox_id(client, i) for i in ids], client, "PodSandboxStatus", "pod_sandbox_id")


async def _inspect(options: argparse.Namespace, ids: list[str], client: CriClient, method: str, field: str) -> int:
    documents = []
    for identity in ids:
        answer = await client.call("RuntimeService", method, **{field: identity, "verbose": not options.quiet})
        documents.append({"info": _info(answer.info), "status": with_times(as_dict(answer.status))})
    _print_documents(documents, options.output)
    return 0


async def inspecti(client: CriClient, options: argparse.Namespace) -> int:
    documents = []
    for name in options.ids or [i.id for i in await client.list_images()]:
        answer = await client.call("ImageService", "ImageStatus", image=t.ImageSpec(image=name), verbose=not options.quiet)
        if not answer.HasField("image"):
            raise CriError(Code.NOT_FOUND, f'no such image "{name}" present')
        documents.append({"info": _info(answer.info), "status": as_dict(answer.image)})
    _print_documents(documents, options.output)
    return 0


def _print_documents(documents: list[dict[str, Any]], output: str) -> None:
    if output == "table":
        for document in documents:
            for key, value in document["status"].items():
                print(f"{key[0].upper()}{key[1:]}: {value if isinstance(value, str | int) else json.dumps(value)}")
    else:
        dump(documents[0] if len(documents) == 1 else documents, output)


async def version(client: CriClient, options: argparse.Namespace) -> None:
    found = await client.version()
    print(f"Version:  {found.version}\nRuntimeName:  {found.runtime_name}")
    print(f"RuntimeVersion:  {found.runtime_version}\nRuntimeApiVersion:  {found.runtime_api_version}")


async def info(client: CriClient, options: argparse.Namespace) -> None:
    answer = await client.call("RuntimeService", "Status", verbose=not options.quiet)
    document = as_dict(answer)
    document.pop("info", None)
    dump({**document, **_info(answer.info)}, options.output)


async def imagefsinfo(client: CriClient, options: argparse.Namespace) -> None:
    answer = await client.call("ImageService", "ImageFsInfo")
    dump({"status": as_dict(answer)}, "json" if options.output == "table" else options.output)
