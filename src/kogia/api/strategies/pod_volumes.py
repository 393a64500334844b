"""Validation of a Pod's volumes: names, exactly one source each, and every source's own rules.

Source: kubernetes pkg/apis/core/validation/validation.go (ValidateVolumes, validateVolumeSource).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kogia.api import names
from kogia.api.status import duplicate, forbidden_field, invalid_value, not_supported, required
from kogia.api.strategies.pod_env import validate_field_ref, validate_resource_field_ref
from kogia.api.strategies.rules import Errors, between, invalid_each, no_backsteps, quantity, relative_path

Obj = dict[str, Any]
Rule = Callable[[Errors, str, Obj], None]

MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
PARTITION_TEXT = "must be between 0 and 255, inclusive"
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_MORE_THAN_ONE = "may not specify more than 1 volume type"
_TOKEN_MIN_S, _TOKEN_MAX_S = 600, 2**32


def validate_volumes(errors: Errors, path: str, volumes: list[Obj], pod_name: str = "") -> dict[str, Obj]:
    """Check the volumes and return them by name (the valid names only)."""
    found: dict[str, Obj] = {}
    for i, volume in enumerate(volumes):
        here, before = f"{path}[{i}]", len(errors)
        name = volume.get("name") or ""
        _one_source(errors, here, volume)
        if not name:
            errors.append(required(f"{here}.name"))
        else:
            invalid_each(errors, f"{here}.name", name, names.dns1123_label(name))
        if name in found:
            errors.append(duplicate(f"{here}.name", name))
        if volume.get("ephemeral") and pod_name and name:
            claim = f"{pod_name}-{name}"
            for message in names.dns1123_subdomain(claim):
                errors.append(invalid_value(f"{here}.name", name, f'PVC name "{claim}": {message}'))
        if len(errors) == before:
            found[name] = volume
    return found


def _one_source(errors: Errors, path: str, volume: Obj) -> None:
    kinds = [kind for kind in volume if kind != "name" and volume[kind] is not None]
    if not kinds:
        errors.append(required(path, "must specify a volume type"))
        return
    for kind in kinds[1:]:
        errors.append(forbidden_field(f"{path}.{kind}", _MORE_THAN_ONE))
    rule = SOURCE_RULES.get(kinds[0])
    if rule is not None:
        rule(errors, f"{path}.{kinds[0]}", volume[kinds[0]])


def _needs(*fields: str) -> Rule:
    """A source whose only rule is that some of its fields must be set."""

    def rule(errors: Errors, path: str, source: Obj) -> None:
        for field in fields:
            if not source.get(field):
                errors.append(required(f"{path}.{field}"))

    return rule


def _mode(errors: Errors, path: str, mode: int | None) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        errors.append(invalid_value(path, mode, MODE_TEXT))


def non_reserved_path(errors: Errors, path: str, value: str) -> None:
    """A relative path that neither climbs nor starts with `..` (those names are the kubelet's own)."""
    relative_path(errors, path, value)
    if value.startswith("..") and not value.startswith("../") and value != "..":
        errors.append(invalid_value(path, value, "must not start with '..'"))


def _key_to_path(errors: Errors, path: str, item: Obj) -> None:
    for field in ("key", "path"):
        if not item.get(field):
            errors.append(required(f"{path}.{field}"))
    non_reserved_path(errors, f"{path}.path", item.get("path") or "")
    _mode(errors, f"{path}.mode", item.get("mode"))


def _secret_or_config_map(name_field: str) -> Rule:
    def rule(errors: Errors, path: str, source: Obj) -> None:
        if not source.get(name_field):
            errors.append(required(f"{path}.{name_field}"))
        _mode(errors, f"{path}.defaultMode", source.get("defaultMode"))
        for i, item in enumerate(source.get("items") or ()):
            _key_to_path(errors, f"{path}.items[{i}]", item)

    return rule


def _host_path(errors: Errors, path: str, source: Obj) -> None:
    if not source.get("path"):
        errors.append(required(f"{path}.path"))
        return
    no_backsteps(errors, f"{path}.path", source["path"])
    kind = source.get("type")
    if kind is not None and kind not in HOST_PATH_TYPES:
        errors.append(not_supported(f"{path}.type", kind, HOST_PATH_TYPES))


def _empty_dir(errors: Errors, path: str, source: Obj) -> None:
    if source.get("sizeLimit") is not None:
        quantity(errors, f"{path}.sizeLimit", source["sizeLimit"])


def _disk(field: str) -> Rule:
    def rule(errors: Errors, path: str, source: Obj) -> None:
        if not source.get(field):
            errors.append(required(f"{path}.{field}"))
        if not 0 <= (source.get("partition") or 0) <= 255:
            errors.append(invalid_value(f"{path}.partition", source["partition"], PARTITION_TEXT))

    return rule


def _nfs(errors: Errors, path: str, source: Obj) -> None:
    _needs("server", "path")(errors, path, source)
    if not (source.get("path") or "").startswith("/"):
        errors.append(invalid_value(f"{path}.path", source.get("path") or "", "must be an absolute path"))


def _iscsi(errors: Errors, path: str, source: Obj) -> None:
    _needs("targetPortal", "iqn")(errors, path, source)
    iqn = source.get("iqn") or ""
    if iqn and not iqn.startswith(("iqn", "eui", "naa")):
        errors.append(invalid_value(f"{path}.iqn", iqn, "must be valid format starting with iqn, eui, or naa"))
    between(errors, f"{path}.lun", source.get("lun") or 0, 0, 255)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        errors.append(required(f"{path}.secretRef"))


def _fibre_channel(errors: Errors, path: str, source: Obj) -> None:
    targets, ids = source.get("targetWWNs"), source.get("wwids")
    if not targets and not ids:
        errors.append(required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both"))
    elif targets and ids:
        errors.append(invalid_value(f"{path}.targetWWNs", targets, "targetWWNs and wwids can not be specified simultaneously"))
    if targets:
        if source.get("lun") is None:
            errors.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
        else:
            between(errors, f"{path}.lun", source["lun"], 0, 255)


def _git_repo(errors: Errors, path: str, source: Obj) -> None:
    _needs("repository")(errors, path, source)
    relative_path(errors, f"{path}.directory", source.get("directory") or "")


def _downward_file(errors: Errors, path: str, item: Obj) -> None:
    if not item.get("path"):
        errors.append(required(f"{path}.path"))
    non_reserved_path(errors, f"{path}.path", item.get("path") or "")
    if item.get("fieldRef") is not None:
        validate_field_ref(errors, f"{path}.fieldRef", item["fieldRef"], VOLUME_FIELDS)
        if item.get("resourceFieldRef") is not None:
            errors.append(invalid_value(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
    elif item.get("resourceFieldRef") is not None:
        validate_resource_field_ref(errors, f"{path}.resourceFieldRef", item["resourceFieldRef"], in_volume=True)
    else:
        errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    _mode(errors, f"{path}.mode", item.get("mode"))


def _downward(errors: Errors, path: str, source: Obj) -> None:
    _mode(errors, f"{path}.defaultMode", source.get("defaultMode"))
    for item in source.get("items") or ():
        _downward_file(errors, path, item)


def _projected(errors: Errors, path: str, source: Obj) -> None:
    _mode(errors, f"{path}.defaultMode", source.get("defaultMode"))
    paths: set[str] = set()

    def claim(value: str, shown: str) -> None:
        if value in paths:
            errors.append(invalid_value(path, shown, "conflicting duplicate paths"))
        elif value:
            paths.add(value)

    for i, part in enumerate(source.get("sources") or ()):
        here = f"{path}.sources[{i}]"
        for kind in ("secret", "configMap"):
            if part.get(kind) is not None:
                _needs("name")(errors, f"{here}.{kind}", part[kind])
                for j, item in enumerate(part[kind].get("items") or ()):
                    _key_to_path(errors, f"{here}.{kind}.items[{j}]", item)
                    claim(item.get("path") or "", part[kind].get("name") or "")
        if part.get("downwardAPI") is not None:
            for item in part["downwardAPI"].get("items") or ():
                _downward_file(errors, f"{here}.downwardAPI", item)
                claim(item.get("path") or "", item.get("path") or "")
        if part.get("serviceAccountToken") is not None:
            _token(errors, f"{here}.serviceAccountToken", path, part["serviceAccountToken"])
        if part.get("clusterTrustBundle") is not None:
            _trust_bundle(errors, f"{here}.clusterTrustBundle", part["clusterTrustBundle"])
            claim(part["clusterTrustBundle"].get("path") or "", part["clusterTrustBundle"].get("path") or "")
        if sum(1 for value in part.values() if value is not None) > 1:
            errors.append(forbidden_field(here, "may not specify more than 1 volume type per source"))


def _token(errors: Errors, path: str, volume_path: str, token: Obj) -> None:
    seconds = token.get("expirationSeconds") or 0
    if seconds < _TOKEN_MIN_S:
        errors.append(invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    if seconds > _TOKEN_MAX_S:
        errors.append(invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"))
    if not token.get("path"):
        errors.append(required(f"{volume_path}.path"))
    else:
        non_reserved_path(errors, f"{volume_path}.path", token["path"])


def _trust_bundle(errors: Errors, path: str, bundle: Obj) -> None:
    if bundle.get("name") is not None and bundle.get("signerName") is not None:
        errors.append(invalid_value(path, bundle, "only one of name and signerName may be used"))
    elif bundle.get("name") is None and bundle.get("signerName") is None:
        errors.append(required(path, "either name or signerName must be specified"))
    if not bundle.get("path"):
        errors.append(required(f"{path}.path"))
    non_reserved_path(errors, f"{path}.path", bundle.get("path") or "")


def _csi(errors: Errors, path: str, source: Obj) -> None:
    driver = source.get("driver") or ""
    if not driver:
        errors.append(required(f"{path}.driver"))
    elif len(driver) > 63:
        errors.append(invalid_value(f"{path}.driver", driver, "must be no more than 63 characters"))
    else:
        invalid_each(errors, f"{path}.driver", driver, names.dns1123_subdomain(driver.lower()))
    secret = source.get("nodePublishSecretRef")
    if secret is not None and not secret.get("name"):
        errors.append(required(f"{path}.nodePublishSecretRef.name"))


def _ephemeral(errors: Errors, path: str, source: Obj) -> None:
    template = source.get("volumeClaimTemplate")
    if template is None:
        errors.append(required(f"{path}.volumeClaimTemplate"))
        return
    spec = template.get("spec") or {}
    if not spec.get("accessModes"):
        errors.append(required(f"{path}.volumeClaimTemplate.spec.accessModes", "at least 1 access mode is required"))
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        errors.append(required(f"{path}.volumeClaimTemplate.spec.resources[storage]"))


def _image(errors: Errors, path: str, source: Obj) -> None:
    if not source.get("reference"):
        errors.append(required(f"{path}.reference"))
    if source.get("pullPolicy") not in ("Always", "IfNotPresent", "Never"):
        errors.append(not_supported(f"{path}.pullPolicy", source.get("pullPolicy") or "", ("Always", "IfNotPresent", "Never")))


SOURCE_RULES: dict[str, Rule] = {
    "emptyDir": _empty_dir, "hostPath": _host_path, "secret": _secret_or_config_map("secretName"), "configMap": _secret_or_config_map("name"),
    "projected": _projected, "downwardAPI": _downward, "persistentVolumeClaim": _needs("claimName"), "nfs": _nfs, "iscsi": _iscsi,
    "fc": _fibre_channel, "gitRepo": _git_repo, "csi": _csi, "ephemeral": _ephemeral, "image": _image,
    "gcePersistentDisk": _disk("pdName"), "awsElasticBlockStore": _disk("volumeID"), "glusterfs": _needs("endpoints", "path"),
    "rbd": _needs("monitors", "image"), "cinder": _needs("volumeID"), "cephfs": _needs("monitors"), "flexVolume": _needs("driver"),
    "azureFile": _needs("secretName", "shareName"), "azureDisk": _needs("diskName", "diskURI"), "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"), "portworxVolume": _needs("volumeID"), "scaleIO": _needs("gateway", "system", "volumeName"),
    "storageos": _needs("volumeName"), "quobyte": _needs("registry", "volume"),
}
