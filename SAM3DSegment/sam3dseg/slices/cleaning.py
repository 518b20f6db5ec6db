"""What is tidied in a mask that was made slice by slice: small parts, holes, rough contours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .options import SliceOptions


def cleaned(
    mask: NDArray[np.bool_],
    options: SliceOptions,
    *,
    axis: int,
    spacing_mm: Sequence[float],
    inside: NDArray[np.int64],
    outside: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """A mask (a, b, c), cut in slices across `axis`, without the small parts, holes and roughness that `options` name.

    inside, outside: voxels (N, 3) of foreground clicks, whose parts stay, and of background clicks, whose holes do.
    """
    if options.smooth_mm > 0:
        mask = smoothed(mask, options.smooth_mm, axis=axis, spacing_mm=spacing_mm)
    if options.fill_holes:
        mask = without_holes(mask, axis=axis, kept=outside)
    if options.smallest_part > 0:
        mask = without_small_parts(mask, options.smallest_part, kept=inside)
    return mask


def without_small_parts(
    mask: NDArray[np.bool_], share: float, *, kept: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Without face-connected parts of less than `share` of the largest part's voxels; parts with voxels `kept` stay."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    stays = sizes >= share * sizes.max()
    if kept is not None and len(kept):
        stays[labels[tuple(kept.T)]] = True
    stays[0] = False
    return stays[labels]


def without_holes(mask: NDArray[np.bool_], *, axis: int, kept: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
    """With what the contours of each slice enclose filled, but for holes with voxels `kept`."""
    beside = np.zeros((3, 3, 3), dtype=bool)
    beside[(slice(None),) * axis + (1,)] = ndimage.generate_binary_structure(2, 1)
    holes = ndimage.binary_fill_holes(mask, beside) & ~mask
    if kept is not None and len(kept):
        labels, _ = ndimage.label(holes, beside)
        left = np.unique(labels[tuple(kept.T)])
        holes &= ~np.isin(labels, left[left > 0])
    return mask | holes


def smoothed(mask: NDArray[np.bool_], smooth_mm: float, *, axis: int, spacing_mm: Sequence[float]) -> NDArray[np.bool_]:
    """With contours rid of detail smaller than about `smooth_mm`; every slice keeps its area.

    The mask is blurred within slices (a Gaussian of half that length) and cut at the level that keeps the area.
    """
    sigma = [0.0 if a == axis else smooth_mm / 2 / spacing_mm[a] for a in range(3)]
    result = np.zeros_like(mask)
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest")
    for index in range(mask.shape[axis]):
        place = (slice(None),) * axis + (index,)
        area = int(np.count_nonzero(mask[place]))
        if area:
            values = blurred[place]
            level = np.partition(values, -area, axis=None)[-area]
            result[place] = values >= level
    return result
