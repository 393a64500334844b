"""Name rules, with Kubernetes' own texts."""

from __future__ import annotations

import pytest

from kogia.api import names


@pytest.mark.parametrize(("check", "good", "bad"), [
    (names.dns1123_label, ["a", "0", "a-b", "a" * 63], ["", "-a", "a-", "A", "a.b", "a" * 64, "a\n", "é"]),
    (names.dns1123_subdomain, ["a", "a.b", "0.0", "a" * 253], ["", ".a", "a.", "a..b", "A", "a_b", "a" * 254, "a.-b"]),
    (names.dns1035_label, ["a", "a-1"], ["1a", "", "a.b", "-a"]),
    (names.wildcard_dns1123_subdomain, ["*.a.b"], ["a.b", "*", "*.", "a.*.b"]),
    (names.qualified_name, ["a", "A_b.c", "x.io/a", "a" * 63, "1"], ["", "/a", "a/", "a/b/c", "-a", "a b", "X.io/a", "a" * 64]),
    (names.label_value, ["", "a", "A_b.c", "1"], ["-", "a-", " ", "a" * 64, "a/b"]),
    (names.c_identifier, ["a", "_", "A1"], ["1", "", "a-b"]),
    (names.env_var_name, ["a", "1a", "a b", "a.b-c"], ["", "a=b", "é", "a\n"]),
    (lambda v: names.env_var_name(v, strict=True), ["a.b-c", "_A"], ["1a", "", "a b", "..", ".", "..a"]),
    (names.config_map_key, ["a.b", "-", "A_"], ["", ".", "..", "..a", "a/b", "a" * 254]),
    (names.port_name, ["http", "a1", "1a"], ["", "1", "-a", "a-", "a--b", "A", "a" * 16]),
    (names.percent, ["1%", "100%"], ["", "%", "1", "-1%"]),
    (names.path_segment_name, ["a", "A:b", "..."], [".", "..", "a/b", "a%"]),
    (names.port_number, [1, 65535], [0, 65536, -1]),
])
def test_rules(check, good, bad) -> None:  # type: ignore[no-untyped-def]
    assert [value for value in good if check(value)] == []
    assert [value for value in bad if not check(value)] == []


def test_texts() -> None:
    assert names.dns1123_subdomain("A") == [
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
        r"alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    ]
    assert names.dns1123_label("A") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
        "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]
    assert names.label_value("-") == [
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ]
    assert names.qualified_name("/a") == ["prefix part must be non-empty"]
    assert names.dns1123_label("a" * 64) == ["must be no more than 63 characters"] and names.label_value("a" * 64) == ["must be no more than 63 bytes"]
    assert names.dns1123_label("a.b") == ["must not contain dots"]
    assert names.port_number(0) == ["must be between 1 and 65535, inclusive"]


def test_a_generate_name_may_end_in_a_dash() -> None:
    assert names.prefix_ok(names.dns1123_subdomain, "web-") == []
    assert names.prefix_ok(names.dns1123_subdomain, "web.") != []
    assert names.prefix_ok(names.dns1123_subdomain, "-") != []
