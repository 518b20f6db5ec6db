"""Orientation of index axes: any file's axes to canonical RAS+ axes and back, as free numpy views."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_SHEAR_COSINE = 0.05  # about 3 degrees: more than rounding in any file header, less than a CT gantry tilt


@dataclass(frozen=True, slots=True)
class Orientation:
    """Axis permutation and flips that bring index axes closest to RAS+ (right, anterior, superior).

    Canonical axis `a` is index axis `perm[a]`, reversed when `flips[a]`. Any of the 48 orientations, left-handed
    ones included, is one such pair; an oblique image keeps its residual rotation.
    """

    perm: tuple[int, ...] = (0, 1, 2)
    flips: tuple[bool, ...] = (False, False, False)

    @classmethod
    def from_direction(cls, direction: ArrayLike | None) -> Orientation:
        """Closest RAS+ orientation of `direction` (3, 3), whose columns are the RAS vectors of the index axes.

        None means axes that are RAS+ already. Raises ValueError for a wrong shape, non-finite values, a singular
        matrix, or axes further from perpendicular than MAX_SHEAR_COSINE.
        """
        if direction is None:
            return cls()
        matrix = np.asarray(direction, dtype=np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise ValueError(
                f"direction must be a finite 3x3 matrix, got shape {matrix.shape}; give one RAS column per axis"
            )
        lengths = np.linalg.norm(matrix, axis=0)
        if lengths.min() <= 1e-6 * max(lengths.max(), 1e-300):
            raise ValueError("direction is singular: an axis has no length; give three independent unit RAS columns")
        matrix = matrix / lengths
        cosine = float(np.abs(matrix.T @ matrix - np.eye(3)).max())
        if cosine > MAX_SHEAR_COSINE:
            raise ValueError(
                f"direction is sheared: image axes must be perpendicular (|cosine| <= {MAX_SHEAR_COSINE}), "
                f"got {cosine:.3f}; resample the image to a rectangular grid first"
            )
        strength = np.round(np.abs(matrix), 6)  # rounding makes ties at 45 degrees deterministic
        perm = max(permutations(range(3)), key=lambda p: sum(strength[axis, p[axis]] for axis in range(3)))
        flips = tuple(bool(matrix[axis, perm[axis]] < 0) for axis in range(3))
        return cls(perm=perm, flips=flips)

    def to_canonical(self, array: NDArray) -> NDArray:
        """(I, J, K) array -> canonical (R, A, S) view of the same memory."""
        return array.transpose(self.perm)[self._flip_index()]

    def from_canonical(self, array: NDArray) -> NDArray:
        """Canonical (R, A, S) array -> (I, J, K) view of the same memory."""
        return array[self._flip_index()].transpose(np.argsort(self.perm))

    def shape_to_canonical(self, per_axis: Iterable) -> tuple:
        """Reorder three per-axis values (shape, spacing_mm) from index order to canonical order."""
        values = tuple(per_axis)
        return tuple(values[axis] for axis in self.perm)

    def point_to_canonical(self, ijk: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Voxel coordinates (..., 3) of an image of `shape` (I, J, K) -> canonical voxel coordinates (..., 3)."""
        points = np.asarray(ijk, dtype=np.float64)[..., list(self.perm)]
        last = np.asarray(self.shape_to_canonical(shape), dtype=np.float64) - 1
        return np.where(self.flips, last - points, points)

    def point_from_canonical(self, point: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Canonical voxel coordinates (..., 3) -> voxel coordinates (..., 3) of an image of `shape` (I, J, K)."""
        points = np.asarray(point, dtype=np.float64)
        last = np.asarray(self.shape_to_canonical(shape), dtype=np.float64) - 1
        return np.where(self.flips, last - points, points)[..., np.argsort(self.perm)]

    def _flip_index(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else None) for flip in self.flips)


@dataclass(frozen=True, slots=True)
class Grid:
    """The canonical voxel grid of an image: shape in voxels and spacing in mm, both in canonical axis order."""

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    @property
    def extent_mm(self) -> NDArray[np.float64]:
        """Physical size (3,), outer voxel faces included."""
        return np.asarray(self.shape, dtype=np.float64) * np.asarray(self.spacing_mm)

    @property
    def finest_mm(self) -> float:
        """Smallest voxel spacing over the axes that have more than one voxel."""
        return min(s for s, n in zip(self.spacing_mm, self.shape, strict=True) if n > 1 or max(self.shape) == 1)

    @property
    def coarsest_mm(self) -> float:
        """Largest voxel spacing over the axes that have more than one voxel."""
        return max(s for s, n in zip(self.spacing_mm, self.shape, strict=True) if n > 1 or max(self.shape) == 1)
