"""2D slices of a case for the 2D models: every slice along every axis, all of one size, each in a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam3dseg.atomic import replacing

from .entries import CachedCase

AXES = "RAS"  # names of the canonical axes, and of the files


def write_slices(
    folder: Path, case: CachedCase, *, crop: Sequence[int] = (), axes: Sequence[int] = (0, 1, 2), distances: str = ""
) -> list[str]:
    """Write the slices that hold a label as AXIS_INDEX.npz below `folder`; returns their names.

    Each holds, for crop = (H, W), the whole slice when empty: image (H, W) of the stored type; mask (H, W) label
    values; pointmap (H, W, 3) float32, RAS mm of every pixel centre; affine (4, 4), (row, column, 0, 1) -> RAS mm;
    slice_idx, the canonical index along axis; axis, 0 to 2 for R, A, S; gt_sdf_path, `distances` (relative to the
    cache). Rows and columns are the two other axes in order.
    The crop is centred on the labelled box and shifted into the image where it fits; what lies outside the image has
    its smallest value, and label 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labelled = case.labels > 0
    padding = case.image.min()
    names = []
    for axis in axes:
        rows, columns = (a for a in range(3) if a != axis)
        size = tuple(crop) or (labelled.shape[rows], labelled.shape[columns])
        low = _crop_low(labelled, axis, size)
        affine = _slice_affine(case.affine_ras, axis, low)
        for index in np.flatnonzero(labelled.any(axis=(rows, columns))):
            in_plane = affine.copy()
            in_plane[:3, 3] += case.affine_ras[:3, axis] * index
            name = f"{AXES[axis]}_{index:04d}.npz"
            with replacing(folder / name) as temporary:
                np.savez_compressed(
                    temporary,
                    image=_cropped(case.image.take(index, axis), low, size, padding),
                    mask=_cropped(case.labels.take(index, axis), low, size, 0),
                    pointmap=pointmap(in_plane, size),
                    affine=in_plane,
                    slice_idx=np.int64(index),
                    axis=np.int64(axis),
                    gt_sdf_path=np.array(distances),
                )
            names.append(name)
    return names


def pointmap(affine: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float32]:
    """RAS mm (H, W, 3) of the pixel centres of a slice whose affine (4, 4) takes (row, column, 0, 1)."""
    row, column = np.indices(tuple(shape))
    return (affine[:3, 3] + row[..., None] * affine[:3, 0] + column[..., None] * affine[:3, 1]).astype(np.float32)


def _crop_low(labelled: NDArray[np.bool_], axis: int, crop: Sequence[int]) -> tuple[int, ...]:
    """First row and column of the crop, negative where it begins outside the image."""
    plane = np.asarray(labelled.any(axis=axis))
    low = []
    for side, wanted in enumerate(crop):
        filled = np.flatnonzero(plane.any(axis=1 - side))
        middle = (int(filled[0]) + int(filled[-1]) + 1) // 2 if filled.size else plane.shape[side] // 2
        spare = plane.shape[side] - wanted
        low.append(int(np.clip(middle - wanted // 2, 0, spare)) if spare >= 0 else spare // 2)
    return tuple(low)


def _slice_affine(affine_ras: NDArray[np.float64], axis: int, low: tuple[int, ...]) -> NDArray[np.float64]:
    """(row, column, 0, 1) -> RAS mm of slice 0 along `axis`; the third column is the step to the next slice."""
    order = [a for a in range(3) if a != axis]
    result = np.eye(4)
    result[:3, :3] = affine_ras[:3, [*order, axis]]
    result[:3, 3] = affine_ras[:3, 3] + affine_ras[:3, order] @ np.array(low, dtype=np.float64)
    return result


def _cropped(plane: NDArray, low: Sequence[int], crop: Sequence[int], padding: float) -> NDArray:
    """The piece of `plane` (H', W') that starts at `low`, filled up with `padding` to `crop`."""
    result = np.full(crop, padding, dtype=plane.dtype)
    source, target = [], []
    for start, wanted, length in zip(low, crop, plane.shape, strict=True):
        first, last = max(start, 0), min(start + wanted, length)
        source.append(slice(first, last))
        target.append(slice(first - start, last - start))
    result[tuple(target)] = plane[tuple(source)]
    return result
