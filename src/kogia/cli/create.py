"""`kogia create -f`, and the generators people use: namespace, configmap, secret generic, serviceaccount, deployment, token."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from kogia.cli import manifests, names, printers
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.flags import Flags, Options, duration, integer
from kogia.cli.main import CommandError

Obj = dict[str, Any]


def add_options(parser: Flags) -> None:
    manifests.add_file_options(parser)
    add_write_options(parser)
    parser.keeps_dashed = True
    parser.usage = "namespace|configmap|secret|serviceaccount|deployment|token NAME"
    parser.add("--from-literal", append=True, default=[], help="key=value of a configmap or secret")
    parser.add("--from-file", append=True, default=[], help="[key=]path of a configmap or secret")
    parser.add("--image", append=True, default=[], help="image of a deployment")
    parser.add("--replicas", convert=integer, default=1, help="replicas of a deployment")
    parser.add("--port", convert=integer, default=0, help="container port of a deployment")
    parser.add("--duration", default=0.0, convert=duration, help="lifetime of a token")
    parser.add("--type", default="", help="type of a secret")


def add_write_options(parser: Flags) -> None:
    parser.add("-o", "--output", default="", help="json|yaml|name|jsonpath=…")
    parser.add("--dry-run", bare="unchanged", default="none", choices=("none", "client", "server", "unchanged"))
    parser.add("--validate", bare="strict", default="strict", help="strict|warn|ignore")
    parser.add("--field-manager", default="", help="the name of the manager used to track field ownership")
    parser.switch("--show-managed-fields")


def field_validation(options: Options) -> str:
    known = {"strict": "Strict", "true": "Strict", "warn": "Warn", "ignore": "Ignore", "false": "Ignore"}
    try:
        return known[options.validate.lower()]
    except KeyError:
        raise CommandError(f'error: invalid - validate option "{options.validate}"') from None


def write_query(options: Options, manager: str) -> dict[str, Any]:
    query: dict[str, Any] = {"fieldManager": options.field_manager or manager, "fieldValidation": field_validation(options)}
    if options.dry_run == "server":
        query["dryRun"] = "All"
    return query


def announce(options: Options, resource: Any, obj: Obj, done: str) -> None:
    """`pod/web created`, or the object itself with -o."""
    if options.output == "name":
        print(names.shown_name(resource, obj["metadata"]["name"]))
        return
    if not hasattr(options, "printer"):  # one for all objects of the command: YAML documents are parted
        options.printer = printers.object_printer(options.output, lambda o: str(o["metadata"]["name"]))
    if options.printer is None:
        suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(options.dry_run, "")
        print(f"{names.shown_name(resource, obj['metadata']['name'])} {done}{suffix}")
        return
    if not options.show_managed_fields:
        obj.get("metadata", {}).pop("managedFields", None)
    sys.stdout.write(options.printer(obj))


def run(options: Options) -> int:
    if not options.filename:
        return _generate(options)
    if options.words:
        raise CommandError(f"error: Unexpected args: [{' '.join(options.words)}]\nSee 'kogia create -h' for help and examples")
    api, failures = connect(options), manifests.Failures()
    for manifest in manifests.read(options):
        try:
            create(api, manifest, options)
        except (ApiFailure, names.NoMatch) as error:
            failures.add(error, "creating", manifest)
    return failures.tell()


def create(api: Api, manifest: manifests.Manifest, options: Options, *, generated: bool = False) -> None:
    """Create one object, or show it with --dry-run=client. Errors: ApiFailure, CommandError."""
    resource = manifests.resource_of(api, manifest)
    namespace = manifests.namespace_of(api, manifest, options) if resource.namespaced else ""
    if options.dry_run in ("client", "unchanged"):
        if namespace and (options.namespace or not generated):
            manifest.obj.setdefault("metadata", {})["namespace"] = namespace
        announce(options, resource, manifest.obj, "created")
        return
    made = api.call("POST", names.path_of(resource, namespace), query=write_query(options, "kubectl-create"), body=manifest.obj)
    announce(options, resource, made, "created")


_GENERATORS = {"ns": "namespace", "namespace": "namespace", "sa": "serviceaccount", "serviceaccount": "serviceaccount", "cm": "configmap",
               "configmap": "configmap", "secret": "secret", "deploy": "deployment", "deployment": "deployment", "token": "token"}  # fmt: skip


def _generate(options: Options) -> int:
    """`create TYPE NAME …`. Errors: CommandError."""
    words = list(options.words)
    if not words:
        raise CommandError("error: must specify one of -f and -k")
    kind = _GENERATORS.get(words.pop(0))
    if kind is None:
        raise CommandError(f"error: Unexpected args: [{' '.join(options.words)}]\nSee 'kogia create -h' for help and examples")
    title = kind
    if kind == "secret":
        if words[:1] != ["generic"]:
            raise CommandError("error: only `create secret generic` is known here; use -f with a manifest for other types of secret")
        words, title = words[1:], "secret generic"
    if len(words) != 1:
        raise CommandError(f"error: exactly one NAME is required, got {len(words)}\nSee 'kogia create {title} -h' for help and examples")
    name = words[0]
    if kind == "token":
        return _token(connect(options), name, options)
    makers: dict[str, Callable[[], Obj]] = {"namespace": lambda: {"apiVersion": "v1", "kind": "Namespace", "spec": {}, "status": {}},
              "serviceaccount": lambda: {"apiVersion": "v1", "kind": "ServiceAccount"}, "configmap": lambda: _config_map(options),
              "secret": lambda: _secret(options), "deployment": lambda: _deployment(name, options, list(options.dashed or []))}  # fmt: skip
    obj = makers[kind]()
    obj["metadata"] = {**obj.get("metadata", {}), "name": name}
    try:
        create(connect(options), manifests.Manifest("STDIN", obj), options, generated=True)
    except ApiFailure as error:
        if error.reason == "Invalid" or kind == "namespace":
            raise
        raise CommandError(f"error: failed to create {kind}: {error.status.get('message', '')}") from error
    return 0


def _token(api: Api, name: str, options: Options) -> int:
    seconds = options.duration
    spec = {"expirationSeconds": int(seconds)} if seconds else {}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    made = api.call("POST", f"/api/v1/namespaces/{api.namespace}/serviceaccounts/{name}/token", body=body)
    print(made["status"]["token"])
    return 0


def _literals(options: Options) -> dict[str, bytes]:
    data: dict[str, bytes] = {}
    for item in options.from_literal:
        key, found, value = item.partition("=")
        if not found or not key:
            raise CommandError(f'error: invalid literal source {item}, expected key=value')
        data[key] = value.encode()
    for item in options.from_file:
        key, found, path = item.partition("=")
        if not found:
            key, path = item.rsplit("/", 1)[-1], item
        try:
            with open(path, "rb") as file:
                data[key] = file.read()
        except OSError as error:
            raise CommandError(f"error: error reading {path}: {error.strerror}") from error
    return data


def _config_map(options: Options) -> Obj:
    import base64

    obj: Obj = {"apiVersion": "v1", "kind": "ConfigMap"}
    for key, value in _literals(options).items():
        try:
            obj.setdefault("data", {})[key] = value.decode()
        except UnicodeDecodeError:
            obj.setdefault("binaryData", {})[key] = base64.b64encode(value).decode()
    return obj


def _secret(options: Options) -> Obj:
    import base64

    data = {k: base64.b64encode(v).decode() for k, v in _literals(options).items()}
    return {"apiVersion": "v1", "kind": "Secret", **({"type": options.type} if options.type else {}), **({"data": data} if data else {})}


def _deployment(name: str, options: Options, command: list[str]) -> Obj:
    if not options.image:
        raise CommandError('error: required flag(s) "image" not set')
    labels = {"app": name}
    containers: list[Obj] = []
    for image in options.image:
        container: Obj = {"name": image.rsplit("/", 1)[-1].split("@")[0].split(":")[0], "image": image, "resources": {}}
        if options.port:
            container["ports"] = [{"containerPort": options.port}]
        if command:
            container["command"] = command
        containers.append(container)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": labels},
            "status": {},
            "spec": {"replicas": options.replicas, "selector": {"matchLabels": labels}, "strategy": {},
                     "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}}}  # fmt: skip
