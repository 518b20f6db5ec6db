"""A made-up labelled volume with structures of known place and shape, for tests in views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SHAPE = (72, 80, 48)
SPACING_MM = (1.0, 1.0, 1.5)
ORGAN, LUMP, ROD = 1, 2, 3


@dataclass(frozen=True)
class Phantom:
    """image int16 and labels uint8 (I, J, K) of the same grid; ijkToRas (4, 4) in mm."""

    image: NDArray[np.int16]
    labels: NDArray[np.uint8]
    ijkToRas: NDArray[np.float64]

    def rasOf(self, ijk: ArrayLike) -> NDArray[np.float64]:
        return self.ijkToRas[:3, :3] @ np.asarray(ijk, dtype=float) + self.ijkToRas[:3, 3]

    def ijkOf(self, ras: ArrayLike) -> NDArray[np.float64]:
        """Where a point lies on the grid, in voxels."""
        inverse = np.linalg.inv(self.ijkToRas)
        return inverse[:3, :3] @ np.asarray(ras, dtype=float) + inverse[:3, 3]

    def labelAt(self, ras: ArrayLike) -> int:
        """Label of the voxel in which a point lies; -1 outside."""
        i, j, k = np.round(self.ijkOf(ras)).astype(int)
        isInside = all(0 <= n < size for n, size in zip((i, j, k), self.labels.shape, strict=True))
        return int(self.labels[i, j, k]) if isInside else -1

    def center(self, label: int) -> NDArray[np.float64]:
        """World point (RAS, mm) of the middle of a structure."""
        return self.rasOf(np.argwhere(self.labels == label).mean(axis=0))


def phantom(*, direction: ArrayLike | None = None) -> Phantom:
    """An organ of 300, a lump of 500 in front of it, and a rod of 700 through it, in 0 with noise of 4.

    direction (3, 3): unit columns along which i, j, k run in RAS; LPS by default, as CT is stored.
    """
    axes = np.ogrid[tuple(slice(n) for n in SHAPE)]
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[_ellipsoid(axes, (36, 44, 24), (22, 18, 13))] = ORGAN
    labels[_ellipsoid(axes, (36, 15, 24), (6, 6, 4))] = LUMP
    labels[_ellipsoid(axes, (48, 44, 24), (3, 3, 1000)) & (axes[2] > 8) & (axes[2] < 40)] = ROD
    noise = np.random.default_rng(0).normal(scale=4.0, size=SHAPE)
    image = (np.array([0, 300, 500, 700])[labels] + noise).astype(np.int16)
    columns = np.diag([-1.0, -1.0, 1.0]) if direction is None else np.asarray(direction, dtype=float)
    ijkToRas = np.eye(4)
    ijkToRas[:3, :3] = columns * SPACING_MM
    ijkToRas[:3, 3] = -ijkToRas[:3, :3] @ (np.array(SHAPE) // 2)
    return Phantom(image, labels, ijkToRas)


def _ellipsoid(axes, center, radii) -> NDArray[np.bool_]:
    return sum(((a - c) / r) ** 2 for a, c, r in zip(axes, center, radii, strict=True)) <= 1
