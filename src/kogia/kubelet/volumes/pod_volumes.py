"""The volumes of one Pod: set up, kept up to date, bound into containers, taken down.

Neighbours: payload.py and atomic_writer.py (contents), directories.py (emptyDir, hostPath, subPath), api_data.py (sources).
Invariants: every step may be repeated after a crash at any point; secrets and tokens lie on tmpfs only; a volume lives in
`pods/<uid>/volumes/<plugin>/<name>`, as other kubelets lay it out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kogia.api.status import StatusError
from kogia.cri import types as t
from kogia.kubelet.downward import FieldError
from kogia.kubelet.env import expand
from kogia.kubelet.volumes import atomic_writer, directories, payload
from kogia.kubelet.volumes.api_data import ApiData, Token
from kogia.kubelet.volumes.directories import VolumeError
from kogia.kubelet.volumes.mount import Mounts

Obj = dict[str, Any]

_PLUGINS = {
    "emptyDir": "kubernetes.io~empty-dir", "configMap": "kubernetes.io~configmap", "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api", "projected": "kubernetes.io~projected",
}
_API_KINDS = ("configMap", "secret", "downwardAPI", "projected")
_PROPAGATION = {
    "HostToContainer": t.MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": t.MountPropagation.PROPAGATION_BIDIRECTIONAL,
}


class PodVolumes:
    """`facts()` gives (pod IPs, host IPs, node allocatable) of this moment, for downward values."""

    def __init__(
        self, pod_dir: Path, data: ApiData, mounts: Mounts, now: Callable[[], float],
        facts: Callable[[], tuple[Sequence[str], Sequence[str], Mapping[str, str]]],
    ) -> None:
        self._dir = pod_dir
        self._data = data
        self._mounts = mounts
        self._now = now
        self._facts = facts
        self._tokens: dict[tuple[str, str], Token] = {}
        self._paths: dict[str, str] = {}

    async def set_up(self, pod: Obj) -> None:
        """All volumes, side by side. Errors: VolumeError naming the volume, in Kubernetes' words."""
        volumes = pod["spec"].get("volumes") or []
        results = await asyncio.gather(*(self._set_up(pod, v) for v in volumes), return_exceptions=True)
        for volume, result in zip(volumes, results, strict=True):
            if isinstance(result, StatusError | OSError | TimeoutError | VolumeError | payload.PayloadError | FieldError | ValueError):
                why = result.message if isinstance(result, StatusError) else str(result) or type(result).__name__
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {why}') from result
            if isinstance(result, BaseException):
                raise result

    def refreshable(self, pod: Obj) -> bool:
        return any(kind in volume for volume in pod["spec"].get("volumes") or [] for kind in _API_KINDS)

    async def refresh(self, pod: Obj) -> None:
        """Bring volumes of API data up to date. Errors: VolumeError."""
        api = [v for v in pod["spec"].get("volumes") or [] if any(k in v for k in _API_KINDS) and v["name"] in self._paths]
        await self.set_up({**pod, "spec": {**pod["spec"], "volumes": api}})

    async def tear_down(self) -> None:
        """Unmount and delete, whatever is there. Errors: OSError."""
        self._paths.clear()
        self._tokens.clear()
        for name in ("volume-subpaths", "volumes"):
            root = self._dir / name
            if root.exists():
                await asyncio.to_thread(directories.remove_tree, root, self._mounts)

    async def _set_up(self, pod: Obj, volume: Obj) -> None:
        name = volume["name"]
        kind = next((k for k in volume if k != "name" and volume[k] is not None), "emptyDir")
        source = volume.get(kind) or {}
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        gid = -1 if group is None else int(group)
        if kind == "hostPath":
            self._paths[name] = directories.check_host_path(source)
            return
        if kind not in _PLUGINS:
            raise VolumeError(f"no volume plugin matched for {kind}")
        target = self._dir / "volumes" / _PLUGINS[kind] / name
        if kind == "emptyDir":
            directories.set_up_empty_dir(target, source, self._mounts, gid=gid)
        else:
            files = await self._payload(pod, volume, kind, source)
            if not target.exists() or (kind in ("secret", "projected") and name not in self._paths and not self._mounts.mounted(target)):
                target.mkdir(parents=True, exist_ok=True)
                os.chmod(target, 0o755)
                if kind in ("secret", "projected"):
                    self._mounts.tmpfs(target, mode="0755")
                if gid >= 0:
                    os.chown(target, -1, gid)
            atomic_writer.write(target, files, gid=gid)
        self._paths[name] = str(target)

    async def _payload(self, pod: Obj, volume: Obj, kind: str, source: Obj) -> payload.Payload:
        mode = source.get("defaultMode", payload.DEFAULT_MODE)
        if kind != "projected":
            return await self._source(pod, volume["name"], kind, source, mode)
        files: payload.Payload = {}
        parts = []
        for projection in source.get("sources") or []:
            part_kind = next((k for k in projection if projection[k] is not None), "")
            parts.append(self._source(pod, volume["name"], part_kind, projection[part_kind], mode))
        for part in await asyncio.gather(*parts):
            files |= part
        return files

    async def _source(self, pod: Obj, volume: str, kind: str, source: Obj, mode: int) -> payload.Payload:
        namespace = pod["metadata"]["namespace"]
        if kind == "configMap":
            found = await self._data.config_map(namespace, source.get("name", ""))
            data = None if found is None else payload.config_map_data(found)
            return payload.keyed(data, source, mode, "configmap", source.get("name", ""))
        if kind == "secret":
            name = source.get("secretName") or source.get("name", "")
            return payload.keyed(await self._data.secret(namespace, name), source, mode, "secret", name)
        if kind == "downwardAPI":
            pod_ips, host_ips, allocatable = self._facts()
            return payload.downward(source.get("items") or [], mode, pod, pod_ips=pod_ips, host_ips=host_ips, allocatable=allocatable)
        if kind == "serviceAccountToken":
            return {source["path"]: payload.token_file(await self._token(pod, volume, source), pod, mode)}
        raise VolumeError(f"unsupported projected source {kind}")

    async def _token(self, pod: Obj, volume: str, source: Obj) -> str:
        key = (volume, source["path"])
        known = self._tokens.get(key)
        if known is None or self._now() >= known.refresh_at:
            audience = source.get("audience")
            known = await self._data.token(pod, [audience] if audience else [], int(source.get("expirationSeconds") or 3600))
            self._tokens[key] = known
        return known.token

    def mounts(self, container: Obj, env: Mapping[str, str]) -> list[t.Mount]:
        """CRI mounts of the container's volumeMounts. Errors: VolumeError (CreateContainerConfigError)."""
        result = []
        for index, mount in enumerate(container.get("volumeMounts") or []):
            path = self._paths.get(mount["name"])
            if path is None:
                raise VolumeError(f'cannot find volume "{mount["name"]}" to mount into container "{container["name"]}"')
            sub_path = mount.get("subPath") or ""
            if mount.get("subPathExpr"):
                sub_path = expand(mount["subPathExpr"], env)
                if sub_path.startswith("/") or ".." in sub_path.split("/"):
                    raise VolumeError(f"failed to prepare subPath for volumeMount {mount['name']!r} of container {container['name']!r}")
            if sub_path:
                path = self._bind_sub_path(path, sub_path, container["name"], mount["name"], index)
            where = mount["mountPath"]
            result.append(
                t.Mount(
                    container_path=where if where.startswith("/") else "/" + where, host_path=path, readonly=bool(mount.get("readOnly")),
                    propagation=_PROPAGATION.get(mount.get("mountPropagation") or "", t.MountPropagation.PROPAGATION_PRIVATE),
                )
            )
        return result

    def _bind_sub_path(self, volume: str, sub_path: str, container: str, name: str, index: int) -> str:
        target = self._dir / "volume-subpaths" / name / container / str(index)
        fd = directories.open_sub_path(volume, sub_path)
        try:
            source = f"/proc/self/fd/{fd}"
            self._mounts.unmount(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.isdir(source):
                if target.is_file():
                    target.unlink()
                target.mkdir(exist_ok=True)
            else:
                if target.is_dir():
                    target.rmdir()
                target.touch()
            self._mounts.bind(source, target)
        except OSError as error:
            raise VolumeError(f"failed to prepare subPath for volumeMount {name!r} of container {container!r}: {error}") from error
        finally:
            os.close(fd)
        return str(target)
