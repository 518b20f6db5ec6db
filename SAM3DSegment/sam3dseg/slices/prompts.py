"""The prompts of one volume, sorted by slice, in picture coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..prompt_set import Prompts
from .view import ORIENTATIONS, SliceView

BoxCorners = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class SlicePrompts:
    """`prompts` of a canonical volume of `shape`, as slices across `axis` see them.

    A flat box, one voxel thick along the axis, belongs to its slice alone; a deep one reaches over several, and
    encloses the whole structure. Raises ValueError for a box that lies on a single slice of another orientation.
    """

    prompts: Prompts
    axis: int
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        names = list(ORIENTATIONS)
        for low, high in self._deep:
            for axis in {0, 1, 2} - {self.axis}:
                if low[axis] == high[axis]:
                    raise ValueError(
                        f"expected a box on {names[self.axis]} slices, received one on a single {names[axis]} slice: "
                        f"draw it on a {names[self.axis]} slice, or choose the orientation {names[axis]}"
                    )

    @cached_property
    def clicked(self) -> tuple[int, ...]:
        """Slices with a click, in the order of the clicks."""
        return tuple(self.prompts.points[:, self.axis].tolist())

    @cached_property
    def covered(self) -> frozenset[int]:
        """Slices that deep boxes reach over."""
        return frozenset(n for low, high in self._deep for n in range(low[self.axis], high[self.axis] + 1))

    @cached_property
    def flat(self) -> tuple[int, ...]:
        """Slices with a flat box, in the order of the boxes."""
        return tuple(int(low[self.axis]) for low, high in self._flat)

    @cached_property
    def middles(self) -> tuple[int, ...]:
        """The middle slice of every deep box."""
        return tuple(int(low[self.axis] + high[self.axis]) // 2 for low, high in self._deep)

    def clicks(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixels (N, 2) and labels (N,) of the clicks on a slice."""
        here = self.prompts.points[:, self.axis] == index
        xy = SliceView(self.axis, index).to_picture(self.prompts.points[here], self.shape)
        return xy.astype(np.int64), self.prompts.labels[here]

    def flat_box(self, index: int) -> NDArray[np.float64] | None:
        """Pixels (x0, y0, x1, y1), included, of what encloses the flat boxes on a slice, or None."""
        return self._enclosing(index, self._flat)

    def deep_box(self, index: int) -> NDArray[np.float64] | None:
        """Pixels (x0, y0, x1, y1), included, of what encloses the deep boxes on a slice, or None."""
        return self._enclosing(index, self._deep)

    def region(self, index: int) -> NDArray[np.bool_] | None:
        """The pixels (rows, columns) of a slice in which boxes let the mask be, or None for all."""
        boxes = [box for box in self.prompts.boxes if box[0][self.axis] <= index <= box[1][self.axis]]
        if not boxes and not self.covered:
            return None
        view = SliceView(self.axis, index)
        region = np.zeros(view.shape(self.shape), dtype=bool)
        for low, high in boxes:
            x0, y0, x1, y1 = view.box_to_picture(low, high, self.shape).astype(int)
            region[y0 : y1 + 1, x0 : x1 + 1] = True
        return region

    def allows(self, index: int) -> bool:
        """Whether boxes let the mask be on a slice at all."""
        return not self.covered or index in self.covered or index in self.flat

    def path(self, start: int, step: int) -> range:
        """The slices after `start` in the direction of `step`, as far as deep boxes let the mask reach."""
        end = start
        while 0 <= end + step < self.shape[self.axis] and (not self.covered or end + step in self.covered):
            end += step
        return range(start + step, end + step, step)

    @property
    def _flat(self) -> list[BoxCorners]:
        return [(low, high) for low, high in self.prompts.boxes if low[self.axis] == high[self.axis]]

    @property
    def _deep(self) -> list[BoxCorners]:
        return [(low, high) for low, high in self.prompts.boxes if low[self.axis] < high[self.axis]]

    def _enclosing(self, index: int, boxes: list[BoxCorners]) -> NDArray[np.float64] | None:
        view = SliceView(self.axis, index)
        here = [
            view.box_to_picture(low, high, self.shape)
            for low, high in boxes
            if low[self.axis] <= index <= high[self.axis]
        ]
        if not here:
            return None
        corners = np.array(here)
        return np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
