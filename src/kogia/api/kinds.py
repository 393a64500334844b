"""What the server must know of a kind to serve it: `ResourceInfo` rows, and the `Strategy` seam for per-kind rules.

`resources.py` fills the table of built-in kinds; `strategies` holds the rules. Custom resources will make rows of the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from kogia.api.status import FieldError

Obj = dict[str, Any]

STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    name: str  #: "status", "scale", "log", …
    kind: str  #: kind of the body, e.g. "Scale"
    group: str  #: group and version of the body ("" and "" = the parent's own)
    version: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = STANDARD_VERBS
    subresources: tuple[Subresource, ...] = ()
    stored: bool = True  #: False for review-like kinds that are answered and forgotten
    #: (group, version, kind) the objects are stored as, shared by all versions (and, for events, groups) of one kind
    storage: tuple[str, str, str] = ("", "", "")

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        return self.kind + "List"

    def subresource(self, name: str) -> Subresource | None:
        return next((s for s in self.subresources if s.name == name), None)


class Strategy(Protocol):
    """Per-kind rules, pure. Objects given to `default` and `prepare_*` are private copies and changed in place."""

    def default(self, obj: Obj) -> None:
        """Fill in what Kubernetes fills in; idempotent; never touches a set field. Applied to input and after mutating admission."""

    def prepare_create(self, obj: Obj) -> None:
        """Drop what a creator may not set (status where the kind has it), set generation and the like."""

    def prepare_update(self, obj: Obj, old: Obj, subresource: str) -> None:
        """Carry over what this kind of write may not change: spec on "status", status on ""; bump metadata.generation."""

    def validate_create(self, obj: Obj) -> list[FieldError]: ...

    def validate_update(self, obj: Obj, old: Obj, subresource: str) -> list[FieldError]: ...

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        """The field labels a fieldSelector may name, with this object's values; always has metadata.name (and metadata.namespace)."""

    def warnings(self, obj: Obj) -> list[str]:
        """Warning headers for a write, e.g. deprecated fields."""

    @property
    def graceful_deletion(self) -> bool:
        """True for Pods: DELETE first marks, and the node finishes."""

    @property
    def unconditional_update(self) -> bool:
        """Whether PUT without a resourceVersion is allowed."""

    @property
    def create_on_update(self) -> bool:
        """Whether PUT of an absent name creates it."""
