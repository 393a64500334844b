"""Merging keeps what people have; what is written is read back alike by PyYAML and by our Go-like loader."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
import yaml

from kogia.api.yaml_loader import load
from kogia.main.kubeconfig import merge_kubeconfig, remove_from_kubeconfig, to_yaml, write_kubeconfig

THEIRS = """\
apiVersion: v1
kind: Config
clusters:
- name: work
  cluster: {server: "https://example:6443", insecure-skip-tls-verify: true}
contexts:
- name: work
  context: {cluster: work, user: me, namespace: "on"}
current-context: work
users:
- name: me
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: aws
      args: ["--region", "1e3", 'a: b', "2020-01-01", "~", ""]
      env: null
      interactiveMode: IfAvailable
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for name in ("ca", "cert", "key"):
        made[name] = tmp_path / f"{name}.pem"
        made[name].write_bytes(name.encode())
    return made


def test_merge_keeps_the_rest_and_removal_restores_it(tmp_path: Path, files: dict[str, Path]) -> None:
    target = tmp_path / "config"
    target.write_text(THEIRS)
    os.chmod(target, 0o640)
    for _ in range(2):
        merge_kubeconfig(target, "kogia", server="https://127.0.0.1:6443", **files)
    config = yaml.safe_load(target.read_text())
    before = yaml.safe_load(THEIRS)
    assert config["current-context"] == "kogia"
    assert [c["name"] for c in config["contexts"]] == ["work", "kogia"]
    assert config["users"][0] == before["users"][0] and config["clusters"][0] == before["clusters"][0]
    assert config["contexts"][0]["context"]["namespace"] == "on"
    assert base64.b64decode(config["users"][1]["user"]["client-key-data"]) == b"key"
    assert target.stat().st_mode & 0o777 == 0o640
    assert load(target.read_bytes())[0] == config
    assert remove_from_kubeconfig(target, "kogia")
    after = yaml.safe_load(target.read_text())
    assert after["users"] == before["users"] and after["current-context"] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ca.pem", "cert.pem", "config", "key.pem"]


def test_a_namespace_somebody_chose_survives(tmp_path: Path, files: dict[str, Path]) -> None:
    target = tmp_path / "c"
    merge_kubeconfig(target, "kogia", server="https://a", **files)
    target.write_text(target.read_text().replace("    user: kogia", "    user: kogia\n    namespace: dev"))
    merge_kubeconfig(target, "kogia", server="https://b", **files)
    config = yaml.safe_load(target.read_text())
    assert config["contexts"][0]["context"]["namespace"] == "dev" and config["clusters"][0]["cluster"]["server"] == "https://b"
    assert target.stat().st_mode & 0o777 == 0o600


def test_symbolic_links_stay_links(tmp_path: Path, files: dict[str, Path]) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text(THEIRS)
    link.symlink_to(real)
    merge_kubeconfig(link, "kogia", server="https://a", **files, make_current=False)
    assert link.is_symlink() and yaml.safe_load(real.read_text())["current-context"] == "work"


def test_what_is_no_kubeconfig_is_left_alone(tmp_path: Path, files: dict[str, Path]) -> None:
    target = tmp_path / "c"
    for text in ("[1, 2]", "clusters: {a: b}", "{"):
        target.write_text(text)
        with pytest.raises(ValueError):
            merge_kubeconfig(target, "kogia", server="https://a", **files)
        assert target.read_text() == text


def test_write_kubeconfig(tmp_path: Path, files: dict[str, Path]) -> None:
    write_kubeconfig(tmp_path / "sub" / "k", "https://h:1", files["ca"], files["cert"], files["key"], "ctx")
    config = yaml.safe_load((tmp_path / "sub" / "k").read_text())
    assert config["current-context"] == "ctx" and config["clusters"][0]["cluster"]["server"] == "https://h:1"


@pytest.mark.parametrize("value", [{"a": [[1, 2], {"b": []}], "c": {}}, {"x": ["yes", "1.0", "- a", "k: v", "#c", "ä", "a\nb", "'", '"', "y", "0x1", "a:b", "a:1"]}, [], {"": None}])
def test_yaml_round_trips(value: object) -> None:
    assert yaml.safe_load(to_yaml(value)) == value
    assert load(to_yaml(value).encode())[0] == value
