"""`kogia describe`: an object told at length, with its events; one describer per kind in this folder, `generic` for the rest."""

from __future__ import annotations

import sys
from typing import Any

from kogia.cli import manifests, names
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.flags import Flags, Options

Obj = dict[str, Any]


def add_options(parser: Flags) -> None:
    parser.usage = "TYPE[/NAME-PREFIX] [NAME-PREFIX…]"
    parser.add("-l", "--selector", default="")
    parser.switch("-A", "--all-namespaces")
    parser.add("--show-events", bare="true", default="true", choices=("true", "false"))
    manifests.add_file_options(parser)


def run(options: Options) -> int:
    api = connect(options)
    targets = manifests.targets_of_files(api, options) if options.filename else names.targets(api, options.words, "describe")
    texts: list[str] = []
    failures = 0
    for target in targets:
        try:
            texts += [describe(api, target.resource, obj, options.show_events == "true") for obj in _objects(api, target, options)]
        except ApiFailure as error:
            print(error, file=sys.stderr)
            failures += 1
    if texts:
        print("\n\n".join(t.rstrip("\n") + "\n" for t in texts), end="")
    elif not failures:
        scope = "" if options.all_namespaces else f" in {api.namespace} namespace."
        print(f"No resources found{scope}", file=sys.stderr)
    return 1 if failures else 0


def _objects(api: Api, target: names.Target, options: Options) -> list[Obj]:
    namespace = "" if options.all_namespaces else api.namespace
    if target.name:
        try:
            return [api.call("GET", target.path(api))]
        except ApiFailure as error:
            if error.http_code != 404:
                raise
            items = api.call("GET", target.path(api).rpartition("/")[0])["items"]
            found = [o for o in items if o["metadata"]["name"].startswith(target.name)]
            if not found:
                raise
    else:
        found = api.call("GET", names.path_of(target.resource, namespace), query={"labelSelector": options.selector})["items"]
    return [{"apiVersion": target.resource.api_version, "kind": target.resource.kind, **o} for o in found]


_WITHOUT_EVENTS = ("Secret", "Namespace", "ResourceQuota", "LimitRange", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "NetworkPolicy")


def describe(api: Api, resource: Any, obj: Obj, show_events: bool) -> str:
    """The whole text for one object."""
    from kogia.cli.describe import common, generic, node, objects, pod, policy, workloads

    describers = {
        "Pod": pod.describe, "Node": node.describe, "Namespace": objects.namespace, "Service": objects.service,
        "ConfigMap": objects.config_map, "Secret": objects.secret, "ServiceAccount": objects.service_account,
        "Deployment": workloads.deployment, "ReplicaSet": workloads.replica_set, "DaemonSet": workloads.daemon_set, "StatefulSet": workloads.stateful_set,
        "Job": workloads.job, "CronJob": workloads.cron_job, "ResourceQuota": policy.quota, "LimitRange": policy.limit_range,
        "Role": policy.role, "ClusterRole": policy.role, "RoleBinding": policy.binding, "ClusterRoleBinding": policy.binding,
        "PriorityClass": policy.priority_class,
    }  # fmt: skip
    writer = describers.get(obj["kind"], generic.describe)(api, obj)
    if show_events and obj["kind"] not in _WITHOUT_EVENTS:
        common.events(api, obj, writer)
    return writer.text()
