"""`kogia apply`: three-way merge as `kubectl apply` does it, or server-side with --server-side.

The manifest as applied is kept in the annotation kubectl uses, so both tools may take turns. The patch is the manifest itself plus deletions of what the last
applied one had and this one has not; the server merges by the schema's keys.
"""

from __future__ import annotations

import json
from typing import Any

from kogia.cli import create, manifests, names
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.flags import Flags, Options
from kogia.cli.main import CommandError
from kogia.cli.printers import escape_html

Obj = dict[str, Any]
_CONFLICT = """Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts"""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def add_options(parser: Flags) -> None:
    manifests.add_file_options(parser)
    create.add_write_options(parser)
    parser.switch("--server-side", help="let the server merge")
    parser.switch("--force-conflicts", help="take over fields another manager owns")


def run(options: Options) -> int:
    if not options.filename:
        raise CommandError("error: must specify one of -f and -k")
    api, failures = connect(options), manifests.Failures()
    for manifest in manifests.read(options):
        try:
            apply(api, manifest, options)
        except names.NoMatch as error:
            failures.add(error)
        except ApiFailure as error:
            if options.server_side and error.reason == "Conflict":
                failures.add(CommandError(f"error: {error.status.get('message', '')}\n{_CONFLICT}"))
                continue
            doing = {"GET": "retrieving current configuration of", "POST": "creating"}.get(error.at, "patching" if options.server_side else "applying patch")
            failures.add(error, doing, manifest)
    return failures.tell()


def apply(api: Api, manifest: manifests.Manifest, options: Options) -> None:
    resource = manifests.resource_of(api, manifest)
    namespace = manifests.namespace_of(api, manifest, options) if resource.namespaced else ""
    name = manifests.name_of(manifest)
    if not name:
        raise CommandError(f"error: error when applying {manifest.source}: resource name may not be empty")
    path = names.path_of(resource, namespace, name)
    if options.server_side:
        query = {**create.write_query(options, "kubectl"), "force": options.force_conflicts or ""}
        made = api.call("PATCH", path, query=query, body=manifest.obj, content_type="application/apply-patch+yaml")
        create.announce(options, resource, made, "serverside-applied")
        return
    modified = annotated(manifest.obj, namespace)
    try:
        live = api.call("GET", path)
    except ApiFailure as error:
        if error.http_code != 404 or error.reason != "NotFound":
            raise
        if options.dry_run not in ("client", "unchanged"):
            query = create.write_query(options, "kubectl-client-side-apply")
            modified = api.call("POST", names.path_of(resource, namespace), query=query, body=modified)
        create.announce(options, resource, modified, "created")
        return
    patched = live
    if options.dry_run not in ("client", "unchanged"):
        patched = api.call("PATCH", path, query=create.write_query(options, "kubectl-client-side-apply"),
                           body=three_way(resource, live, modified), content_type=patch_type(resource))  # fmt: skip
    same = patched["metadata"].get("resourceVersion") == live["metadata"].get("resourceVersion")
    create.announce(options, resource, patched, "unchanged" if same and options.dry_run == "none" else "configured")


def annotated(obj: Obj, namespace: str) -> Obj:
    """The manifest with itself in the last-applied annotation (key order and final newline as kubectl's)."""
    plain = json.loads(json.dumps(obj))
    meta = plain.setdefault("metadata", {})
    if namespace:
        meta["namespace"] = namespace
    meta.setdefault("annotations", {}).pop(LAST_APPLIED, None)
    text = json.dumps(plain, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    text = escape_html(text) + "\n"
    meta["annotations"][LAST_APPLIED] = text
    return plain


def patch_type(resource: Any) -> str:
    from kogia.api import resources

    builtin = resources.find(resource.group, resource.version, resource.plural) is not None
    return "application/strategic-merge-patch+json" if builtin else "application/merge-patch+json"


def three_way(resource: Any, live: Obj, modified: Obj) -> Obj:
    """The patch that makes `live` what `modified` says, dropping what was applied before and is no longer in it."""
    original: Obj = {}
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if text:
        try:
            original = json.loads(text)
        except ValueError:
            original = {}
    patch = json.loads(json.dumps(modified))
    if patch_type(resource).startswith("application/strategic"):
        from kogia.cli.deletions import add_deletions, element_of

        add_deletions(patch, original, element_of(resource))
    else:
        _null_missing(patch, original)
    return patch


def _null_missing(patch: Obj, original: Obj) -> None:
    for key, value in original.items():
        if key not in patch:
            patch[key] = None
        elif isinstance(value, dict) and isinstance(patch[key], dict):
            _null_missing(patch[key], value)
