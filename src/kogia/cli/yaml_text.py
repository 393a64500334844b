"""YAML as Go's encoder writes it (`-o yaml`): keys in its natural order, double quotes where a plain text would be read as something else.

libyaml does the writing on both sides; only order and the choice of quotes are made here. Neighbour: api.yaml_loader reads by the same rules.
Source: sigs.k8s.io/yaml's goyaml.v2 (encode.go, sorter.go).
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_NOT_TEXT = re.compile(
    r"(?:|~|null|Null|NULL|<<|y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF|true|True|TRUE|false|False|FALSE"
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?(?:0b[01_]+|0[xX][0-9a-fA-F_]+|0o?[0-7_]+|[0-9][0-9_]*)"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?)\Z"
)
_RUN = re.compile(r"[0-9]+|.", re.DOTALL)
_TEXT = "tag:yaml.org,2002:str"


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Nothing is resolved: every scalar is written as it is told."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, data: str) -> Any:
    style = "|" if "\n" in data else '"' if _NOT_TEXT.match(data) else None
    return dumper.represent_scalar(_TEXT, data, style=style)


def _plain(dumper: Any, data: Any) -> Any:
    text = "null" if data is None else str(data).lower() if isinstance(data, bool) else repr(data)
    return dumper.represent_scalar(_TEXT, text)


def _mapping(dumper: Any, data: dict[str, Any]) -> Any:
    return dumper.represent_mapping("tag:yaml.org,2002:map", [(key, data[key]) for key in sorted(data, key=natural)])


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)
for _kind in (int, float, bool, type(None)):
    _Dumper.add_representer(_kind, _plain)


def natural(key: str) -> list[tuple[int, int, str]]:
    """Order of keys: numbers inside by value, signs before numbers before letters."""
    return [(1, int(run), "") if run.isdecimal() and run.isascii() else (2, 0, run) if run.isalpha() else (0, 0, run) for run in _RUN.findall(key)]


def to_yaml(obj: Any) -> str:
    """The document's text, ending in a line break."""
    return yaml.dump(obj, Dumper=_Dumper, default_flow_style=False, width=80, allow_unicode=True)
