"""YAML as kubectl writes it, and the small reader of plain kubeconfigs."""

from __future__ import annotations

import pytest
import yaml

from kogia.api.yaml_loader import load
from kogia.cli.yaml_text import natural, to_yaml
from kogia.client import yaml_plain


@pytest.mark.parametrize("text", ["", "1", "-1", "1.5", "1e3", "0x1f", "0o7", "010", "1_000", "true", "y", "No", "off", "null", "~", "2026-01-02", "2026-01-02T03:04:05Z", ".inf", "<<", "12:30"])
def test_texts_that_look_like_something_else_are_in_double_quotes(text: str) -> None:
    assert to_yaml({"a": text}) == f'a: "{text}"\n'


@pytest.mark.parametrize("text", ["100m", "1Gi", "v1", "a: b", "x #y", "-", "*", "@", "key:", "{", " lead", "tail ", "it's", "a\nb", "a\nb\n", "a \nb", "\t", "é", "%x", "!y", "yes!"])
def test_any_text_reads_back_as_itself(text: str) -> None:
    assert load(to_yaml({"a": text, "l": [text]}))[0] == {"a": text, "l": [text]}


def test_layout_is_gos() -> None:
    obj = {"b": [{"y": 1, "x": None}], "a": {"n": True}, "e": {}, "l": [], "f": 0.5}
    assert to_yaml(obj) == "a:\n  \"n\": true\nb:\n- x: null\n  \"y\": 1\ne: {}\nf: 0.5\nl: []\n"


def test_long_plain_texts_fold_at_eighty_and_long_lines_of_blocks_do_not() -> None:
    words = " ".join(["word"] * 40)
    assert max(map(len, to_yaml({"a": words}).splitlines())) <= 84
    assert load(to_yaml({"a": words}))[0] == {"a": words}
    assert words in to_yaml({"a": words + "\nx"})


def test_keys_sort_numbers_by_value_and_signs_first() -> None:
    assert sorted(["a10", "a2", "b", "a.b", "A"], key=natural) == ["A", "a.b", "a2", "a10", "b"]


PLAIN = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: LS0tLS1CRUdJTg==
    server: https://127.0.0.1:6443
  name: "kogia"
contexts:
- context: {}
  name: kogia
current-context: kogia
users:
- name: kogia
  user:
    insecure: true
"""


def test_a_plain_kubeconfig_needs_no_yaml_library() -> None:
    assert yaml_plain.load(PLAIN) == yaml.safe_load(PLAIN)
    assert yaml_plain.load(PLAIN.replace("\n- ", "\n  - ").replace("\n  name", "\n    name").replace("\n    cert", "\n      cert").replace("\n    server", "\n      server").replace("\n  user", "\n    user").replace("\n    insecure", "\n      insecure"))


@pytest.mark.parametrize("text", ["a: 1", "a: yes", "a: 'x'", "a: |\n  x", "a: &b c", "a: [1]", "a:", "a: b\na: c", "- a: b", "a: b # c", "a:\n  b: c\n d: e", "a: 2026-01-01",
                                  "a: 0x10", "? a", "a: \"\\q\"", "a: b: c", "---\na: b", "a:\n- - b: c", "a:\n- b: c\n   d: e", "!x a: b"])  # fmt: skip
def test_anything_else_is_left_to_the_real_parser(text: str) -> None:
    with pytest.raises(yaml_plain.NotPlain):
        yaml_plain.load(text)
