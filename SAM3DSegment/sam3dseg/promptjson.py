"""The JSON in which prompts are kept, and which of them were given together.

{"format": "sam3dseg-prompts", "version": 1, "space": "ras" (mm) or "ijk" (voxels),
 "clicks": [{"position": [x, y, z], "foreground": true, "request": 0}],
 "boxes": [{"lower": [x, y, z], "upper": [x, y, z], "request": 1}], "chosen": {"1": 2}}

Prompts with the same request number were given together, lower numbers earlier. Without any numbers each prompt was
given by itself, boxes first. chosen: request -> candidate, where another than the model's first was taken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FORMAT, VERSION = "sam3dseg-prompts", 1
PROMPTS_TAG = "SAM3DSegment.Prompts"  # tags of a segment, in Slicer and in .seg.nrrd files
INITIAL_TAG = "SAM3DSegment.InitialMask"  # a CroppedMask as text, in voxels of the image


@dataclass(frozen=True)
class Asked:
    """The entries of "clicks" and "boxes" of one request, and the candidate chosen of its answer."""

    entries: tuple[dict[str, Any], ...]
    chosen: int = 0


def content_of(requests: Sequence[Asked], *, space: str) -> dict[str, Any]:
    """The content of the file."""
    clicks: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for number, request in enumerate(requests):
        for entry in request.entries:
            (boxes if "lower" in entry else clicks).append({**entry, "request": number})
    content = {"format": FORMAT, "version": VERSION, "space": space, "clicks": clicks, "boxes": boxes}
    chosen = {str(number): request.chosen for number, request in enumerate(requests) if request.chosen}
    return {**content, "chosen": chosen} if chosen else content


def requests_in(content: dict[str, Any]) -> list[Asked]:
    """The inverse of `content_of`. Raises ValueError when only some prompts have a request number, or it is none."""
    clicks = content.get("clicks", ()) if "boxes" in content else content["clicks"]
    entries = [*content.get("boxes", ()), *clicks]
    numbers = [entry.get("request") for entry in entries]
    if not any(number is not None for number in numbers):
        return [Asked((entry,)) for entry in entries]
    for number in numbers:
        if type(number) is not int:
            raise ValueError(f"expected an integer request with every prompt or with none, received {number!r}")
    chosen = {int(number): int(candidate) for number, candidate in content.get("chosen", {}).items()}
    return [
        Asked(
            tuple(entry for entry, number in zip(entries, numbers, strict=True) if number == wanted),
            chosen.get(wanted, 0),
        )
        for wanted in sorted(set(numbers))
    ]


def as_line(content: dict[str, Any]) -> str:
    """JSON in one line, without the `|` by which Slicer separates tags."""
    return json.dumps(content, separators=(",", ":")).replace("|", "\\u007c")
