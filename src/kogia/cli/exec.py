"""`kogia exec [-it] POD [-c CONTAINER] -- COMMAND`: a command in a container. What streams is in `terminal.py`."""

from __future__ import annotations

import sys
from typing import Any

from kogia.cli import names
from kogia.cli.connection import Api, connect
from kogia.cli.flags import Flags, Options
from kogia.cli.main import CommandError

Obj = dict[str, Any]


def add_options(parser: Flags) -> None:
    parser.usage = "(POD | TYPE/NAME) [-c CONTAINER] -- COMMAND [ARG…]"
    parser.keeps_dashed = True
    parser.add("-c", "--container", help="the container; the first one if not given")
    parser.switch("-i", "--stdin", help="pass stdin to the container")
    parser.switch("-t", "--tty", help="stdin is a terminal")
    parser.switch("-q", "--quiet", help="only print output from the remote session")
    parser.add("--pod-running-timeout", default="1m0s", help="how long to wait until a Pod of TYPE/NAME runs")


def run(options: Options) -> int:
    command = list(options.dashed or [])
    if not options.words:
        raise CommandError("error: pod, type/name or --filename must be specified")
    if len(options.words) > 1:
        raise CommandError("error: exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\nSee 'kogia exec -h' for help and examples")
    if not command:
        raise CommandError("error: you must specify at least one command for the container")
    api = connect(options)
    pod = pod_of(api, options.words[0])
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise CommandError(f"error: cannot exec into a container in a completed pod; current phase is {phase}")
    from kogia.cli import terminal

    container = options.container or default_container(pod, quiet=options.quiet)
    return terminal.stream(options, api.namespace, pod["metadata"]["name"], container, command, verb="exec")


def pod_of(api: Api, word: str) -> Obj:
    """`x`, `pod/x`: that Pod; `deploy/x`, `svc/x`: the first running Pod its selector finds. Errors: ApiFailure, CommandError."""
    kind, _, name = word.rpartition("/")
    resource = names.find(api, kind or "pods")
    live = api.call("GET", names.path_of(resource, api.namespace, name))
    if resource.plural == "pods" and not resource.group:
        return live
    found = selected_pods(api, live)
    if not found:
        raise CommandError("error: timed out waiting for the condition")
    return next((p for p in found if (p.get("status") or {}).get("phase") == "Running"), found[0])


def selected_pods(api: Api, owner: Obj) -> list[Obj]:
    """The Pods an object's selector (a Service's map, or a workload's labelSelector) finds. Errors: CommandError if it has none."""
    selector = (owner.get("spec") or {}).get("selector")
    if not selector:
        raise CommandError(f"error: cannot attach to *unstructured.Unstructured: {owner.get('kind')} has no selector")
    wanted = [f"{k}={v}" for k, v in sorted(selector.get("matchLabels", {} if "matchExpressions" in selector else selector).items())]
    for rule in selector.get("matchExpressions") or ():
        values = ",".join(rule.get("values") or ())
        wanted.append({"In": f"{rule['key']} in ({values})", "NotIn": f"{rule['key']} notin ({values})", "Exists": rule["key"],
                       "DoesNotExist": "!" + rule["key"]}[rule["operator"]])  # fmt: skip
    return api.call("GET", names.path_of(names.find(api, "pods"), api.namespace), query={"labelSelector": ",".join(wanted)})["items"]


def default_container(pod: Obj, *, quiet: bool) -> str:
    """The annotated container, else the first one, which is told if there are others."""
    spec = pod["spec"]
    plain = [c["name"] for c in spec["containers"]]
    init = [c["name"] for c in spec.get("initContainers") or []]
    extra = [c["name"] for c in spec.get("ephemeralContainers") or []]
    chosen = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if chosen in (*plain, *init, *extra):
        return str(chosen)
    if len(plain) + len(init) + len(extra) > 1 and not quiet:
        shown = [*plain, *(f"{n} (ephem)" for n in extra), *(f"{n} (init)" for n in init)]
        print(f'Defaulted container "{plain[0]}" out of: {", ".join(shown)}', file=sys.stderr)
    return str(plain[0])


