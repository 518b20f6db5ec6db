"""Variants of a case for frozen encoders: a few versions of image and labels, each of which is encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from .augmentation import Intensities

VARIANT_STREAM = 5  # random numbers apart from those of clicks, windows and orders
AXES = "RAS"
LARGEST_ANGLE_DEGREES = 12.0
STRETCH = 0.1  # largest change of scale along one axis
SEEDS = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Variant:
    """How a case is changed: mirrored axes, turns in degrees and scales per canonical axis, seed of the intensities.

    The default changes nothing.
    """

    mirrored: tuple[int, ...] = ()
    angles_degrees: tuple[float, ...] = (0.0, 0.0, 0.0)
    scales: tuple[float, ...] = (1.0, 1.0, 1.0)
    intensity_seed: int | None = None

    @classmethod
    def of(cls, number: int, *, seed: int, case: str, mirror: str) -> Variant:
        """Variant `number` of a case, always the same one; number 0 is the case as it is.

        mirror: canonical axes that may be mirrored, letters of AXES.
        """
        if not number:
            return cls()
        rng = np.random.default_rng((seed, VARIANT_STREAM, number, *case.encode()))
        mirrored = tuple(AXES.index(axis) for axis in mirror if rng.random() < 0.5)
        angles = rng.uniform(-LARGEST_ANGLE_DEGREES, LARGEST_ANGLE_DEGREES, 3)
        scales = np.exp(rng.uniform(-STRETCH, STRETCH, 3))
        return cls(mirrored, tuple(angles.tolist()), tuple(scales.tolist()), int(rng.integers(SEEDS)))

    def apply(self, image: NDArray, labels: NDArray, spacing_mm: Sequence[float]) -> tuple[NDArray, NDArray]:
        """Image and labels (R, A, S) -> the same grid, turned about its middle; beyond the image its edge goes on."""
        if self == Variant():
            return image, labels
        values, classes = image.astype(np.float32), labels
        matrix = self._matrix(spacing_mm)
        if matrix is not None:
            middle = (np.array(image.shape) - 1) / 2
            shift = middle - matrix @ middle
            values = ndimage.affine_transform(values, matrix, shift, order=1, mode="nearest")
            classes = _turned_labels(labels, matrix, shift)
        if self.intensity_seed is not None:
            values = Intensities()(values, None, np.random.default_rng(self.intensity_seed))
        return np.flip(values, self.mirrored), np.flip(classes, self.mirrored)

    def _matrix(self, spacing_mm: Sequence[float]) -> NDArray[np.float64] | None:
        """New voxel -> old voxel, both from the middle; None where nothing is turned."""
        if self.angles_degrees == (0.0, 0.0, 0.0) and self.scales == (1.0, 1.0, 1.0):
            return None
        turn = Rotation.from_euler("xyz", self.angles_degrees, degrees=True).as_matrix()
        spacing = np.asarray(spacing_mm, dtype=np.float64)
        return turn / np.asarray(self.scales) * spacing / spacing[:, None]


def _turned_labels(labels: NDArray, matrix: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray:
    """The label whose linearly interpolated share is largest; -> the type of `labels`."""
    result, most = np.zeros_like(labels), np.zeros(labels.shape, np.float32)
    for value in np.unique(labels):
        share = ndimage.affine_transform((labels == value).astype(np.float32), matrix, shift, order=1, mode="nearest")
        is_more = share > most
        result[is_more], most[is_more] = value, share[is_more]
    return result
