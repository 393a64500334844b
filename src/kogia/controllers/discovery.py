"""Which collections the server has, from its discovery documents: for controllers that must act on kinds they do not know.

One request per root where the server offers aggregated discovery, else one per group and version. Pure parsing, thin fetching.
Source: client-go discovery ServerPreferredNamespacedResources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from kogia.api.status import StatusError
from kogia.client.interface import Client, Obj, Resource
from kogia.client.responses import read_all

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Collection:
    resource: Resource
    kind: str
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Discovered:
    """`failed` names the groups and versions whose documents could not be read, with the reason."""

    collections: tuple[Collection, ...]
    failed: tuple[str, ...] = ()


async def discover(client: Client) -> Discovered:
    """Every collection once, in its preferred version. Errors: StatusError, OSError when the roots cannot be read."""
    found: dict[tuple[str, str], Collection] = {}
    failed: list[str] = []
    for root in ("/api", "/apis"):
        document = await _document(client, root, AGGREGATED)
        if document.get("kind") == "APIGroupDiscoveryList":
            collections = parse_aggregated(document)
        else:
            collections = []
            for group_version in versions(document):
                path = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
                try:
                    collections += parse_resource_list(await _document(client, path, "application/json"))
                except StatusError as error:
                    failed.append(f"{group_version}: {error.message}")
        for collection in collections:
            found.setdefault((collection.resource.group, collection.resource.plural), collection)
    return Discovered(tuple(found.values()), tuple(failed))


async def _document(client: Client, path: str, accept: str) -> Obj:
    response = await client.request("GET", path, headers={"accept": accept})
    document: Obj = orjson.loads(await read_all(response))
    return document


def versions(document: Obj) -> list[str]:
    """Group versions of an APIVersions or APIGroupList document; the preferred one of each group first."""
    if document.get("kind") == "APIVersions":
        return list(document.get("versions") or ())
    listed: list[str] = []
    for group in document.get("groups") or ():
        preferred = (group.get("preferredVersion") or {}).get("groupVersion")
        names = [v["groupVersion"] for v in group.get("versions") or ()]
        listed += sorted(names, key=lambda name: name != preferred)
    return listed


def parse_resource_list(document: Obj) -> list[Collection]:
    """An APIResourceList's collections, without subresources."""
    group, _, version = document.get("groupVersion", "").rpartition("/")
    return [
        Collection(Resource(group, version, row["name"], bool(row.get("namespaced"))), row.get("kind", ""), frozenset(row.get("verbs") or ()))
        for row in document.get("resources") or () if "/" not in row["name"]
    ]


def parse_aggregated(document: Obj) -> list[Collection]:
    """An APIGroupDiscoveryList's collections, the preferred version of each first."""
    found = []
    for group in document.get("items") or ():
        name = (group.get("metadata") or {}).get("name") or ""
        for version in group.get("versions") or ():
            for row in version.get("resources") or ():
                resource = Resource(name, version["version"], row["resource"], row.get("scope") == "Namespaced")
                found.append(Collection(resource, _kind(row), frozenset(row.get("verbs") or ())))
    return found


def _kind(row: Any) -> str:
    return str((row.get("responseKind") or {}).get("kind") or "")
