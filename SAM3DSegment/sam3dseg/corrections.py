"""Corrections of a mask that was given: it changes where a click says so and nowhere else.

A model that never saw how the mask came about would replace all of it by its own answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .masks import CroppedMask

REACH = 1.5  # times the distance from the click to the border of the mask, and a cell: how far a correction goes
NEAREST = 8  # cells around a click in which its border is looked for first


def changed_near(
    before: NDArray[np.bool_], after: NDArray[np.bool_], seeds: NDArray[np.int64], *, cell_mm: Sequence[float]
) -> NDArray[np.bool_]:
    """Which of the cells that differ between two masks (a, b, c) belong to corrections at `seeds` (N, 3).

    They are connected with a seed, face by face, within its reach; a seed where nothing differs takes nothing.
    """
    size_mm = np.asarray(cell_mm, dtype=np.float64)
    taken = np.zeros(before.shape, dtype=bool)
    for seed in seeds:
        reach_mm = REACH * (border_distance(before, seed, size_mm) + size_mm.max())
        half = np.ceil(reach_mm / size_mm).astype(int)
        low = np.maximum(seed - half, 0)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, seed + half + 1, strict=True))
        near = _distance_mm(before[box].shape, seed - low, size_mm) <= reach_mm
        parts, _ = ndimage.label((before[box] != after[box]) & near)
        part = parts[tuple(seed - low)]
        if part:
            taken[box] |= parts == part
    return taken


def corrected(
    before: CroppedMask, after: CroppedMask, seeds: NDArray[np.int64], *, spacing_mm: Sequence[float]
) -> CroppedMask:
    """The mask `before` with what corrections at voxels `seeds` (N, 3) take from `after`."""
    places = [(mask.offset, np.add(mask.offset, mask.shape)) for mask in (before, after) if not mask.is_empty]
    low = np.min([seeds.min(axis=0), *(place[0] for place in places)], axis=0)
    high = np.max([seeds.max(axis=0) + 1, *(place[1] for place in places)], axis=0)
    region = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    old, new = before.within(region), after.within(region)
    taken = changed_near(old, new, seeds - low, cell_mm=spacing_mm)
    return CroppedMask.from_crop(np.where(taken, new, old), low)


def deepest_cell(mask: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Index (3,) of the cell furthest from the outside of a mask, or None where it is empty."""
    if not mask.any():
        return None
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    return np.array(np.unravel_index(np.argmax(depth), mask.shape))


def border_distance(
    mask: NDArray[np.bool_], seed: NDArray[np.int64], cell_mm: Sequence[float] | NDArray = (1.0, 1.0, 1.0)
) -> float:
    """Distance from a cell to the nearest cell of the other kind; to the furthest corner where all are of its kind."""
    size_mm = np.asarray(cell_mm, dtype=np.float64)
    half = NEAREST
    while True:
        low = np.maximum(seed - half, 0)
        box = mask[tuple(slice(int(a), int(b)) for a, b in zip(low, seed + half + 1, strict=True))]
        distance = _distance_mm(box.shape, seed - low, size_mm)
        other = box != mask[tuple(seed)]
        nearest = float(distance[other].min()) if other.any() else np.inf
        if nearest <= half * size_mm.min() or box.shape == mask.shape:
            return nearest if np.isfinite(nearest) else float(distance.max())
        half *= 2


def _distance_mm(shape: tuple[int, ...], seed: NDArray[np.int64], size_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance (a, b, c) of every cell's centre from that of the cell `seed`."""
    squares = [((np.arange(n) - s) * mm) ** 2 for n, s, mm in zip(shape, seed, size_mm, strict=True)]
    return np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
