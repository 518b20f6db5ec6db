"""The structures that a model proposes: their names and colours, as its file lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

MOST = 255  # label maps have 8 bits
COLORS = ("d9a06b", "6fb8d6", "8fc36b", "cf6f7e", "b08fd0", "e3c75a", "5fb7a3", "d58bb4", "7f93d8", "b5b06a")


@dataclass(frozen=True, slots=True)
class StructureClass:
    """One structure; color is red, green and blue in 0 to 1."""

    name: str
    color: tuple[float, float, float]


def color_of(number: int) -> tuple[float, float, float]:
    """The colour of structure `number`, counted from 0, where none is given."""
    red, green, blue = bytes.fromhex(COLORS[number % len(COLORS)])
    return red / 255, green / 255, blue / 255


def as_config(names: Sequence[str]) -> list[dict[str, Any]]:
    """The entries of a model's file for structures of these names."""
    return [{"name": name, "color": [round(v, 3) for v in color_of(n)]} for n, name in enumerate(names)]


def structures_in(config: Mapping[str, Any], *, name: str) -> tuple[StructureClass, ...]:
    """The classes of a model's configuration, `name` being the model's in messages.

    Raises ValueError for none, too many, two of one name, or an entry that is no class.
    """
    entries = config.get("classes") or ()
    found = []
    try:
        for number, entry in enumerate(entries):
            red, green, blue = (float(v) for v in entry.get("color") or color_of(number))
            if not all(isfinite(v) and 0 <= v <= 1 for v in (red, green, blue)):
                raise ValueError
            found.append(StructureClass(str(entry["name"]), (red, green, blue)))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"{name} lists a class that cannot be read: expected {{'name': ..., 'color': [red, green, blue]}} with "
            f"colours from 0 to 1, received {entry!r}; export the model again"
        ) from None
    names = {structure.name for structure in found}
    if not 1 <= len(found) <= MOST or len(names) < len(found):
        raise ValueError(
            f"{name} lists {len(found)} classes of {len(names)} names: expected 1 to {MOST} of different names; "
            "export the model again"
        )
    return tuple(found)
