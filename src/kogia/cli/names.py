"""From what a person types (`po`, `deploy/web`, `pods,svc`) to resources and names.

Built-in kinds come from the table compiled into Kogia, so the common path asks the server nothing; anything else is looked up by discovery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kogia.api import resources
from kogia.api.kinds import ResourceInfo
from kogia.cli.connection import Api, ApiFailure, segment
from kogia.cli.main import CommandError

#: `kubectl get all`, in its order.
ALL_CATEGORY = ("pods", "replicationcontrollers", "services", "daemonsets.apps", "deployments.apps", "replicasets.apps", "statefulsets.apps",
                "horizontalpodautoscalers.autoscaling", "cronjobs.batch", "jobs.batch")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """One thing named on the command line; an empty name means the whole collection."""

    resource: ResourceInfo
    name: str = ""
    namespace: str | None = None  #: its own (from a file or a list); None = the one the command works in

    def path(self, api: Api, subresource: str = "") -> str:
        """Where the object is; a collection target has none of its own."""
        return path_of(self.resource, api.namespace if self.namespace is None else self.namespace, self.name, subresource)


def find(api: Api, word: str) -> ResourceInfo:
    """`pods`, `pod`, `po`, `Pod`, `deployments.apps`, `deployments.v1.apps` → its row. Errors: CommandError."""
    wanted, _, rest = word.lower().partition(".")
    for row in _preferred():
        if wanted in (row.plural, row.singular, row.kind.lower(), *row.short_names) and rest in ("", row.group, f"{row.version}.{row.group}"):
            return row
    found = _discovered(api, wanted, rest)
    if found is None:
        raise CommandError(f'error: the server doesn\'t have a resource type "{word}"')
    return found


def _preferred() -> list[ResourceInfo]:
    """Stored kinds, core group first, the newest version of each group first."""
    rows = [r for r in resources.ALL if r.stored]
    return sorted(rows, key=lambda r: (r.group != "", r.group == "events.k8s.io", r.version == "v1" and r.group == "autoscaling"))


def _discovered(api: Api, wanted: str, group: str) -> ResourceInfo | None:
    for entry in api.call("GET", "/apis")["groups"]:
        if group and entry["name"] != group:
            continue
        group_version = entry["preferredVersion"]["groupVersion"]
        try:
            rows = api.call("GET", f"/apis/{group_version}")["resources"]
        except ApiFailure:
            continue
        for row in rows:
            if "/" not in row["name"] and wanted in (row["name"], row.get("singularName"), row["kind"].lower(), *row.get("shortNames", ())):
                return ResourceInfo(
                    group=entry["name"], version=entry["preferredVersion"]["version"], kind=row["kind"], plural=row["name"],
                    singular=row.get("singularName") or row["kind"].lower(), namespaced=row["namespaced"],
                )  # fmt: skip
    return None


class NoMatch(CommandError):
    """Nothing serves a manifest's kind."""


def by_kind(api: Api, api_version: str, kind: str, whose: str = "") -> ResourceInfo:
    """The resource that serves a manifest's kind; `whose` says in the error which object asked. Errors: NoMatch, ApiFailure."""
    group, _, version = api_version.rpartition("/")
    row = resources.by_kind(group, version, kind)
    if row is not None:
        return row
    prefix = f"/apis/{api_version}" if group else f"/api/{api_version}"
    try:
        for entry in api.call("GET", prefix)["resources"]:
            if entry["kind"] == kind and "/" not in entry["name"]:
                return ResourceInfo(group=group, version=version, kind=kind, plural=entry["name"],
                                    singular=entry.get("singularName") or kind.lower(), namespaced=entry["namespaced"])  # fmt: skip
    except ApiFailure as error:
        if error.http_code != 404:
            raise
    raise NoMatch(f'error: resource mapping not found{whose}: no matches for kind "{kind}" in version "{api_version}"\nensure CRDs are installed first')


def path_of(resource: ResourceInfo, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """`/api/v1/namespaces/default/pods/x/log`; no namespace for cluster-scoped kinds or for all namespaces ("")."""
    path = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    if resource.namespaced and namespace:
        path += f"/namespaces/{segment(namespace)}"
    path += f"/{resource.plural}"
    if name:
        path += "/" + segment(name)
    return path + (f"/{subresource}" if subresource else "")


def targets(api: Api, words: Sequence[str], verb: str = "get") -> list[Target]:
    """`pods`, `pods a b`, `pod/a svc/b`, `pods,svc`, `all` → targets in the order typed. Errors: CommandError."""
    if not words:
        raise CommandError(_nothing_named(verb))
    if any("/" in w for w in words):
        pairs = [w.split("/", 1) for w in words]
        if any(len(p) != 2 for p in pairs):
            raise CommandError("error: there is no need to specify a resource type as a separate argument when passing arguments in resource/name form "
                               f"(e.g. 'kogia {verb} resource/<resource_name>' instead of 'kogia {verb} resource resource/<resource_name>'")  # fmt: skip
        for kind, name in pairs:
            if not kind or not name:
                raise CommandError("error: arguments in resource/name form must have a single resource and name")
        return [Target(find(api, kind), name) for kind, name in pairs]
    types: list[str] = []
    for word in words[0].split(","):
        types.extend(ALL_CATEGORY if word == "all" else [word])
    rows = [find(api, t) for t in types if t]
    names = list(dict.fromkeys(words[1:]))
    if names:
        return [Target(row, name) for row in rows for name in names]
    return [Target(row) for row in rows]


def _nothing_named(verb: str) -> str:
    told = 'Use "kogia api-resources" for a complete list of supported resources.'
    if verb == "get":
        return (f"You must specify the type of resource to get. {told}\n\nerror: Required resource not specified.\n"
                'Use "kogia explain <resource>" for a detailed description of that resource (e.g. kogia explain pods).\n'
                "See 'kogia get -h' for help and examples")  # fmt: skip
    if verb == "describe":
        return f"error: You must specify the type of resource to describe. {told}"
    return "error: You must provide one or more resources by argument or filename.\nExample resource specifications include:\n" \
           "   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'"


def members(api: Api, target: Target, *, labels: str = "", fields: str = "", everywhere: bool = False) -> list[Target]:
    """The objects of a collection target as targets. Errors: ApiFailure."""
    path = path_of(target.resource, "" if everywhere else api.namespace)
    items = api.call("GET", path, query={"labelSelector": labels, "fieldSelector": fields})["items"]
    return [Target(target.resource, o["metadata"]["name"], o["metadata"].get("namespace", "")) for o in items]


def shown_name(resource: ResourceInfo, name: str) -> str:
    """`pod/web`, `deployment.apps/web`: how kubectl names an object."""
    return f"{resource.singular}.{resource.group}/{name}" if resource.group else f"{resource.singular}/{name}"
