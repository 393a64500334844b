"""`kogia version`."""

from __future__ import annotations

import json

import kogia
from kogia.cli.flags import Flags, Options
from kogia.cli.main import CommandError


def add_options(parser: Flags) -> None:
    parser.switch("--client", help="only the client's version; no server needed")
    parser.add("-o", "--output", default="")


def run(options: Options) -> int:
    if options.output not in ("", "json", "yaml"):
        raise CommandError("error: --output must be 'yaml' or 'json'")
    major, minor = kogia.KUBERNETES_VERSION.lstrip("v").split(".")[:2]
    report = {"clientVersion": {"gitVersion": kogia.KUBERNETES_VERSION, "major": major, "minor": minor, "kogia": kogia.__version__}}
    failure = None
    if not options.client:
        from kogia.cli.connection import connect

        try:
            report["serverVersion"] = connect(options).call("GET", "/version")
        except CommandError as error:
            failure = error
    if options.output == "json":
        print(json.dumps(report, indent=2))
    elif options.output == "yaml":
        from kogia.cli.yaml_text import to_yaml

        print(to_yaml(report), end="")
    else:
        print(f"Client Version: {kogia.KUBERNETES_VERSION} (Kogia {kogia.__version__})")
        if "serverVersion" in report:
            print(f"Server Version: {report['serverVersion']['gitVersion']}")
    if failure:
        raise failure
    return 0
