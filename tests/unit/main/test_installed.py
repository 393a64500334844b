"""What pip installs is the command line the checkout's launcher runs."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from kogia.main import quickstart

ROOT = Path(__file__).resolve().parents[3]


def test_the_installed_command_is_the_whole_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    module, _, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["kogia"].partition(":")
    main = getattr(importlib.import_module(module), function)
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "quickstart" in said and "get" in said and "kubelet" in said


def test_the_package_carries_what_quickstart_applies() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["examples"] == "kogia/examples"
    assert quickstart.example().name == "hello.yaml"
