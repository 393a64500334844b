"""`metadata`: its rules (names, labels, annotations, owners, finalizers, immutable fields) and small helpers every controller needs.

Source: k8s.io/apimachinery pkg/api/validation/objectmeta.go, apis/meta/v1/validation, apiserver registry/rest and storage/names.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from kogia.api import names
from kogia.api.kinds import Obj
from kogia.api.names import Check
from kogia.api.status import FieldError, forbidden_field, invalid_value, not_supported, required, too_long

ANNOTATIONS_MAX_BYTES = 256 * 1024
FINALIZER_ORPHAN = "orphan"
FINALIZER_FOREGROUND = "foregroundDeletion"
IMMUTABLE = "field is immutable"
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_GENERATED_MAX = names.DNS_LABEL_MAX - _SUFFIX_LENGTH
_random = random.SystemRandom()
_good_keys: set[str] = set()
_good_values: set[str] = set()
_REMEMBERED = 20_000


def _remember(good: set[str], text: str) -> None:
    if len(good) >= _REMEMBERED:
        good.clear()
    good.add(text)


def generate_name(base: str) -> str:
    """`base` and five random characters that spell no words, cut to 63. Source: storage/names.SimpleNameGenerator."""
    return base[:_GENERATED_MAX] + "".join(_random.choices(_SUFFIX_ALPHABET, k=_SUFFIX_LENGTH))


def controller_of(obj: Obj) -> dict[str, Any] | None:
    """The owner reference whose `controller` is true, None when there is none."""
    for reference in (obj.get("metadata") or {}).get("ownerReferences") or ():
        if reference.get("controller"):
            found: dict[str, Any] = reference
            return found
    return None


def is_controlled_by(obj: Obj, owner: Obj) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == owner["metadata"].get("uid")


def owner_reference(owner: Obj, *, controller: bool = False, block_deletion: bool = False, api_version: str = "", kind: str = "") -> dict[str, Any]:
    """A reference to `owner`; api_version and kind fill in for objects from lists, which carry none."""
    meta = owner["metadata"]
    reference = {"apiVersion": owner.get("apiVersion") or api_version, "kind": owner.get("kind") or kind, "name": meta["name"], "uid": meta["uid"]}
    if controller:
        reference["controller"] = True
    if block_deletion:
        reference["blockOwnerDeletion"] = True
    return reference


def controller_reference(owner: Obj, *, api_version: str = "", kind: str = "") -> dict[str, Any]:
    """The reference a controller puts on what it makes. Source: metav1.NewControllerRef."""
    return owner_reference(owner, controller=True, block_deletion=True, api_version=api_version, kind=kind)


def has_owner(obj: Obj, uid: str) -> bool:
    return any(reference.get("uid") == uid for reference in (obj.get("metadata") or {}).get("ownerReferences") or ())


def is_being_deleted(obj: Obj) -> bool:
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def object_key(obj: Obj) -> str:
    """`namespace/name`, or `name` for cluster-scoped objects."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def validate_labels(labels: Any, path: str) -> list[FieldError]:
    """Keys are qualified names, values label values. Source: metav1validation.ValidateLabels."""
    errors: list[FieldError] = []
    for key, value in (labels or {}).items():
        if key not in _good_keys:
            problems = names.qualified_name(key)
            if problems:
                errors += [invalid_value(path, key, message) for message in problems]
            else:
                _remember(_good_keys, key)
        if value not in _good_values:
            problems = names.label_value(value)
            if problems:
                errors += [invalid_value(path, value, message) for message in problems]
            else:
                _remember(_good_values, value)
    return errors


def validate_annotations(annotations: Any, path: str) -> list[FieldError]:
    """Keys are qualified names in any case; all keys and values together fit 256 KiB. Source: ValidateAnnotations."""
    errors: list[FieldError] = []
    size = 0
    for key, value in (annotations or {}).items():
        if key not in _good_keys:
            problems = names.qualified_name(key.lower())
            if problems:
                errors += [invalid_value(path, key, message) for message in problems]
            elif key.islower():
                _remember(_good_keys, key)
        size += len(key) + len(value)
    if size > ANNOTATIONS_MAX_BYTES // 4 and sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > ANNOTATIONS_MAX_BYTES:
        errors.append(too_long(path, ANNOTATIONS_MAX_BYTES))
    return errors


def _validate_owner(reference: dict[str, Any], path: str) -> list[FieldError]:
    errors = []
    api_version = reference.get("apiVersion", "")
    if not api_version:
        errors.append(required(f"{path}.apiVersion", "must not be empty"))
    elif api_version.count("/") > 1 or api_version.endswith("/"):
        errors.append(invalid_value(f"{path}.apiVersion", api_version, "must be <group>/<version> or <version>"))
    for field in ("kind", "name", "uid"):
        if not reference.get(field):
            errors.append(required(f"{path}.{field}", "must not be empty"))
    if (api_version, reference.get("kind")) == ("v1", "Event"):
        errors.append(invalid_value(path, reference, "/v1, Kind=Event is disallowed from being an owner"))
    return errors


def validate_owner_references(references: Any, path: str) -> list[FieldError]:
    """Complete references, at most one controller. Source: ValidateOwnerReferences."""
    errors: list[FieldError] = []
    controller = ""
    for index, reference in enumerate(references or ()):
        errors += _validate_owner(reference, f"{path}[{index}]")
        if reference.get("controller"):
            name = f"{reference.get('kind', '')}/{reference.get('name', '')}"
            if controller:
                text = f'Only one reference can have Controller set to true. Found "true" in references for {controller} and {name}'
                errors.append(invalid_value(path, references, text))
            else:
                controller = name
    return errors


