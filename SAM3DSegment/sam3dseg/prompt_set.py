"""The prompts of one request, checked against the image and turned to canonical voxels."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .geometry import Orientation
from .masks import CroppedMask
from .prompts import Box, Click


@dataclass(frozen=True, slots=True)
class Prompts:
    """Everything the user has said, in canonical voxels.

    points (N, 3) int and labels (N,) 1 or 0 are clicks, one per voxel; boxes are (lower, upper) corners, inclusive;
    initial is the mask the session started from; corrected (N, 3) are newest clicks that only correct it; latest (N,)
    tells which of the points the last request gave.
    """

    points: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...] = ()
    initial: CroppedMask = field(default_factory=CroppedMask)
    corrected: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    latest: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def positive(self) -> NDArray[np.int64]:
        return self.points[self.labels == 1]

    def decoder_points(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Clicks and the centre of every box that no click occupies: points (N, 3) and labels (N,)."""
        points, labels = list(self.points), list(self.labels)
        for low, high in self.boxes:
            middle = (low + high) / 2
            if not any((middle == p).all() for p in points):
                points.append(middle)
                labels.append(1)
        return np.array(points, dtype=np.float64).reshape(-1, 3), np.array(labels, dtype=np.int64)

    def correcting(self, newest: Prompts, mask: CroppedMask) -> Prompts:
        """These prompts, with the newest as corrections of `mask`, which the given one has become.

        They are none when no mask was given, and when a box or a foreground click inside the mask asks for all of it.
        """
        held = [mask.within(tuple(slice(int(v), int(v) + 1) for v in point)).item() for point in newest.positive]
        if self.initial.is_empty or newest.boxes or any(held):
            return self
        return replace(self, corrected=newest.points)

    def after(self, newest: Prompts) -> Prompts:
        """These prompts, of which `newest` came last; a box asks for all of the mask anew."""
        if newest.boxes:
            return self
        given = (self.points[:, None] == newest.points[None]).all(axis=-1).any(axis=1)
        return replace(self, latest=np.flatnonzero(given))

    def settled(self) -> Prompts:
        """These prompts, none of which came last."""
        return replace(self, latest=self.latest[:0])

    def corners(self) -> NDArray[np.int64]:
        """Points (N, 3) that a window must hold."""
        return np.concatenate([self.points.reshape(-1, 3), *[np.stack(box) for box in self.boxes]])

    @classmethod
    def from_index(
        cls,
        clicks: Sequence[Click],
        boxes: Sequence[Box],
        initial: CroppedMask,
        *,
        orientation: Orientation,
        shape: tuple[int, ...],
    ) -> Prompts:
        """Prompts given in index voxels of an image of `shape`; of several clicks on one voxel the last counts."""
        signs = {click.ijk: int(click.is_foreground) for click in clicks}
        points = np.array(list(signs), dtype=np.int64).reshape(-1, 3)
        canonical = []
        for box in boxes:
            corners = orientation.point_to_canonical([box.lower_ijk, box.upper_ijk], shape).astype(np.int64)
            canonical.append((corners.min(axis=0), corners.max(axis=0)))
        return cls(
            points=orientation.point_to_canonical(points, shape).astype(np.int64),
            labels=np.array(list(signs.values()), dtype=np.int64),
            boxes=tuple(canonical),
            initial=initial,
        )


def checked_prompt(prompt: Click | Box, shape: tuple[int, ...]) -> Click | Box:
    """The prompt with plain integer indices. Raises ValueError when it is no prompt or leaves an image of `shape`."""
    if isinstance(prompt, Click):
        return replace(prompt, ijk=inside(prompt.ijk, shape, "click"))
    if isinstance(prompt, Box):
        return Box(inside(prompt.lower_ijk, shape, "box corner"), inside(prompt.upper_ijk, shape, "box corner"))
    raise ValueError(f"prompt must be a Click or a Box, got {type(prompt).__name__}; wrap the voxel index in one")


def inside(ijk: Sequence[int], shape: tuple[int, ...], what: str) -> tuple[int, int, int]:
    """A voxel index as plain integers. Raises ValueError, naming `what`, when it is none of an image of `shape`."""
    try:
        index = tuple(operator.index(v) for v in ijk)
    except TypeError:
        index = ()
    if len(index) != 3:
        raise ValueError(f"{what} must be three integer voxel indices (i, j, k), got {ijk!r}; round them first")
    if any(not 0 <= v < n for v, n in zip(index, shape, strict=True)):
        raise ValueError(f"{what} {index} is outside the image of shape {shape}; give indices from 0 to shape - 1")
    return index
