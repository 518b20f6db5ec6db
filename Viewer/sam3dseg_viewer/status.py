"""What there is to tell of a segment, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from SAM3DSegmentLib.Editor.EditorData import Target
from SAM3DSegmentLib.Editor.EditorLogic import EditorLogic


@dataclass(frozen=True)
class Status:
    """What there is to tell. progress: of what runs, 0 to 1, None where its length is unknown or nothing runs."""

    text: str
    is_busy: bool = False
    progress: float | None = None
    error: str | None = None


def status_of(logic: EditorLogic, target: Target) -> Status:
    """How far the request on a segment is, or else what came of the last one."""
    told, error = logic.statusOf(target), logic.lastError
    if logic.isBusy:
        return Status(_running(told.progress), True, _share(told.progress))
    return Status(_answered(told), error=None if error is None else error.message)


def _running(progress: Any | None) -> str:
    if progress is None:
        return "Segmenting…"
    of = "" if progress.total is None else f" of {progress.total}"
    return f"Segmenting: {progress.text}, {progress.done}{of} done"


def _share(progress: Any | None) -> float | None:
    if progress is None or not progress.total:
        return None
    return min(1.0, progress.done / progress.total)


def _answered(told: Any) -> str:
    """What the model says of the mask, how long it took and where it ran."""
    parts = [told.text]
    if told.timing is not None and (seconds := told.timing.encode_s + told.timing.decode_s + told.timing.paste_s):
        parts.append(f"{seconds:.2f} s")
    return " · ".join([*parts, *([told.deviceLine] if told.deviceLine else []), *told.notices])
