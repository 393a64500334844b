"""Between versions of one stored kind. Most kinds have one version, and then only apiVersion and kind are set."""

from __future__ import annotations

from typing import Any

from kogia.api.kinds import ResourceInfo

Obj = dict[str, Any]


def convert(obj: Obj, to: ResourceInfo) -> Obj:
    """`obj` as an object of `to`'s version: a new top-level dict that may share parts with `obj`; `obj` itself is not changed."""
    return {**obj, "apiVersion": to.api_version, "kind": to.kind}
