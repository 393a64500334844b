"""JSON merge patch (RFC 7386): objects merge, null deletes, everything else replaces."""

from __future__ import annotations

from typing import Any

from kogia.api.jsoncopy import deep_copy, too_deep
from kogia.api.kinds import Obj
from kogia.api.status import bad_request


def merge_patch(doc: Obj, patch: Any) -> Obj:
    """`doc` with `patch` merged in, as a new object.

    Errors: 400 BadRequest when the patch is no JSON object.
    Source: RFC 7386; k8s.io/apiserver handlers/patch.go (jsonPatcher).
    """
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
                          if isinstance(patch, list) else "Invalid JSON Patch")
    if too_deep(patch):
        raise bad_request("error decoding patch: exceeded max depth")
    merged: Obj = _merge(doc, patch)
    return merged


def _merge(target: Any, patch: dict[str, Any]) -> dict[str, Any]:
    result = {k: (v if k in patch else deep_copy(v)) for k, v in target.items()} if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merge(result.get(key), value)
        else:
            result[key] = deep_copy(value)
    return result
