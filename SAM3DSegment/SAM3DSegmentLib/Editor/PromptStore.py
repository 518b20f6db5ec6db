"""Prompts kept in the tags of a segment: saved with the scene, and rolled back by the Segment Editor's own undo.

One tag holds the engine's JSON of prompts (own RAS of the volume), the model and the parameters; another the mask they
started from. `|` separates tags in files and occurs in neither.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

import vtk

from sam3dseg.promptjson import (
    FORMAT,
    INITIAL_TAG,
    PROMPTS_TAG,
    VERSION,
    Asked,
    as_line,
    content_of,
    requests_in,
)
from sam3dseg.slices.options import SliceOptions

from .EditorData import Answerer, Group, PlacedBox, PlacedClick, Step

log = logging.getLogger(__name__)

PARAMETERS = {"keep_clicked_components": True}  # what the masks depend on besides the model; never the device


@dataclass(frozen=True)
class Kept:
    """What a segment's tags say.

    step: its history step, with the answer's digest; content: digest of the segment then; image: fingerprint of the
    volume; model: who answered.
    """

    step: Step
    content: str
    image: str
    model: Answerer


class PromptStore:
    """Reads and writes the tags; what was read last is remembered by its text."""

    def __init__(self) -> None:
        self._last: tuple[str, str, Kept | None] = ("", "", None)

    def write(self, segment: Any, kept: Kept) -> None:
        """Put the tags on a vtkSegment. Call it before the segment editor's history can be stepped through again."""
        initial = "" if kept.step.initial is None else kept.step.initial.as_text()
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
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                log.warning("the prompts kept with segment %s cannot be read: %s", segment.GetName(), error)
                kept = None
            self._last = (text, initial, kept)
        return self._last[2]

    def remove(self, segment: Any) -> bool:
        """Take the tags off; True when there were any."""
        had = segment.HasTag(PROMPTS_TAG)
        for tag in (PROMPTS_TAG, INITIAL_TAG):
            if segment.HasTag(tag):
                segment.RemoveTag(tag)
        return had


def asText(kept: Kept) -> str:
    """One line of JSON that the engine's command line reads too."""
    requests = [Asked(tuple(_entry(p) for p in group.prompts), group.chosen) for group in kept.step.groups]
    content = {
        **content_of(requests, space="ras"),
        "model": kept.model.name,
        "parameters": PARAMETERS | ({} if kept.model.slices is None else {"slices": asdict(kept.model.slices)}),
        "step": kept.step.uid,
        "answer": kept.step.answer,
        "content": kept.content,
        "image": kept.image,
    }
    if kept.step.initial is not None:
        content["initial_mask"] = f"tag {INITIAL_TAG}"
    return as_line(content)


def fromText(text: str, initial: str = "") -> Kept:
    """The inverse of `asText`."""
    from sam3dseg.masks import CroppedMask

    content = json.loads(text)
    if content.get("format") != FORMAT or content.get("version") != VERSION or content.get("space") != "ras":
        raise ValueError(f"expected {FORMAT} version {VERSION} in RAS, received {text[:60]!r}")
    groups = tuple(Group(tuple(_placed(e) for e in asked.entries), asked.chosen) for asked in requests_in(content))
    step = Step(
        uid=str(content.get("step", "")),
        groups=groups,
        initial=CroppedMask.from_text(initial) if initial else None,
        chosen=groups[-1].chosen if groups else 0,
        answer=str(content.get("answer", "")),
    )
    answerer = Answerer(str(content.get("model", "")), _slicesIn(content.get("parameters", {})))
    return Kept(step, str(content.get("content", "")), str(content.get("image", "")), answerer)


def _slicesIn(parameters: dict[str, Any]) -> SliceOptions | None:
    """The options kept with the prompts; None where there are none."""
    kept = parameters.get("slices")
    return None if kept is None else SliceOptions(**kept)


def _entry(prompt: PlacedClick | PlacedBox) -> dict[str, Any]:
    if isinstance(prompt, PlacedClick):
        return {"position": list(prompt.position), "foreground": prompt.isForeground}
    return {"lower": list(prompt.lower), "upper": list(prompt.upper)}


def _placed(entry: dict[str, Any]) -> PlacedClick | PlacedBox:
    if "lower" in entry:
        return PlacedBox(_triple(entry["lower"]), _triple(entry["upper"]))
    return PlacedClick(_triple(entry["position"]), bool(entry.get("foreground", True)))


def tagOf(segment: Any, name: str) -> str:
    """A segment's tag, or ""."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
