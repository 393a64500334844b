"""For every test: child processes find the package too, whether or not it is installed."""

from __future__ import annotations

import os
from pathlib import Path

_SOURCES = str(Path(__file__).resolve().parents[1] / "src")
os.environ["PYTHONPATH"] = os.pathsep.join([_SOURCES, *(p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != _SOURCES)])
