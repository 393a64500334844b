"""`kogia delete`: by file, by name, by selector; waits until the objects have gone, as kubectl does."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from kogia.cli import manifests, names
from kogia.cli.connection import Api, ApiFailure, connect
from kogia.cli.flags import Flags, Options, duration, integer
from kogia.cli.main import CommandError

Obj = dict[str, Any]


def add_options(parser: Flags) -> None:
    parser.usage = "TYPE[/NAME] [NAME…]"
    manifests.add_file_options(parser)
    parser.add("-l", "--selector", default="")
    parser.add("--field-selector", default="")
    parser.switch("--all", help="delete all resources of the types named")
    parser.switch("-A", "--all-namespaces")
    parser.add("--grace-period", convert=integer, default=-1, help="seconds; -1 = the object's own")
    parser.switch("--force", help="remove at once, without waiting for the node")
    parser.switch("--now", help="as --grace-period=1")
    parser.add("--cascade", bare="background", default="background")
    parser.switch("--ignore-not-found")
    parser.add("--wait", bare="true", default="", choices=("true", "false"), help="wait until the objects have gone (the default)")
    parser.add("--timeout", default=0.0, convert=duration, help="how long to wait for the end; 0 = no limit")
    parser.add("--dry-run", bare="client", default="none", choices=("none", "client", "server"))
    parser.add("-o", "--output", default="", choices=("", "name"))


def run(options: Options) -> int:
    if options.cascade not in ("background", "orphan", "foreground", "true", "false"):
        raise CommandError(f'error: invalid cascade value ({options.cascade}). Must be "background", "foreground", or "orphan"')
    grace = _grace(options)
    api = connect(options)
    wanted = _wanted(api, options)
    if options.force and grace == 0 and options.dry_run == "none":
        print("Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. "
              "The resource may continue to run on the cluster indefinitely.", file=sys.stderr)  # fmt: skip
    failures, gone = 0, []
    for target in wanted:
        try:
            gone.append((target, _delete(api, target, grace, options)))
        except ApiFailure as error:
            if error.reason == "NotFound" and (options.ignore_not_found or options.all):
                continue
            print(error.worded(f'error when deleting "{options.filename[0]}": ') if options.filename else error, file=sys.stderr)
            failures += 1
    if not gone and not failures and not options.ignore_not_found and (options.all or options.selector or options.field_selector):
        print("No resources found")
    if options.wait == "true" and options.dry_run == "none" and (not options.force or options.wait_given):
        _wait(api, gone, options.timeout or None)
    return 1 if failures else 0


def _grace(options: Options) -> int:
    """The grace period in seconds to ask for, -1 for the object's own. Errors: CommandError."""
    options.wait_given = options.wait != ""
    options.wait = options.wait or "true"
    grace = options.grace_period
    if options.now:
        if grace != -1:
            raise CommandError("error: --now and --grace-period cannot be specified together")
        return 1
    if grace == 0 and not options.force:
        if options.wait_given and options.wait == "false":
            raise CommandError("error: --grace-period=0 needs --force, or waiting for the deletion")
        return 1  # as kubectl: the node still gets to know, and the wait sees the end
    if options.force and grace < 0:
        return 0
    if options.force and grace > 0:
        raise CommandError("error: --force and --grace-period greater than 0 cannot be specified together")
    return int(grace)


def _wanted(api: Api, options: Options) -> list[names.Target]:
    """What to delete. Errors: CommandError, ApiFailure."""
    if options.filename:
        return manifests.targets_of_files(api, options)
    if options.all and (options.selector or options.field_selector):
        raise CommandError("error: setting 'all' parameter but found a non empty selector. " if options.selector else
                           "error: cannot set --all and --field-selector at the same time")  # fmt: skip
    found: list[names.Target] = []
    for target in names.targets(api, options.words, "delete"):
        if target.name:
            if options.all_namespaces:
                raise CommandError("error: a resource cannot be retrieved by name across all namespaces")
            found.append(target)
        elif options.all or options.selector or options.field_selector:
            found += names.members(api, target, labels=options.selector, fields=options.field_selector, everywhere=options.all_namespaces)
        else:
            raise CommandError("error: resource(s) were provided, but no name was specified")
    return found


def _delete(api: Api, target: names.Target, grace: int, options: Options) -> str:
    """Ask for the deletion and say so; returns the uid to wait for. Errors: ApiFailure."""
    policy = {"background": "Background", "true": "Background", "orphan": "Orphan", "false": "Orphan", "foreground": "Foreground"}[options.cascade]
    body: Obj = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
    if grace >= 0:
        body["gracePeriodSeconds"] = grace
    if options.dry_run == "server":
        body["dryRun"] = ["All"]
    path = target.path(api)
    answer = api.call("GET" if options.dry_run == "client" else "DELETE", path, **({} if options.dry_run == "client" else {"body": body}))
    shown = names.shown_name(target.resource, target.name)
    suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(options.dry_run, "")
    kind, _, name = shown.partition("/")
    if options.output == "name":
        print(shown)
    else:
        print(f'{kind} "{name}" {"force deleted" if options.force and grace == 0 else "deleted"}{suffix}')
    sys.stdout.flush()
    return (answer.get("details") or answer.get("metadata") or {}).get("uid", "")


def _wait(api: Api, gone: list[tuple[names.Target, str]], timeout_s: float | None) -> None:
    """Until each object has gone (or another took its name). Errors: CommandError on a time-out."""
    deadline = time.monotonic() + timeout_s if timeout_s else None
    for target, uid in gone:
        while True:
            try:
                live = api.call("GET", target.path(api))
            except ApiFailure as error:
                if error.http_code == 404:
                    break
                raise
            if uid and live["metadata"]["uid"] != uid:
                break
            if deadline and time.monotonic() > deadline:
                raise CommandError(f"error: timed out waiting for the condition on {names.shown_name(target.resource, target.name)}")
            _next_change(api, target, live["metadata"]["resourceVersion"], deadline)


def _next_change(api: Api, target: names.Target, revision: str, deadline: float | None) -> None:
    """Block until the object is deleted, or some seconds have passed."""
    patience = min(30.0, deadline - time.monotonic()) if deadline else 30.0
    query = {"watch": "1", "resourceVersion": revision, "fieldSelector": f"metadata.name={target.name}", "timeoutSeconds": max(1, int(patience))}
    for line in api.lines(target.path(api).rpartition("/")[0], query):
        if json.loads(line)["type"] in ("DELETED", "ERROR"):
            return
