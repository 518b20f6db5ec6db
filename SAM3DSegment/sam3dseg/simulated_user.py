"""The simulated user: one definition of where the next click goes, for training, evaluation and the demo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .prompts import Click


def next_click(
    reference: NDArray[np.bool_], mask: NDArray[np.bool_] | None = None, *, rng: np.random.Generator | None = None
) -> Click | None:
    """Where a patient user would click next, or None when the mask has no error.

    reference, mask: bool (I, J, K). Without a mask, or with an empty one, the click goes to the deepest voxel of the
    reference. Otherwise it goes to the deepest voxel of the largest connected component (6-neighbourhood) of all that
    is missed or spilled: foreground if missed, background if spilled. Depth is the Euclidean distance in voxels to the
    outside; the image's border counts as outside; the first voxel in index order wins a tie.
    With `rng` any voxel of that region may be drawn instead: the less patient user that training needs.
    Raises ValueError when the shapes differ.
    """
    place = next_place(reference, mask, rng=rng)
    if place is None:
        return None
    i, j, k = place[0]
    return Click((i, j, k), place[1])


def next_place(
    reference: NDArray[np.bool_], mask: NDArray[np.bool_] | None = None, *, rng: np.random.Generator | None = None
) -> tuple[tuple[int, ...], bool] | None:
    """`next_click` for any number of dimensions: index of the place and whether it is foreground, or None."""
    if mask is not None and mask.shape != reference.shape:
        raise ValueError(f"the mask must have the reference's shape {reference.shape}, not {mask.shape}")
    if mask is None or not mask.any():
        return (_point(*_boxed(reference), rng), True) if reference.any() else None
    missed, spilled = _largest(reference & ~mask), _largest(mask & ~reference)
    if missed is not None and (spilled is None or missed[0].sum() >= spilled[0].sum()):
        return _point(*missed, rng), True
    return None if spilled is None else (_point(*spilled, rng), False)


def _boxed(region: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int_]]:
    """A non-empty region cut to its bounding box, and the box's first voxel."""
    low, high = [], []
    axes = range(region.ndim)
    for axis in axes:
        filled = np.flatnonzero(region.any(axis=tuple(a for a in axes if a != axis)))
        low.append(filled[0])
        high.append(filled[-1] + 1)
    return region[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], np.array(low)


def _largest(region: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int_]] | None:
    """The largest connected component, cut to its bounding box, and the box's first voxel; None when all is empty."""
    if not region.any():
        return None
    cropped, offset = _boxed(region)
    parts, _ = ndimage.label(cropped)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    component, inner = _boxed(parts == sizes.argmax())
    return component, offset + inner


def _point(region: NDArray[np.bool_], offset: NDArray[np.int_], rng: np.random.Generator | None) -> tuple[int, ...]:
    """The deepest voxel of a region, or any voxel of it when `rng` is given, in image indices."""
    if rng is None:
        depth = ndimage.distance_transform_edt(np.pad(region, 1))[(slice(1, -1),) * region.ndim]
        index = np.unravel_index(depth.argmax(), region.shape)
    else:
        inside = np.argwhere(region)
        index = inside[rng.integers(len(inside))]
    return tuple(int(value) for value in np.asarray(index) + offset)
