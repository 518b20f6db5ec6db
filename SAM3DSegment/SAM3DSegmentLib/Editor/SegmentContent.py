"""What a segment holds: a crop with its place, and a digest that says whether it changed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtk.util import numpy_support

from .MaskPlacement import NOTHING, Grid, Patch

KEPT = 8  # contents remembered
LABELMAP = "Binary labelmap"
EMPTY_DIGEST = "empty"
STEP_MM, SHIFT = 0.02, 0.3183  # resolution of a place in a digest; the shift keeps round numbers off the steps' edges


@dataclass(frozen=True)
class Content:
    """A segment's voxels in the grid of its own labelmap. `grid` is None for an empty segment."""

    patch: Patch
    grid: Grid | None
    digest: str

    @property
    def isEmpty(self) -> bool:
        return self.grid is None


EMPTY = Content(NOTHING, None, EMPTY_DIGEST)


class SegmentReader:
    """Reads segments; one that did not change since the last time costs nothing."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[tuple, Content]] = OrderedDict()

    def read(self, segmentationNode: Any, segmentId: str) -> Content:
        """The segment's content; EMPTY when there is no such segment or no labelmap."""
        segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
        image = segment.GetRepresentation(LABELMAP) if segment is not None else None
        if image is None or image.GetPointData().GetScalars() is None or image.IsEmpty():
            return EMPTY
        place = (segmentationNode.GetID() or "", segmentId)
        parent = segmentationNode.GetParentTransformNode()
        state = (image.GetMTime(), segment.GetLabelValue(), parent)  # modification times are never given twice
        if place in self._known and self._known[place][0] == state:
            self._known.move_to_end(place)
            return self._known[place][1]
        content = _contentOf(image, segment.GetLabelValue(), parent)
        self._known[place] = (state, content)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return content

    def forget(self) -> None:
        self._known.clear()


def _contentOf(image: Any, label: int, parent: Any | None) -> Content:
    grid = Grid.ofImage(image, parent)
    labels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    found = _cropOf(labels, label)
    if found is None:
        return EMPTY
    crop, (k, j, i) = found
    patch = Patch(crop.T, (grid.lower[0] + i, grid.lower[1] + j, grid.lower[2] + k))
    return Content(patch, grid, _digest(crop, patch.offset, grid.ijkToSpace))


def _cropOf(labels: NDArray, label: int) -> tuple[NDArray[np.bool_], tuple[int, int, int]] | None:
    """The bounding box of one label in (K, J, I) values, bool, and its first index; slices first, as they are cheap."""
    start, box = [0, 0, 0], labels == label
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hits = np.flatnonzero(box.reshape(len(box), -1).any(axis=1) if axis == 0 else box.any(axis=others))
        if not hits.size:
            return None
        start[axis] = int(hits[0])
        box = box[(slice(None),) * axis + (slice(hits[0], hits[-1] + 1),)]
    return np.ascontiguousarray(box), (start[0], start[1], start[2])


def _digest(crop: NDArray[np.bool_], offset: tuple[int, int, int], ijkToSpace: NDArray[np.float64]) -> str:
    """The same for the same voxels at the same place, however large the labelmap around them is."""
    last = np.add(offset, crop.shape[::-1]) - 1
    corners = np.array([offset, last]) @ ijkToSpace[:3, :3].T + ijkToSpace[:3, 3]
    place = np.floor(corners / STEP_MM + SHIFT).astype(np.int64)
    state = hashlib.blake2b(np.packbits(crop).tobytes(), digest_size=12)
    state.update(np.array(crop.shape, dtype=np.int64).tobytes())
    state.update(place.tobytes())
    return state.hexdigest()
