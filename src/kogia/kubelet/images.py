"""Getting a container's image: policy, credentials, and the words of the events. Neighbour: pod_actions.py.

Source: kubelet pkg/kubelet/images image_manager.go, credentialprovider keyring.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kogia.base.clock import Clock
from kogia.base.tasks import TaskOwner
from kogia.cri import types as t
from kogia.cri.errors import CriError
from kogia.cri.interface import ImageService

Obj = dict[str, Any]
Emit = Callable[[str, str, str], None]  #: type, reason, message

PROGRESS_AFTER_S = 5.0  #: a pull that lasts longer says how far it is
PROGRESS_EVERY_S = 10.0

_NAME = re.compile(
    r"^(?:[A-Za-z0-9.\-]+(?::\d+)?/|\[[0-9a-fA-F:]+\](?::\d+)?/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*(?::[\w][\w.\-]{0,127})?(?:@[a-z0-9+._-]+:[0-9a-fA-F]{32,})?$"
)
_ID = re.compile(r"^(sha256:)?[0-9a-f]{64}$")


class ImageError(Exception):
    """`reason` is the container's waiting reason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def default_policy(container: Obj) -> str:
    """imagePullPolicy, or what the API would have filled in."""
    policy = container.get("imagePullPolicy")
    if policy:
        return str(policy)
    image = container.get("image", "")
    tag = image.rsplit("/", 1)[-1]
    return "Always" if "@" not in image and (":" not in tag or tag.endswith(":latest")) else "IfNotPresent"


def pull_duration(seconds: float) -> str:
    """As Go prints it, to the millisecond: `153ms`, `1.234s`, `1m2.5s`."""
    millis = round(seconds * 1000)
    if millis < 1000:
        return f"{millis}ms"
    minutes, rest = divmod(millis, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{text}" if minutes else text


def registry_of(image: str) -> str:
    first = image.split("/", 1)[0]
    return first if "/" in image and ("." in first or ":" in first or first == "localhost") else "docker.io"


def credentials(image: str, secrets: Sequence[Obj]) -> list[t.AuthConfig]:
    """Those of the imagePullSecrets that fit the image's registry, in order."""
    registry = registry_of(image)
    found = []
    for secret in secrets:
        data: Mapping[str, str] = secret.get("data") or {}
        raw = data.get(".dockerconfigjson") or data.get(".dockercfg")
        if not raw:
            continue
        try:
            parsed = json.loads(base64.b64decode(raw))
            auths = parsed.get("auths", {}) if ".dockerconfigjson" in data else parsed
            for server, entry in auths.items():
                host = server.removeprefix("https://").removeprefix("http://").split("/")[0]
                if host in ("index.docker.io", "registry-1.docker.io"):
                    host = "docker.io"
                if host == registry:
                    found.append(_auth(server, entry))
        except (ValueError, AttributeError):
            continue
    return found


def _auth(server: str, entry: Obj) -> t.AuthConfig:
    user, password = entry.get("username", ""), entry.get("password", "")
    if not user and entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return t.AuthConfig(username=user, password=password, server_address=server, identity_token=entry.get("identitytoken", ""))


async def ensure_image(images: ImageService, container: Obj, auths: Sequence[t.AuthConfig], emit: Emit, clock: Clock) -> t.Image:
    """The image, present. Errors: ImageError."""
    image = container.get("image") or ""
    if not _NAME.match(image) and not _ID.match(image):
        why = f'couldn\'t parse image name "{image}": invalid reference format'
        emit("Warning", "InspectFailed", f'Failed to apply default image tag "{image}": {why}')
        raise ImageError("InvalidImageName", f'Failed to apply default image tag "{image}": {why}')
    policy = default_policy(container)
    spec = t.ImageSpec(image=image)
    try:
        present = None if policy == "Always" else await images.image_status(spec)
        if present is not None:
            emit("Normal", "Pulled", f'Container image "{image}" already present on machine and can be accessed by the pod')
            return present
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            emit("Warning", "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message)
        return await _pull(images, spec, auths, emit, clock)
    except CriError as error:
        emit("Warning", "Failed", f'Failed to pull image "{image}": {error.message}')
        raise ImageError("ErrImagePull", error.message) from error


@asynccontextmanager
async def _telling(images: ImageService, image: str, emit: Emit, clock: Clock) -> AsyncIterator[None]:
    """While the body runs, and only then: how far the pull is, in events of their own. The last words are not repeated: nothing new, no event."""

    async def tell() -> None:
        said = None
        await clock.sleep(PROGRESS_AFTER_S)
        while True:
            progress = images.pull_progress(image)
            if progress is not None and progress != said:
                said = progress
                emit("Normal", "Pulling", f'Pulling image "{image}": {progress}')
            await clock.sleep(PROGRESS_EVERY_S)

    teller = TaskOwner("pull-progress")
    teller.spawn(image, tell())
    try:
        yield
    finally:
        await teller.close()


async def _pull(images: ImageService, spec: t.ImageSpec, auths: Sequence[t.AuthConfig], emit: Emit, clock: Clock) -> t.Image:
    """With each credential in turn, or without any. Errors: CriError of the last try, ImageError."""
    emit("Normal", "Pulling", f'Pulling image "{spec.image}"')
    began = clock.monotonic()
    ref, failure = "", None
    tries: list[t.AuthConfig | None] = [*auths] or [None]
    async with _telling(images, spec.image, emit, clock):
        for auth in tries:
            try:
                ref = await images.pull_image(spec, auth)
                break
            except CriError as error:
                failure = error
    if not ref and failure is not None:
        raise failure
    took = pull_duration(clock.monotonic() - began)
    pulled = await images.image_status(spec) or await images.image_status(t.ImageSpec(image=ref))
    if pulled is None:
        raise ImageError("ErrImagePull", f'image "{spec.image}" vanished after it was pulled')
    emit("Normal", "Pulled", f'Successfully pulled image "{spec.image}" in {took} ({took} including waiting). Image size: {pulled.size} bytes.')
    return pulled
