"""What a model's file says about the model: what it is for, what it knows, where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .checkpoint import COMMANDS, Checkpoint
from .families import FAMILIES, PROPOSALS
from .proposals.features import VolumePlan
from .proposals.structures import structures_in
from .slices.view import ORIENTATIONS


def card_text(checkpoint: Checkpoint, *, name: str) -> str:
    """Lines for people; an adapter names its base.  Raises ValueError for a SAM-3D file that cannot be used."""
    return "\n".join(f"{entry:<14}{text}" for entry, text in _entries(checkpoint, name))


def _entries(checkpoint: Checkpoint, name: str) -> Iterator[tuple[str, str]]:
    family = FAMILIES.get(checkpoint.architecture)
    yield "model", name
    yield "architecture", checkpoint.architecture + (f", for {family}" if family else "")
    if family:
        yield "use it with", COMMANDS[family].replace("`", "")
    yield "parameters", f"{sum(value.numel() for value in checkpoint.weights.values()):,} in this file"
    if checkpoint.adapter:
        yield "needs", f"{checkpoint.adapter.get('base')}, whose weights are not in this file"
    if family == PROPOSALS:
        yield from _proposals(checkpoint, name)
    yield from _provenance(checkpoint.provenance)


def _proposals(checkpoint: Checkpoint, name: str) -> Iterator[tuple[str, str]]:
    for number, structure in enumerate(structures_in(checkpoint.config, name=name), start=1):
        yield ("structures" if number == 1 else ""), f"{number} {structure.name} {_hexadecimal(structure.color)}"
    plan = VolumePlan.from_config(checkpoint.config.get("plan", {}))
    spacing = " x ".join(f"{value:g}" for value in plan.spacing_mm)
    yield "slices", f"{list(ORIENTATIONS)[plan.axis]}, {spacing} mm (slice, row, column)"
    yield "mirrored", ", ".join(checkpoint.config.get("mirror", "")) or "no axis: not for --mirror"
    encoder = dict(checkpoint.config.get("encoder", {}))
    yield "encoder", " ".join(str(encoder[key]) for key in ("architecture", "variant") if key in encoder)


def _provenance(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The card's entries, each data set on a line of its own."""
    for entry, value in card.items():
        if entry == "data":
            for number, source in enumerate(value if isinstance(value, list) else [value]):
                yield ("data" if number == 0 else ""), _words(source)
        elif value not in ("", [], {}):
            yield entry, _words(value)


def _hexadecimal(color: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in color)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(inner)}" if key != "name" else _words(inner) for key, inner in value.items()
                         if not isinstance(inner, list | Mapping))  # fmt: skip
    if isinstance(value, list):
        return ", ".join(_words(inner) for inner in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
