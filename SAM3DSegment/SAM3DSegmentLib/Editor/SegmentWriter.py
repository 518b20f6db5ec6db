"""Writes an answer into its segment: what changed, through the port, as one undo state, with the prompts beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from .EditorData import Target, Written, keyOf
from .InferenceEngine import Answer
from .MaskPlacement import NOTHING, Grid, asImage, moved
from .PromptStore import Kept, PromptStore
from .RequestPlanner import Plan, volumeGrid
from .SegmentContent import SegmentReader
from .SegmentTrack import Tracks

SURFACE = "Closed surface"


class StaleAnswer(Exception):
    """The segment was removed or taken to another known step while the request ran: the answer has no place there."""


def checkReach(target: Target, points: Iterable[Sequence[float]]) -> None:
    """Raises ValueError where the segmentation has a voxel at none of these world points (RAS, mm)."""
    node = target.segmentationNode
    grid = Grid.ofImage(target.port.geometry(), node.GetParentTransformNode())
    if not any(grid.holds(point) for point in points):
        raise ValueError(
            f"the point is outside the voxels of {node.GetName()}: give it the geometry and the transform of the volume"
        )


class SegmentWriter:
    """Changes segments, their tags and the tracks; everything else is only read."""

    def __init__(self, tracks: Tracks, reader: SegmentReader, store: PromptStore) -> None:
        self._tracks, self._reader, self._store = tracks, reader, store

    def write(self, plan: Plan, answer: Answer) -> Written:
        """Apply an answer. Raises StaleAnswer, and ValueError when the editor has gone to another segmentation."""
        target, track = plan.ask.target, plan.track
        node, port = target.segmentationNode, target.port
        segment = node.GetSegmentation().GetSegment(target.segmentId)
        if segment is None:
            raise StaleAnswer
        if not port.isBound:
            raise ValueError(f"the editor left {node.GetName()}: select it again and retry")
        asked, present = plan.place.content, self._reader.read(node, target.segmentId)
        untouched = present.digest == asked.digest
        if not untouched and track.locate(present.digest, "") is not None and plan.place.position is not None:
            raise StaleAnswer

        geometry = port.geometry()
        grid = Grid.ofImage(geometry, node.GetParentTransformNode())
        before = NOTHING if asked.grid is None else moved(asked.patch, asked.grid, grid)
        after = moved(answer.mask, volumeGrid(plan.place.geometry, target.volumeNode), grid)
        removed, added = asImage(before.without(after), geometry), asImage(after.without(before), geometry)

        isShown = plan.ask.kind == "show"
        if not (isShown and track.shown == present.digest):
            port.saveUndo()
        if removed is not None:
            with surfaceAside(segment) if added is not None else nullcontext():
                port.apply(removed, "remove")
        if added is not None:
            port.apply(added, "add")

        steps, contents = plan.steps(answer)
        if plan.place.position is not None:
            track.position = plan.place.position
        track.adopt(answer.history, steps, contents, position=answer.position, length=answer.length)
        written = ""  # strokes made meanwhile are for the next request to take up
        if untouched:
            written = self._reader.read(node, target.segmentId).digest
            track.wrote(written)
        track.shown, track.timing = written if isShown else "", answer.timing
        self._tracks.put(keyOf(target), track)
        step = track.steps[track.position]
        if step.groups:
            self._store.write(segment, Kept(step, written, track.fingerprint, track.model))
        else:
            self._store.remove(segment)
        return Written(target, added, removed)


@contextmanager
def surfaceAside(segment: Any) -> Iterator[None]:
    """Take the 3D surface off for one of two writes: Slicer makes it anew after each, which is most of their cost."""
    surface = segment.GetRepresentation(SURFACE)
    if surface is None:
        yield
        return
    segment.RemoveRepresentation(SURFACE)
    try:
        yield
    finally:
        segment.AddRepresentation(SURFACE, surface)
