"""Augmentation of a window with MONAI's transforms: first in space, then of the intensities, before normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import set_track_meta
from monai.data.meta_obj import get_track_meta
from monai.transforms import (
    Affine,
    Compose,
    RandAdjustContrast,
    RandBiasField,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandHistogramShift,
    RandomizableTransform,
)
from numpy.typing import NDArray
from torch import Tensor

TURNED_SHARE = 0.4
LARGEST_ANGLE = np.deg2rad(20)
STRETCH = 0.08  # largest change of scale along one axis
MARGIN = 0.125  # of the window's edge, on every side: what turning may bring into view
RANGE_PERCENTILES = (1, 99)
SAMPLE_VOXELS = 2**15
SEEDS = 2**32 - 1


class RandAnisotropy(RandomizableTransform):
    """Thick slices: averages over some voxels along one axis and interpolates back.  (C, H, W[, D]) tensors."""

    def __init__(self, prob: float = 0.1, factors: tuple[float, float] = (1.5, 4.0)) -> None:
        super().__init__(prob)
        self.factors = factors

    def __call__(self, img: Tensor) -> Tensor:
        self.randomize(None)
        if not self._do_transform:
            return img
        size = list(img.shape[1:])
        axis, factor = int(self.R.randint(len(size))), float(self.R.uniform(*self.factors))
        coarse = list(size)
        coarse[axis] = max(2, round(size[axis] / factor))
        thick = F.interpolate(img[None], coarse, mode="area")
        mode = "trilinear" if len(size) == 3 else "bilinear"
        return F.interpolate(thick, size, mode=mode, align_corners=False)[0]


@dataclass(frozen=True, slots=True)
class Placement:
    """How a window or a slice is turned: flips per axis, and angles and scales of an affine map, or None.

    Angles are (3,), or (1,) in a slice; scales one per axis.
    """

    flips: tuple[bool, ...] = (False, False, False)
    angles: tuple[float, ...] | None = None
    scales: tuple[float, ...] = (1.0, 1.0, 1.0)

    @classmethod
    def draw(cls, rng: np.random.Generator, *, axes: int = 3) -> Placement:
        """A random placement in so many dimensions."""
        flips = tuple(bool(flip) for flip in rng.integers(0, 2, axes))
        if rng.random() >= TURNED_SHARE:
            return cls(flips)
        angles = rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE, 3 if axes == 3 else 1)
        scales = np.exp(rng.uniform(-STRETCH, STRETCH, axes))
        return cls(flips, tuple(angles.tolist()), tuple(scales.tolist()))

    def margin(self, cells: int) -> int:
        """Cells to add on every side before the window is turned."""
        return 0 if self.angles is None else int(np.ceil(MARGIN * cells))

    def apply(self, volume: NDArray, size: int | tuple[int, ...], *, padding: str = "zeros") -> NDArray[np.float32]:
        """(C, N, ...) with its margin -> (C, *size), a number for all axes or one for each; linear."""
        if self.angles is not None:
            turn = Affine(
                rotate_params=self.angles,
                scale_params=self.scales,
                spatial_size=(size,) * (volume.ndim - 1) if isinstance(size, int) else size,
                padding_mode=padding,
                image_only=True,
            )
            with _plain_tensors():
                volume = np.asarray(turn(torch.from_numpy(np.ascontiguousarray(volume, np.float32))))
        axes = tuple(axis + 1 for axis, flip in enumerate(self.flips) if flip)
        return np.ascontiguousarray(np.flip(volume, axes), dtype=np.float32)


class Intensities:
    """Blur, thick slices, bias field, gamma, other contrast and noise, each now and then."""

    def __init__(self) -> None:
        self._compose = Compose(
            [
                RandGaussianSmooth(sigma_x=(0.3, 1.0), sigma_y=(0.3, 1.0), sigma_z=(0.3, 1.0), prob=0.12),
                RandAnisotropy(prob=0.15),
                RandBiasField(degree=2, coeff_range=(-0.25, 0.25), prob=0.15),
                RandAdjustContrast(prob=0.3, gamma=(0.6, 1.6)),
                RandHistogramShift(num_control_points=(5, 8), prob=0.12),
                RandGaussianNoise(prob=0.3, std=0.08),
            ]
        )

    def __call__(
        self, values: NDArray[np.float32], valid: NDArray[np.bool_] | None, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(n, n, n) in any unit -> the same; samples that are not valid stay zero."""
        inside = values.ravel() if valid is None else values[valid]
        if inside.size == 0:
            return values
        low, high = np.percentile(inside[:: max(1, inside.size // SAMPLE_VOXELS) | 1], RANGE_PERCENTILES)
        if not high > low:
            return values
        filled = values if valid is None else np.where(valid, values, np.float32(low))
        unit = (filled - np.float32(low)) / np.float32(high - low)
        self._compose.set_random_state(seed=int(rng.integers(SEEDS)))
        with _plain_tensors():
            changed = np.asarray(self._compose(torch.from_numpy(unit)[None]))[0]
        result = changed.astype(np.float32) * np.float32(high - low) + np.float32(low)
        return result if valid is None else result * valid


def turned(
    values: NDArray[np.float32], valid: NDArray[np.bool_] | None, placement: Placement, size: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """A window and its mask of samples inside the image (N, N, N) -> the same, turned, (size, size, size)."""
    if placement.angles is None:
        inside = None if valid is None else placement.apply(valid[None], size)[0] > 0
        return placement.apply(values[None], size)[0], inside
    marked = values.copy() if valid is None else np.where(valid, values, np.float32(np.nan))
    for axis in range(3):  # what the turn brings in from beyond the margin is not inside either
        np.moveaxis(marked, axis, 0)[[0, -1]] = np.nan
    moved = placement.apply(marked[None], size, padding="border")[0]
    inside = np.isfinite(moved)
    return np.where(inside, moved, np.float32(0)), None if inside.all() else inside


class _plain_tensors:  # noqa: N801 - a context manager
    """MONAI's transforms without the tracking of applied operations, which costs time and is not used here."""

    def __enter__(self) -> None:
        self._before = get_track_meta()
        set_track_meta(False)

    def __exit__(self, *_: object) -> None:
        set_track_meta(self._before)