_STANDARD_FINALIZERS = ("kubernetes", FINALIZER_ORPHAN, FINALIZER_FOREGROUND)


def validate_finalizers(finalizers: Any, path: str) -> list[FieldError]:
    """Qualified names, with a domain unless Kubernetes' own; orphaning and foreground deletion exclude each other.

    Source: ValidateFinalizers, and validateKubeFinalizerName of the built-in kinds.
    """
    errors: list[FieldError] = []
    for index, finalizer in enumerate(finalizers or ()):
        errors += [invalid_value(path, finalizer, message) for message in names.qualified_name(finalizer)]
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            errors.append(invalid_value(f"{path}[{index}]", finalizer, "name is neither a standard finalizer name nor is it fully qualified"))
    if finalizers and FINALIZER_ORPHAN in finalizers and FINALIZER_FOREGROUND in finalizers:
        errors.append(invalid_value(path, finalizers, f"finalizer {FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND} cannot be both set"))
    return errors


def validate_managed_fields(entries: Any, path: str) -> list[FieldError]:
    """Known operations and type, managers of printable text up to 128 bytes. Source: ValidateManagedFields."""
    errors: list[FieldError] = []
    for index, entry in enumerate(entries or ()):
        here = f"{path}[{index}]"
        operation = entry.get("operation", "")
        if not operation:
            errors.append(required(f"{here}.operation", "must not be empty"))
        elif operation not in ("Apply", "Update"):
            errors.append(not_supported(f"{here}.operation", operation, ("Apply", "Update")))
        if entry.get("fieldsType") not in (None, "", "FieldsV1"):
            errors.append(invalid_value(f"{here}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        errors += validate_field_manager(entry.get("manager", ""), f"{here}.manager")
        if len(entry.get("subresource", "")) > 256:
            errors.append(too_long(f"{here}.subresource", 256))
    return errors


def validate_field_manager(manager: str, path: str) -> list[FieldError]:
    """A field manager's name, also the `fieldManager` query parameter. Source: ValidateFieldManager."""
    errors = [too_long(path, 128)] if len(manager.encode()) > 128 else []
    for at, char in enumerate(manager):
        if not char.isprintable():
            errors.append(invalid_value(path, manager, f"invalid character U+{ord(char):04X} (at position {at})"))
    return errors


def validate_object_meta(meta: Any, namespaced: bool, name_check: Check, path: str = "metadata") -> list[FieldError]:
    """Everything wrong with an object's metadata at creation.

    Shape: meta as decoded (types already checked); name_check takes the bare name (see `names`).
    Source: ValidateObjectMeta.
    """
    errors: list[FieldError] = []
    generated = meta.get("generateName")
    if generated:
        errors += [invalid_value(f"{path}.generateName", generated, message) for message in names.prefix_ok(name_check, generated)]
    name = meta.get("name")
    if not name:
        errors.append(required(f"{path}.name", "name or generateName is required"))
    else:
        errors += [invalid_value(f"{path}.name", name, message) for message in name_check(name)]
    namespace = meta.get("namespace")
    if namespaced:
        if not namespace:
            errors.append(required(f"{path}.namespace"))
        else:
            errors += [invalid_value(f"{path}.namespace", namespace, message) for message in names.dns1123_label(namespace)]
    elif namespace:
        errors.append(forbidden_field(f"{path}.namespace", "not allowed on this type"))
    errors += _validate_common(meta, path)
    if meta.get("finalizers"):
        errors += validate_finalizers(meta["finalizers"], f"{path}.finalizers")
    return errors


def _validate_common(meta: Any, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if meta.get("generation", 0) < 0:
        errors.append(invalid_value(f"{path}.generation", meta["generation"], "must be greater than or equal to 0"))
    if meta.get("labels"):
        errors += validate_labels(meta["labels"], f"{path}.labels")
    if meta.get("annotations"):
        errors += validate_annotations(meta["annotations"], f"{path}.annotations")
    if meta.get("ownerReferences"):
        errors += validate_owner_references(meta["ownerReferences"], f"{path}.ownerReferences")
    if meta.get("managedFields"):
        errors += validate_managed_fields(meta["managedFields"], f"{path}.managedFields")
    return errors


_IMMUTABLE_FIELDS = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def validate_object_meta_update(new: Any, old: Any, path: str = "metadata") -> list[FieldError]:
    """Everything wrong with new metadata given the old: immutable fields, falling generation, finalizers added while deleting.

    The resourceVersion is the registry's business. Callers have carried over the fields a client may leave out (uid,
    creationTimestamp, deletion fields) before.
    Source: ValidateObjectMetaUpdate.
    """
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if extra:
            shown = ", ".join(f'"{name}"' for name in extra)
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
            errors.append(forbidden_field(f"{path}.finalizers", text))
    if new.get("generation", 0) < old.get("generation", 0):
        errors.append(invalid_value(f"{path}.generation", new.get("generation", 0), "must not be decremented"))
    for field in _IMMUTABLE_FIELDS:
        if new.get(field) != old.get(field):
            errors.append(invalid_value(f"{path}.{field}", new.get(field), IMMUTABLE))
    return errors + _validate_common(new, path)


def merge_finalizers(current: Iterable[str] | None, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
    """The list with some added at the end and some taken out, order kept."""
    gone = set(remove)
    return [name for name in dict.fromkeys([*(current or ()), *add]) if name not in gone]
