"""Column printer, JSONPath, YAML and describe's alignment against what kubectl prints."""

from __future__ import annotations

import pytest

from kogia.cli import jsonpath, printers, yaml_text
from kogia.cli.describe.common import Writer
from kogia.cli.main import CommandError

PODS = {"kind": "List", "items": [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"x.y/z": "1"}}, "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "False"}], "n": 3}},
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}, "status": {"n": 10}},
]}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[0:1].metadata.name}", "a"),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.status.n}{"\\n"}{end}', "a\t3\nb\t10\n"),
        ('{.items[0].status.conditions[?(@.type=="Ready")].status}', "True"),
        ("{.items[?(@.status.n>5)].metadata.name}", "b"),
        (r"{.items[0].metadata.labels.x\.y/z}", "1"),
        ("{.items[0].metadata.labels['x.y/z']}", "1"),
        ("{.items[0].metadata.labels}", '{"x.y/z":"1"}'),
        ("name: {.items[0].metadata.name}!", "name: a!"),
        ("{.missing.path}", ""),
        ("{..type}", "Ready Initialized"),
        ("{$.kind}", "List"),
    ],
)
def test_jsonpath(template: str, expected: str) -> None:
    assert jsonpath.render(template, PODS) == expected


@pytest.mark.parametrize("template", ["{.items[}", "{range .items[*]}{.x}", "{end}", "{.items[a b]}"])
def test_bad_jsonpath(template: str) -> None:
    with pytest.raises(jsonpath.JsonPathError):
        jsonpath.render(template, PODS)


def test_columns_are_three_blanks_apart_and_the_last_is_not_padded() -> None:
    assert printers.columns([["NAME", "READY", "STATUS"], ["pod-apache", "1/1", "Running"]]) == [
        "NAME         READY   STATUS", "pod-apache   1/1     Running"]  # fmt: skip


def test_table_writer_hides_wide_columns_and_keeps_widths() -> None:
    table = {"columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "IP", "priority": 1}], "rows": [{"cells": ["x", "10.0.0.1"], "object": {"metadata": {"namespace": "n"}}}]}
    assert printers.TableWriter(wide=False, headers=True).lines(table) == ["NAME", "x"]
    writer = printers.TableWriter(wide=True, headers=True, with_namespace=True)
    assert writer.lines(table) == ["NAMESPACE   NAME   IP", "n           x      10.0.0.1"]
    assert writer.lines({"rows": table["rows"]}) == ["n           x      10.0.0.1"]


def test_custom_columns_and_names() -> None:
    show = printers.object_printer("custom-columns=NAME:.metadata.name,N:{.status.n},L:.metadata.labels.q", lambda o: "")
    assert show is not None and show(PODS) == "NAME   N     L\na      3     <none>\nb      10    <none>\n"
    named = printers.object_printer("name", lambda o: f"pod/{o['metadata']['name']}")
    assert named is not None and named(PODS) == "pod/a\npod/b\n"
    with pytest.raises(CommandError, match="unable to match a printer"):
        printers.object_printer("xml", lambda o: "")


def test_yaml_quotes_what_would_change_its_type() -> None:
    import yaml

    value = {"a": "yes", "b": "010", "c": "1e3", "d": "null", "e": "line\nbreak\n", "f": "2020-01-01", "g": "", "h": 1, "i": None, "j": True}
    assert yaml.safe_load(yaml_text.to_yaml(value)) == value


def test_describe_aligns_each_block_by_itself() -> None:
    w = Writer()
    w.line(0, "Name:", "x")
    w.line(0, "Namespace:", "default")
    w.line(0, "Containers:")
    w.line(1, "a:")
    w.line(2, "Image:", "i")
    w.line(2, "Container ID:", "c")
    assert w.text() == "Name:       x\nNamespace:  default\nContainers:\n  a:\n    Image:         i\n    Container ID:  c\n"
