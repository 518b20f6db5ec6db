"""One slice of a canonical (R, A, S) volume as a picture, the way radiologists look at it, and the way back.

A picture has rows and columns; its coordinates are (x, y) = (column, row), pixel centres at whole numbers.  Axial:
anterior at the top; coronal and sagittal: superior at the top.  The patient's right, or anterior in a sagittal slice,
is at the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

ORIENTATIONS = {"sagittal": 0, "coronal": 1, "axial": 2}  # name -> canonical axis across the slices


@dataclass(frozen=True, slots=True)
class SliceView:
    """Slice `index` across canonical axis `axis`."""

    axis: int
    index: int

    @property
    def orientation(self) -> str:
        """sagittal, coronal or axial."""
        return list(ORIENTATIONS)[self.axis]

    @property
    def plane(self) -> tuple[int, int]:
        """Canonical axes along the picture's x and y; both run backwards in the picture."""
        first, second = (axis for axis in range(3) if axis != self.axis)
        return first, second

    def picture(self, volume: NDArray) -> NDArray:
        """(R, A, S) -> view (rows, columns) of the same memory."""
        return volume[(slice(None),) * self.axis + (self.index,)][::-1, ::-1].T

    def shape(self, volume_shape: Sequence[int]) -> tuple[int, int]:
        """(rows, columns) of the picture."""
        x, y = self.plane
        return volume_shape[y], volume_shape[x]

    def pixel_mm(self, spacing_mm: Sequence[float]) -> tuple[float, float]:
        """Size of a pixel down the rows and along the columns."""
        x, y = self.plane
        return spacing_mm[y], spacing_mm[x]

    def to_picture(self, points: ArrayLike, volume_shape: Sequence[int]) -> NDArray[np.float64]:
        """Canonical voxel coordinates (..., 3) -> picture coordinates (..., 2), seen from across the slices."""
        return self._last(volume_shape) - np.asarray(points, np.float64)[..., list(self.plane)]

    def to_voxels(self, xy: ArrayLike, volume_shape: Sequence[int]) -> NDArray[np.float64]:
        """Picture coordinates (..., 2) -> canonical voxel coordinates (..., 3) in this slice."""
        xy = np.asarray(xy, np.float64)
        points = np.full((*xy.shape[:-1], 3), float(self.index))
        points[..., list(self.plane)] = self._last(volume_shape) - xy
        return points

    def box_to_picture(self, lower: ArrayLike, upper: ArrayLike, volume_shape: Sequence[int]) -> NDArray[np.float64]:
        """Canonical voxels of both corners, included -> pixels (x0, y0, x1, y1) of both corners, included."""
        corners = self.to_picture(np.stack([lower, upper]), volume_shape)
        return np.concatenate([corners.min(axis=0), corners.max(axis=0)])

    def box_to_voxels(
        self, box: ArrayLike, volume_shape: Sequence[int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (x0, y0, x1, y1) of both corners, included -> canonical voxels of the lower and the upper corner."""
        corners = self.to_voxels(np.reshape(box, (2, 2)), volume_shape)
        return corners.min(axis=0), corners.max(axis=0)

    def _last(self, volume_shape: Sequence[int]) -> NDArray[np.float64]:
        return np.array([volume_shape[axis] - 1 for axis in self.plane], np.float64)
