"""Selectors: what they match, how they print, how they fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kogia.api.selectors import (
    EVERYTHING,
    NOTHING,
    SelectorError,
    label_selector_from_map,
    label_selector_from_object,
    parse_field_selector,
    parse_label_selector,
)


@pytest.mark.parametrize(("text", "labels", "matches"), [
    ("a=b", {"a": "b"}, True), ("a=b", {"a": "c"}, False), ("a=b", {}, False), ("a==b", {"a": "b"}, True),
    ("a!=b", {}, True), ("a!=b", {"a": "b"}, False), ("a", {"a": ""}, True), ("a", {}, False), ("!a", {}, True), ("!a", {"a": ""}, False),
    ("a in (b,c)", {"a": "c"}, True), ("a in (b,c)", {}, False), ("a notin (b)", {}, True), ("a notin (b)", {"a": "b"}, False),
    ("a>1", {"a": "2"}, True), ("a>1", {"a": "1"}, False), ("a<1", {"a": "x"}, False), ("a<1", {}, False), ("a<-1", {"a": "-2"}, True),
    ("a=", {"a": ""}, True), ("a in (,x)", {"a": ""}, True), ("x.io/a=b,c", {"x.io/a": "b", "c": ""}, True), ("a=b,c=d", {"a": "b"}, False), ("", {"q": "r"}, True),
    ("in in (in,notin)", {"in": "notin"}, True),
])
def test_matching(text: str, labels: dict[str, str], matches: bool) -> None:
    if text == "a<-1":
        with pytest.raises(SelectorError):  # label values may not start with a dash, so Kubernetes refuses it, too
            parse_label_selector(text)
        return
    assert parse_label_selector(text).matches(labels) is matches


@pytest.mark.parametrize(("text", "printed"), [
    ("b=c, a==d", "a==d,b=c"), ("x in (c,a , b)", "x in (a,b,c)"), ("!y,z", "!y,z"), ("a>1", "a>1"), (" ", ""), ("n notin (q)", "n notin (q)"),
])
def test_printing(text: str, printed: str) -> None:
    assert str(parse_label_selector(text)) == printed


@pytest.mark.parametrize(("text", "message"), [
    ("a=b=c", "found '=', expected: ',' or 'end of string'"), ("=a", "found '=', expected: !, identifier, or 'end of string'"),
    ("a in", "unable to parse requirement: found '' expected: '('"), ("a in (b", "found '', expected: ',' or ')'"), ("a,", "found '', expected: identifier after ','"),
    ("a b", "found 'b', expected: in, notin, =, ==, !=, gt, lt"), ("a>x", "for 'Gt', 'Lt' operators, the value must be an integer"),
    ("-=b", 'unable to parse requirement: <nil>: Invalid value: "-": name part must consist of'), ("a=b!", "expected: ',' or 'end of string'"),
])
def test_errors(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_label_selector(text)
    assert message in str(caught.value)


def test_objects() -> None:
    selector = label_selector_from_object({"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "c", "operator": "In", "values": ["d", "e"]}, {"key": "f", "operator": "DoesNotExist"}, {"key": "g", "operator": "Exists"}]})
    assert str(selector) == "a=b,c in (d,e),!f,g"
    assert selector.matches({"a": "b", "c": "d", "g": ""}) and not selector.matches({"a": "b", "c": "d", "g": "", "f": ""})
    assert label_selector_from_object(None) == NOTHING and not NOTHING.matches({}) and not NOTHING.empty
    assert label_selector_from_object({}) == EVERYTHING and EVERYTHING.matches(None) and EVERYTHING.empty
    assert label_selector_from_map({"a": "b"}).matches({"a": "b"})
    for bad in ({"key": "a", "operator": "in", "values": ["b"]}, {"key": "a", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["x"]}):
        with pytest.raises(SelectorError):
            label_selector_from_object({"matchExpressions": [bad]})


def test_fields() -> None:
    selector = parse_field_selector(r"metadata.name=a\,b,spec.nodeName!=x,status.phase==Running,,")
    assert [(r.name, r.op, r.value) for r in selector.requirements] == [
        ("metadata.name", "=", "a,b"), ("spec.nodeName", "!=", "x"), ("status.phase", "=", "Running")]
    assert selector.matches({"metadata.name": "a,b", "status.phase": "Running"})
    assert not selector.matches({"metadata.name": "a,b", "status.phase": "Running", "spec.nodeName": "x"})
    assert selector.exact("status.phase") == "Running" and selector.exact("spec.nodeName") is None
    assert str(selector) == r"metadata.name=a\,b,spec.nodeName!=x,status.phase=Running"
    assert parse_field_selector("").empty and parse_field_selector("spec.nodeName=").matches({})


@pytest.mark.parametrize(("text", "message"), [
    ("a", "invalid selector: 'a'; can't understand 'a'"), ("a=b=c", "invalid field selector: unescaped character in value: ="),
    (r"a=\x", r"invalid field selector: invalid escape sequence: \x"), ("a=\\", "invalid escape sequence"),
])
def test_field_errors(text: str, message: str) -> None:
    with pytest.raises(SelectorError, match=None) as caught:
        parse_field_selector(text)
    assert message in str(caught.value)


_names = st.from_regex(r"[a-z]([-a-z0-9.]{0,8}[a-z0-9])?", fullmatch=True)
_terms = st.one_of(
    st.builds(lambda k, op, v: f"{k}{op}{v}", _names, st.sampled_from(["=", "==", "!="]), _names),
    st.builds(lambda k, op, vs: f"{k} {op} ({','.join(vs)})", _names, st.sampled_from(["in", "notin"]), st.lists(_names, min_size=1, max_size=3)),
    _names, _names.map("!".__add__), st.builds(lambda k, n: f"{k}>{n}", _names, st.integers(0, 99)),
)


@given(st.lists(_terms, max_size=4), st.dictionaries(_names, _names, max_size=4))
def test_printing_parses_back_to_the_same_selector(terms: list[str], labels: dict[str, str]) -> None:
    selector = parse_label_selector(",".join(terms))
    again = parse_label_selector(str(selector))
    assert str(again) == str(selector) and again.matches(labels) == selector.matches(labels)


@given(st.text(alphabet="ab=!,()<> innot\\/.", max_size=20))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for parse in (parse_label_selector, parse_field_selector):
        try:
            parse(text)
        except SelectorError as error:
            assert str(error)
