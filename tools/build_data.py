"""Build hook: cuts the schema data out of the package that publishes them; nothing it makes is committed.

Run by hatchling for wheels and editable installs; by hand (`python tools/build_data.py`) it fills a bare checkout.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.resources
import json
import re
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.search(r'KUBERNETES_VERSION = "v(\d+\.\d+)', (ROOT / "src" / "kogia" / "__init__.py").read_text())[1]  # type: ignore[index]


def cut_schema() -> None:
    """kogia/api/data/schema.bin: zlib of the JSON object {definition name: definition} of one Kubernetes minor version."""
    target = ROOT / "src" / "kogia" / "api" / "data" / "schema.bin"
    source = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema"
    folder = next(p for p in source.iterdir() if p.name.startswith(f"v{VERSION}.") and p.name.endswith("-local"))
    data = json.loads((folder / "_definitions.json").read_bytes())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(zlib.compress(json.dumps(data["$defs"], separators=(",", ":")).encode(), 9))


def cut_cri() -> None:
    """kogia/cri/data/cri.bin: the serialized FileDescriptorProto of runtime.v1, read out of the generated module without importing it.

    (Its package pins a protobuf that need not be ours; as text it has no needs.)
    """
    target = ROOT / "src" / "kogia" / "cri" / "data" / "cri.bin"
    source = importlib.metadata.distribution("container-runtime-interface-api").locate_file("cri_api/v1/api_pb2.py")
    calls = (node for node in ast.walk(ast.parse(Path(str(source)).read_text())) if isinstance(node, ast.Call))
    serialized = next(
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "AddSerializedFile" and isinstance(call.args[0], ast.Constant)
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(serialized)  # type: ignore[arg-type]


def build_all() -> None:
    cut_schema()
    cut_cri()


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class BuildDataHook(BuildHookInterface):
        PLUGIN_NAME = "custom"

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            build_all()
except ImportError:  # run by hand without hatchling
    pass

if __name__ == "__main__":
    build_all()
