"""What is true of most kinds: who owns `status`, when `generation` rises, how metadata is checked, which fields select.

Kinds override the class attributes and the small hooks (`check`, `check_change`, `fields`, …) rather than the Strategy methods.
Invariants: `old` and whatever is carried over from it is frozen (the new object shares it, nobody may change it in place);
`default` touches only what is unset and calling it twice changes nothing.

Source: k8s.io/apiserver registry/rest (BeforeCreate, BeforeUpdate) and the strategies of kubernetes pkg/registry.
"""

from __future__ import annotations

from typing import Any

from kogia.api import names
from kogia.api.kinds import ResourceInfo
from kogia.api.meta import validate_object_meta, validate_object_meta_update
from kogia.api.names import Check
from kogia.api.status import FieldError

Obj = dict[str, Any]

_ENVELOPE = frozenset(("apiVersion", "kind", "metadata"))
#: writes of these subresources do not count as a new generation
_NO_GENERATION = frozenset(("status", "binding", "approval"))


class KindStrategy:
    """Rules of one kind (see `kogia.api.kinds.Strategy`); as it stands, the rules of a kind without rules of its own."""

    graceful_deletion = False
    unconditional_update = True
    create_on_update = False
    drops_status_on_create = True
    has_generation = False  #: whether metadata.generation counts changes of the specification
    status_keeps_labels = False  #: whether a status write leaves labels as they were
    status_subresources: frozenset[str] = frozenset()  #: further subresources whose writes reach the status, by way of `on_update`
    field_labels: frozenset[str] = frozenset()  #: field labels beside metadata.name and metadata.namespace

    #: how the kind's names must look; called with the bare name (also with what a generateName will look like)
    name_check: Check = staticmethod(names.dns1123_subdomain)

    def __init__(self, resource: ResourceInfo) -> None:
        self.resource = resource
        self.has_status = resource.subresource("status") is not None

    # -- defaults and preparation

    def default(self, obj: Obj) -> None:
        """Fill in unset fields as Kubernetes does."""

    def prepare_create(self, obj: Obj) -> None:
        """Drop the status a creator may not set, start counting generations, then the kind's own `on_create`."""
        if self.has_status and self.drops_status_on_create:
            obj["status"] = {}
        if self.has_generation:
            obj["metadata"]["generation"] = 1
        self.on_create(obj)

    def on_create(self, obj: Obj) -> None:
        """Kind's own part of `prepare_create`."""

    def prepare_update(self, obj: Obj, old: Obj, subresource: str) -> None:
        """Carry over what this write may not change, and count the generation."""
        metadata, before = obj["metadata"], old["metadata"]
        keep(metadata, before, "generation")
        if subresource == "status":
            for key in set(obj) | set(old):
                if key not in _ENVELOPE and key != "status":
                    keep(obj, old, key)
            if self.status_keeps_labels:
                keep(metadata, before, "labels")
        elif self.has_status and subresource not in self.status_subresources:
            keep(obj, old, "status")
        self.on_update(obj, old, subresource)
        if self.has_generation and subresource not in _NO_GENERATION and self.counts_as_change(obj, old):
            metadata["generation"] = int(before.get("generation") or 0) + 1

    def on_update(self, obj: Obj, old: Obj, subresource: str) -> None:
        """Kind's own part of `prepare_update`, before the generation is counted."""

    def counts_as_change(self, obj: Obj, old: Obj) -> bool:
        """Whether `generation` rises: by default when anything but metadata and status differs."""
        return any(obj.get(key) != old.get(key) for key in set(obj) | set(old) if key not in _ENVELOPE and key != "status")

    # -- validation

    def validate_create(self, obj: Obj) -> list[FieldError]:
        return validate_object_meta(obj["metadata"], self.resource.namespaced, self.name_check) + self.check_new(obj)

    def validate_update(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        errors = validate_object_meta_update(obj["metadata"], old["metadata"])
        if subresource == "status":
            return errors + self.check_status(obj, old)
        return errors + self.check(obj) + self.check_change(obj, old, subresource)

    def check_new(self, obj: Obj) -> list[FieldError]:
        """Rules on an object being created, metadata aside; by default those of `check`."""
        return self.check(obj)

    def check(self, obj: Obj) -> list[FieldError]:
        """Rules on the object as it stands, metadata aside."""
        return []

    def check_change(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]:
        """Rules on what an update (not of status) may change, metadata aside."""
        return []

    def check_status(self, obj: Obj, old: Obj) -> list[FieldError]:
        """Rules on a write of the status subresource, metadata aside."""
        return []

    # -- selection and warnings

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        metadata = obj.get("metadata") or {}
        found = {"metadata.name": metadata.get("name", "")}
        if self.resource.namespaced:
            found["metadata.namespace"] = metadata.get("namespace", "")
        if self.field_labels:
            found.update(self.fields(obj))
        return found

    def fields(self, obj: Obj) -> dict[str, str]:
        """Values of `field_labels`."""
        return {}

    def supports_field(self, label: str) -> bool:
        """Whether a fieldSelector may name `label`; otherwise the answer is 400 `field label not supported: <label>`."""
        return label in ("metadata.name", "metadata.namespace") or label in self.field_labels

    def warnings(self, obj: Obj) -> list[str]:
        return []


def keep(obj: Obj, old: Obj, key: str) -> None:
    """Give `obj[key]` the value it has in `old`, or none if it has none there."""
    if key in old:
        obj[key] = old[key]
    else:
        obj.pop(key, None)
