"""A table's shape: its columns and the function that fills a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kogia.api.tables.age import age

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is string, integer, boolean …; priority 0 shows always, 1 only when wide."""

    name: str
    priority: int = 0
    type: str = "string"
    format: str = ""
    description: str = ""

    def definition(self) -> dict[str, Any]:
        """As it appears in `columnDefinitions`."""
        return {"name": self.name, "type": self.type, "format": self.format, "description": self.description, "priority": self.priority}


@dataclass(frozen=True, slots=True)
class TableKind:
    columns: tuple[Column, ...]
    cells: Callable[[Obj, float], list[Any]]  #: (object, now in seconds) → one cell per column


NAME = Column("Name", format="name", description="Name of the object, unique among objects of its kind in its namespace.")
AGE = Column("Age", description="Time since the object was created.")


def table(columns: str, cells: Callable[[Obj, float], list[Any]]) -> TableKind:
    """Build a table from column names parted by `|`; `*` before a name makes it a wide column, `#` an integer column."""
    made = []
    for text in columns.split("|"):
        name = text.lstrip("*#")
        if name == "Name":
            made.append(NAME)
        elif name == "Age":
            made.append(AGE)
        else:
            flags = text[: len(text) - len(name)]
            made.append(Column(name, 1 if "*" in flags else 0, "integer" if "#" in flags else "string"))
    return TableKind(tuple(made), cells)


def name_of(obj: Obj) -> str:
    return (obj.get("metadata") or {}).get("name", "")


def age_of(obj: Obj, now: float) -> str:
    return age((obj.get("metadata") or {}).get("creationTimestamp"), now)


DEFAULT = table("Name|Age", lambda obj, now: [name_of(obj), age_of(obj, now)])
