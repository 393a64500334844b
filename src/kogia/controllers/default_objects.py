"""An object that every living namespace must have, recreated when deleted and mended when changed.

`serviceaccount.py` and `rootca.py` say which. Namespaces that are being deleted are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kogia.api.status import StatusError
from kogia.client.controller import Controller
from kogia.client.interface import Obj, Resource
from kogia.controllers.context import NAMESPACES, ControllerContext


@dataclass(frozen=True, slots=True)
class DefaultObject:
    controller: str
    resource: Resource
    name: str
    make: Callable[[str], Obj]  #: the object for a namespace
    mend: Callable[[Obj], Obj | None] = lambda obj: None  #: the object as it should be, None if it is


def default_object_controller(context: ControllerContext, wanted: DefaultObject) -> Controller:
    """Keys are namespace names."""
    client = context.client_for(wanted.controller)
    namespaces = context.informers.get(NAMESPACES)
    objects = context.informers.get(wanted.resource, field_selector=f"metadata.name={wanted.name}")

    async def reconcile(key: str) -> None:
        namespace = namespaces.get(key)
        if namespace is None or namespace["metadata"].get("deletionTimestamp"):
            return
        existing = objects.get(f"{key}/{wanted.name}")
        if existing is not None:
            mended = wanted.mend(existing)
            if mended is not None:
                await client.update(wanted.resource, mended)
            return
        try:
            await client.create(wanted.resource, wanted.make(key), key)
        except StatusError as error:
            terminating = any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)
            if error.reason not in ("AlreadyExists", "NotFound") and not terminating:
                raise

    controller = context.controller(wanted.controller, reconcile)
    controller.watch(namespaces)
    controller.watch(objects, lambda obj: (obj["metadata"]["namespace"],))
    return controller
