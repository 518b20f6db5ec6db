"""Prompts kept in the tags of a segment: saved with the scene, and rolled back by the Segment Editor's own undo.

One tag holds the engine's JSON of prompts (own RAS of the volume) with the requests they came in, the model and the
parameters; another the mask they started from. `|` separates tags in files and occurs in neither.
"""

from __future__ import annotations

import base64
import json
import logging
import zlib
from dataclasses import dataclass
from typing import Any

import vtk

from .EditorData import Group, PlacedBox, PlacedClick, Step

log = logging.getLogger(__name__)

PROMPTS_TAG = "SAM3DSegment.Prompts"  # as sam3dseg.promptfiles, which takes long to import
INITIAL_TAG = "SAM3DSegment.InitialMask"
FORMAT, VERSION = "sam3dseg-prompts", 1
PARAMETERS = {"keep_clicked_components": True}  # what the masks depend on besides the model; never the device


@dataclass(frozen=True)
class Kept:
    """What a segment's tags say.

    step: its history step, with the answer's digest; content: digest of the segment then; image: fingerprint of the
    volume; model: name or path.
    """

    step: Step
    content: str
    image: str
    model: str


class PromptStore:
    """Reads and writes the tags; what was read last is remembered by its text."""

    def __init__(self) -> None:
        self._last: tuple[str, str, Kept | None] = ("", "", None)

    def write(self, segment: Any, kept: Kept) -> None:
        """Put the tags on a vtkSegment. Call it before the segment editor's history can be stepped through again."""
        initial = "" if kept.step.initial is None else packed(kept.step.initial)
        if initial:
            segment.SetTag(INITIAL_TAG, initial)
        elif segment.HasTag(INITIAL_TAG):
            segment.RemoveTag(INITIAL_TAG)
        segment.SetTag(PROMPTS_TAG, asText(kept))

    def read(self, segment: Any) -> Kept | None:
        """What the tags say, or None where there are none or they cannot be read (logged)."""
        text, initial = tagOf(segment, PROMPTS_TAG), tagOf(segment, INITIAL_TAG)
        if not text:
            return None
        if self._last[:2] != (text, initial):
            try:
                kept = fromText(text, initial)
            except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
                log.warning("the prompts kept with segment %s cannot be read: %s", segment.GetName(), error)
                kept = None
            self._last = (text, initial, kept)
        return self._last[2]

    def stepIn(self, segment: Any) -> str:
        """The identifier of the step that the tags belong to, or ""."""
        kept = self.read(segment)
        return kept.step.uid if kept is not None else ""

    def remove(self, segment: Any) -> bool:
        """Take the tags off; True when there were any."""
        had = segment.HasTag(PROMPTS_TAG)
        for tag in (PROMPTS_TAG, INITIAL_TAG):
            if segment.HasTag(tag):
                segment.RemoveTag(tag)
        return had


def asText(kept: Kept) -> str:
    """One line of JSON that `sam3dseg.promptfiles` reads too."""
    clicks: list[dict] = []
    boxes: list[dict] = []
    requests = []
    for group in kept.step.groups:
        names = []
        for prompt in group.prompts:
            if isinstance(prompt, PlacedClick):
                names.append(["click", len(clicks)])
                clicks.append({"position": list(prompt.position), "foreground": prompt.isForeground})
            else:
                names.append(["box", len(boxes)])
                boxes.append({"lower": list(prompt.lower), "upper": list(prompt.upper)})
        requests.append({"prompts": names, "chosen": group.chosen})
    content = {
        "format": FORMAT,
        "version": VERSION,
        "space": "ras",
        "clicks": clicks,
        "boxes": boxes,
        "requests": requests,
        "model": kept.model,
        "parameters": PARAMETERS,
        "step": kept.step.uid,
        "answer": kept.step.answer,
        "content": kept.content,
        "image": kept.image,
    }
    if kept.step.initial is not None:
        content["initial_mask"] = f"tag {INITIAL_TAG}"
    return json.dumps(content, separators=(",", ":")).replace("|", "\\u007c")


def fromText(text: str, initial: str = "") -> Kept:
    """The inverse of `asText`; prompts that the command line wrote count as one request."""
    content = json.loads(text)
    if content.get("format") != FORMAT or content.get("version") != VERSION or content.get("space") != "ras":
        raise ValueError(f"expected {FORMAT} version {VERSION} in RAS, received {text[:60]!r}")
    placed = {
        "click": [PlacedClick(_triple(c["position"]), bool(c.get("foreground", True))) for c in content["clicks"]],
        "box": [PlacedBox(_triple(b["lower"]), _triple(b["upper"])) for b in content.get("boxes", ())],
    }
    everything = [["click", n] for n in range(len(placed["click"]))] + [["box", n] for n in range(len(placed["box"]))]
    requests = content.get("requests", [{"prompts": everything}])
    groups = tuple(
        Group(tuple(placed[kind][index] for kind, index in request["prompts"]), int(request.get("chosen", 0)))
        for request in requests
    )
    step = Step(
        uid=str(content.get("step", "")),
        groups=groups,
        initial=unpacked(initial) if initial else None,
        chosen=groups[-1].chosen if groups else 0,
        answer=str(content.get("answer", "")),
    )
    return Kept(step, str(content.get("content", "")), str(content.get("image", "")), str(content.get("model", "")))


def packed(mask: Any) -> str:
    """The engine's CroppedMask as text: its place, and its bits compressed."""
    numbers = " ".join(str(int(n)) for n in (*mask.offset, *mask.shape))
    return f"{numbers} {base64.b64encode(zlib.compress(mask.bits, 6)).decode()}"


def unpacked(text: str) -> Any:
    """The inverse of `packed`. Raises ValueError for anything else."""
    from sam3dseg.masks import CroppedMask

    *numbers, bits = text.split()
    if len(numbers) != 6:
        raise ValueError(f"expected six numbers before the bits of a mask, received {len(numbers)}")
    place = [int(n) for n in numbers]
    raw = zlib.decompress(base64.b64decode(bits))
    a, b, c = place[3:]
    if min(place[3:]) < 1 or len(raw) != (a * b * c + 7) // 8:
        raise ValueError(f"expected the bits of a mask of shape {(a, b, c)}, received {len(raw)} bytes")
    return CroppedMask(offset=tuple(place[:3]), shape=(a, b, c), bits=raw)


def tagOf(segment: Any, name: str) -> str:
    """A segment's tag, or ""."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
