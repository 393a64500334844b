"""`kogia quickstart`: from nothing to a Pod that serves a page, shown.

Starts the cluster, makes a demo image on the spot (no registry needed), applies examples/hello.yaml, waits until the Pod is Ready, shows it and the
page from its IP. Running it again is harmless.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
from pathlib import Path

from kogia.base.cluster import ConfigError
from kogia.main import settings, up

POD = "hello"


def run(options: argparse.Namespace) -> int:
    options.foreground = False
    say("starting the cluster")
    up.up(options)
    config = settings.existing(options)
    place = ["--data-dir", config.data_dir]
    say("making the demo image localhost/kogia-demo:latest from this machine's busybox")
    from kogia.main.demo_image import make_demo_image

    make_demo_image(config)
    say("applying examples/hello.yaml")
    cli(["apply", "-f", str(example()), *place])
    cli(["wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=60s", *place])
    say("kogia get pods -o wide")
    cli(["get", "pods", "-o", "wide", *place])
    address = pod_ip(place)
    say(f"the page at http://{address}:8080/")
    print(fetch(f"http://{address}:8080/"))
    own = os.environ.get("KOGIA_COMMAND", "kogia")  # how the launcher was called
    print(f"""Try next:
  kubectl get pods -A                       (the context {config.context} is in your kubeconfig; or use `{own} get pods -A`)
  kubectl logs {POD}
  kubectl exec -it {POD} -- busybox sh
  kubectl describe pod {POD}
  {own} crictl ps
  {own} down --pods, {own} up, {own} reset --yes""")
    return 0


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def cli(words: list[str]) -> None:
    from kogia.cli.main import main

    status = main(words)
    sys.stdout.flush()
    if status:
        raise ConfigError(f"`kogia {' '.join(words)}` failed; `kogia describe pod {POD}` and `kogia logs` say more")


def example() -> Path:
    """examples/hello.yaml of the checkout, or the copy inside the installed package."""
    package = Path(__file__).resolve().parent.parent
    for root in (*package.parents[:2], package):
        if (root / "examples" / "hello.yaml").exists():
            return root / "examples" / "hello.yaml"
    raise ConfigError("examples/hello.yaml is missing from this installation: install Kogia again")


def pod_ip(place: list[str]) -> str:
    from kogia.cli.connection import connect
    from kogia.cli.main import connection_options

    return str(json.loads(connect(connection_options(["--data-dir", place[1]])).raw("GET", f"/api/v1/namespaces/default/pods/{POD}"))["status"]["podIP"])


def fetch(url: str, patience_s: float = 10.0) -> str:
    """The page; a server that is just starting gets some time. Errors: ConfigError."""
    deadline = time.monotonic() + patience_s
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=5) as answer:
                return answer.read().decode()
        except OSError as error:
            if time.monotonic() > deadline:
                raise ConfigError(f"{url} did not answer: {error}; `kogia logs {POD}` may say why") from error
            time.sleep(0.1)
