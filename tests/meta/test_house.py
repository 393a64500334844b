"""The house's habits as failing checks: docstrings, sizes, supervised tasks, no leftovers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "kogia"
SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_says_why_it_is_there_and_stays_readable(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert path.name == "__main__.py" or ast.get_docstring(tree), "a module needs a docstring"
    assert text.count("\n") <= 800, "no file above 800 lines"
    assert path.stem not in ("utils", "util", "manager", "helpers", "misc")
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "create_task":
            assert path.name == "tasks.py", f"line {node.lineno}: use TaskOwner.spawn"
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
            assert not (broad and all(isinstance(s, ast.Pass | ast.Continue) for s in node.body)), f"line {node.lineno}: a broad except that swallows"


def test_there_are_sources() -> None:
    assert len(SOURCES) > 100


def test_readme_commands_exist() -> None:
    from kogia.cli.main import COMMANDS
    from kogia.main.entry import COMPONENTS, NODE_COMMANDS

    known = {*COMMANDS, *COMPONENTS, *NODE_COMMANDS, "test"}
    used = set(re.findall(r"(?:\./|`)kogia ([a-z][a-z-]+)", (ROOT / "README.md").read_text()))
    assert used and used <= known, used - known
