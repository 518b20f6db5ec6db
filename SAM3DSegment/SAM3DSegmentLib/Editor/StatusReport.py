"""What there is to tell of a segment: from where it stands, what was asked of it, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .EditorData import Ask, LogicError, PlacedClick, Prompt, Status
from .RequestPlanner import Place


def statusAt(place: Place, asks: Sequence[Ask], error: LogicError | None, progress: Any | None = None) -> Status:
    """asks: what was asked of the segment and not answered, its points are shown already; progress: of what runs."""
    step, track, geometry = place.step, place.track, place.geometry
    waiting = [p for ask in asks if ask.kind == "add" for p in ask.prompts]
    clicks = (*step.clicks, *(p for p in waiting if isinstance(p, PlacedClick)))
    timing = track.timing if track is not None else None
    return Status(
        text=_text(place, asks, error),
        predictedIou=step.candidates[step.chosen] if step.candidates else None,
        candidates=step.candidates,
        chosen=step.chosen,
        position=0 if track is None else track.position if place.position is None else place.position,
        length=1 if track is None else len(track.steps),
        timing=timing,
        deviceLine=timing.device if timing else "",
        deviceBytes=timing.device_bytes if timing else 0,
        hintRas=geometry.toWorld(step.hint) if step.hint else None,
        prompts=tuple(Prompt(geometry.toWorld(c.position), c.isForeground) for c in clicks),
        progress=progress,
        notices=() if asks or error is not None else step.notices,
    )


def _text(place: Place, asks: Sequence[Ask], error: LogicError | None) -> str:
    if error is not None:
        return error.message
    if asks:
        return "Proposing…" if asks[0].kind == "propose" else "Segmenting…"
    step = place.step
    if not step.groups:
        return "Click inside the structure." if place.content.isEmpty else "Click to refine this segment."
    return f"Predicted IoU {step.candidates[step.chosen]:.2f}" if step.candidates else "Restored"
