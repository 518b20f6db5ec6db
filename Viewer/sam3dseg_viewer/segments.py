"""The segments of a segmentation node: listed, added, named, coloured, shown, and as voxels of a volume."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SAM3DSegmentLib.Editor.MaskPlacement import moved
from SAM3DSegmentLib.Editor.PromptStore import PromptStore
from SAM3DSegmentLib.Editor.RequestPlanner import volumeGrid
from SAM3DSegmentLib.Editor.SegmentContent import SegmentReader
from SAM3DSegmentLib.Editor.SourceGeometry import SourceGeometry

Color = tuple[float, float, float]

# Told apart by the colour-blind too: M. Okabe and K. Ito, Color Universal Design (2008).
COLORS: tuple[Color, ...] = (
    (0.34, 0.71, 0.91),
    (0.90, 0.62, 0.00),
    (0.00, 0.62, 0.45),
    (0.80, 0.47, 0.65),
    (0.94, 0.89, 0.26),
    (0.84, 0.37, 0.00),
    (0.00, 0.45, 0.70),
)
GOLDEN_ANGLE = 0.381966  # of a turn: hues that follow each other stay apart however many there are


@dataclass(frozen=True)
class SegmentRow:
    """What a list shows of a segment. color is red, green, blue in 0 to 1; clicks counts those that were answered."""

    id: str
    name: str
    color: Color
    is_visible: bool
    clicks: int


class SegmentList:
    """The segments of one segmentation node. An id that there is not raises ValueError."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._reader, self._store = SegmentReader(), PromptStore()

    @property
    def ids(self) -> list[str]:
        return list(self._node.GetSegmentation().GetSegmentIDs())

    def rows(self) -> list[SegmentRow]:
        return [self._row(segment_id) for segment_id in self.ids]

    def segment(self, segment_id: str) -> Any:
        """The vtkSegment."""
        segment = self._node.GetSegmentation().GetSegment(segment_id) if segment_id else None
        if segment is None:
            raise ValueError(f"expected one of the segments {', '.join(self.ids) or '(none)'}, received {segment_id!r}")
        return segment

    def add(self, name: str | None = None) -> str:
        """A new empty segment at the end; gives its id."""
        segmentation = self._node.GetSegmentation()
        segment_id = segmentation.AddEmptySegment("", self._unique(name), self._free_color())
        self._node.CreateClosedSurfaceRepresentation()  # of a segmentation without segments there is none to make
        return segment_id

    def remove(self, segment_id: str) -> None:
        self.segment(segment_id)
        self._node.GetSegmentation().RemoveSegment(segment_id)

    def rename(self, segment_id: str, name: str) -> None:
        """Raises ValueError for an empty name."""
        segment = self.segment(segment_id)
        name = name.strip()
        if not name:
            raise ValueError("expected a name for the segment, received an empty one: type at least one letter")
        segment.SetName(name)

    def set_visible(self, segment_id: str, is_visible: bool) -> None:
        """Show or hide it in all views."""
        self.segment(segment_id)
        self._node.GetDisplayNode().SetSegmentVisibility(segment_id, bool(is_visible))

    def is_empty(self, segment_id: str) -> bool:
        self.segment(segment_id)
        return self._reader.read(self._node, segment_id).isEmpty

    def mask(self, segment_id: str, volume: Any) -> NDArray[np.bool_]:
        """Its voxels (I, J, K) on the grid of a volume node."""
        self.segment(segment_id)
        geometry = SourceGeometry(volume)
        mask = np.zeros(geometry.shape, dtype=bool)
        content = self._reader.read(self._node, segment_id)
        if content.grid is not None:
            patch = moved(content.patch, content.grid, volumeGrid(geometry, volume))
            place = tuple(slice(o, o + n) for o, n in zip(patch.offset, patch.crop.shape, strict=True))
            mask[place] = patch.crop
        return mask

    def _row(self, segment_id: str) -> SegmentRow:
        segment = self.segment(segment_id)
        kept = self._store.read(segment)
        return SegmentRow(
            segment_id,
            segment.GetName(),
            tuple(segment.GetColor()),
            bool(self._node.GetDisplayNode().GetSegmentVisibility(segment_id)),
            0 if kept is None else len(kept.step.clicks),
        )

    def _unique(self, name: str | None) -> str:
        if name is not None and name.strip():
            return name.strip()
        taken = {self.segment(segment_id).GetName() for segment_id in self.ids}
        number = 1
        while f"Segment {number}" in taken:
            number += 1
        return f"Segment {number}"

    def _free_color(self) -> Color:
        """The first colour that no segment has."""
        taken = {_rounded(self.segment(segment_id).GetColor()) for segment_id in self.ids}
        number = 0
        while _rounded(_color(number)) in taken:
            number += 1
        return _color(number)


def _color(number: int) -> Color:
    if number < len(COLORS):
        return COLORS[number]
    return colorsys.hsv_to_rgb(number * GOLDEN_ANGLE % 1.0, 0.65, 0.95)


def _rounded(color: Any) -> tuple[int, ...]:
    return tuple(round(value * 255) for value in color)
