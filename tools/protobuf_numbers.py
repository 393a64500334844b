"""Make `kogia/api/protobuf_numbers.txt`: the protobuf field numbers of Kubernetes' types, read off the tags in the Go sources.

    python tools/protobuf_numbers.py <k8s.io/api checkout> <k8s.io/apimachinery checkout> > kogia/api/protobuf_numbers.txt

Run by hand when a new Kubernetes version is taken up (numbers never change, new ones come). One line per type:
`<definition> <json field>=<number>[*] … +<definition>=<number> …`: `*` marks a pointer to a scalar, whose zero means something;
`+` a message whose fields stand in their parent in JSON. Types the schema does not know are left out.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from kogia.api import schema

STRUCT = re.compile(r"^type (\w+) struct \{$")
FIELD = re.compile(r'^\t(?:(?P<name>\w+)\s+)?(?P<type>\S+)\s+`(?P<tags>.*)`')
JSON = re.compile(r'json:"([^",]*)')
NUMBER = re.compile(r'protobuf:"\w+,(\d+),')
SCALARS = {"int", "int32", "int64", "bool", "string", "float64", "uint16"}


def package(path: Path, root: Path, machinery: bool) -> str:
    parts = path.relative_to(root).parts[:-1]
    return "io.k8s.apimachinery." + ".".join(parts) if machinery else "io.k8s.api." + ".".join(parts)


def lines_of(path: Path, prefix: str) -> list[str]:
    text = path.read_text()
    named_scalars = set(re.findall(r"^type (\w+) (?:string|int32|int64|bool)$", text, re.M)) | SCALARS
    made, current, fields = [], "", []
    for line in text.splitlines():
        start = STRUCT.match(line)
        if start:
            current, fields = start[1], []
        elif line == "}" and current:
            name = f"{prefix}.{current}"
            if fields:
                made.append(f"{name} {' '.join(fields)}")
            current = ""
        elif current:
            entry = field_of(line, prefix, named_scalars)
            if entry:
                fields.append(entry)
    return made


def field_of(line: str, prefix: str, scalars: set[str]) -> str:
    found = FIELD.match(line)
    number = NUMBER.search(line)
    if not found or not number:
        return ""
    json_name = JSON.search(found["tags"])
    if not json_name or json_name[1] == "-":
        return ""
    kind = found["type"]
    if not json_name[1]:
        bare = kind.lstrip("*")
        owner, _, own = bare.rpartition(".")
        where = {"": prefix, "metav1": schema.META[:-1], "v1": "io.k8s.api.core.v1"}.get(owner, prefix)
        return f"+{where}.{own}={number[1]}"
    pointer = kind.startswith("*") and (kind[1:] in scalars or kind[1:].rpartition(".")[2] in scalars or (kind[1:].startswith("v1.") and kind[4:] in CORE_SCALARS))
    return f"{json_name[1]}={number[1]}{'*' if pointer else ''}"


CORE_SCALARS: set[str] = set()


def main() -> None:
    api, machinery = Path(sys.argv[1]), Path(sys.argv[2])
    CORE_SCALARS.update(re.findall(r"^type (\w+) (?:string|int32|int64|bool)$", (api / "core/v1/types.go").read_text(), re.M))
    out = []
    for root, is_machinery in ((api, False), (machinery, True)):
        for path in sorted(root.rglob("types*.go")):
            if not path.name.endswith("_test.go"):
                out += lines_of(path, package(path, root, is_machinery))
    inlined = {entry[1:].partition("=")[0] for line in out for entry in line.split()[1:] if entry.startswith("+")}
    print("\n".join(sorted(line for line in out if line.split()[0] in schema.definitions() or line.split()[0] in inlined)))


main()
