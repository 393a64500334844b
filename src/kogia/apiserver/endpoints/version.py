"""`/version`: which Kubernetes this server is to its clients, and what it really is."""

from __future__ import annotations

import platform
import re
from typing import Any

import kogia


def version_info() -> dict[str, Any]:
    """`version.Info` with Go's field names. `gitVersion` is the API served; `goVersion` and `compiler` tell the truth."""
    match = re.match(r"v(\d+)\.(\d+)", kogia.KUBERNETES_VERSION)
    assert match is not None
    minor = match[2]
    return {
        "major": match[1], "minor": minor, "emulationMajor": match[1], "emulationMinor": minor, "minCompatibilityMajor": match[1],
        "minCompatibilityMinor": str(int(minor) - 1), "gitVersion": f"{kogia.KUBERNETES_VERSION}+kogia{kogia.__version__}",
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}", "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{_architecture()}",
    }


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}.get(machine, machine)
