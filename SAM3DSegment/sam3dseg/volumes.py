"""Checks on a volume before it is segmented: what a readable error can prevent later."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import ArrayLike, NDArray

logger = logging.getLogger(__name__)

LARGEST_INTENSITY = 1e30  # squares and sums of larger values leave float32
BLOCK_VOXELS = 2**24


def checked_spacing(spacing_mm: ArrayLike) -> tuple[float, ...]:
    """Three positive finite spacings in mm, or ValueError."""
    try:
        spacing = np.asarray(spacing_mm, dtype=np.float64)
    except (TypeError, ValueError):
        spacing = np.empty(0)
    if spacing.shape != (3,) or not np.isfinite(spacing).all() or not (spacing > 0).all():
        raise ValueError(
            f"spacing_mm must be three positive finite numbers, got {spacing_mm!r}; give mm per voxel axis"
        )
    return tuple(float(s) for s in spacing)


def checked_volume(array: ArrayLike) -> NDArray:
    """A real (I, J, K) array ready for segmentation: the same memory, or a repaired copy when values are missing.

    NaN, infinite and masked voxels take the smallest valid value, with a warning. Raises ValueError for a wrong
    dimension (4D, RGB), an empty or one-line volume, a complex or non-numeric type, no valid voxel at all, or
    intensities beyond LARGEST_INTENSITY.
    """
    volume = array if isinstance(array, np.ndarray) else np.asarray(array)
    _check_layout(volume)
    if isinstance(volume, np.ma.MaskedArray):
        volume = _fill_masked(volume)
    if volume.dtype.kind == "f":
        volume = _repair_floats(volume)
    return volume


def _check_layout(volume: NDArray) -> None:
    if volume.dtype.names is not None or (volume.ndim == 4 and volume.shape[-1] in (3, 4)):
        raise ValueError(
            f"image must be one scalar volume (I, J, K), got an RGB or vector image of shape {volume.shape}; "
            "convert it to a grey-value volume first"
        )
    if volume.ndim != 3:
        raise ValueError(
            f"image must be a 3D array (I, J, K), got {volume.ndim}D of shape {volume.shape}; choose one volume of it"
        )
    if volume.dtype.kind == "c":
        raise ValueError(f"image must be real, got complex values ({volume.dtype}); take the magnitude first")
    if volume.dtype.kind not in "biuf":
        raise ValueError(f"image must hold integers or floats, got dtype {volume.dtype}; convert it to numbers first")
    if volume.size == 0:
        raise ValueError(f"image is empty: got shape {volume.shape}; every axis needs at least one voxel")
    if sum(length > 1 for length in volume.shape) < 2:
        raise ValueError(f"image must span at least two axes, got shape {volume.shape}; load a slice or a volume")


def _fill_masked(volume: np.ma.MaskedArray) -> NDArray:
    hidden = np.ma.getmaskarray(volume)
    if hidden.all():
        raise ValueError("image has no valid voxel: all of them are masked; clear the mask or choose another volume")
    if not hidden.any():
        return volume.data
    logger.warning("%d masked voxels take the smallest valid intensity", int(hidden.sum()))
    return volume.filled(volume.min())


def _repair_floats(volume: NDArray) -> NDArray:
    lowest, highest, missing = np.inf, -np.inf, 0
    step = max(1, BLOCK_VOXELS // max(volume[0].size, 1))
    for begin in range(0, volume.shape[0], step):
        block = volume[begin : begin + step]
        finite = np.isfinite(block)
        missing += int(block.size - np.count_nonzero(finite))
        lowest = min(lowest, float(block.min(where=finite, initial=np.inf)))
        highest = max(highest, float(block.max(where=finite, initial=-np.inf)))
    if lowest > highest:
        raise ValueError("image has no finite voxel: all of them are NaN or infinite; choose another volume")
    if max(abs(lowest), abs(highest)) > LARGEST_INTENSITY:
        raise ValueError(
            f"image intensities must stay within +-{LARGEST_INTENSITY:g}, got {lowest:g} to {highest:g}; "
            "rescale the image"
        )
    if missing == 0:
        return volume
    logger.warning("%d NaN or infinite voxels take the smallest finite intensity %g", missing, lowest)
    return np.where(np.isfinite(volume), volume, volume.dtype.type(lowest))
