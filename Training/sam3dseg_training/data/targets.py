"""What a window should be segmented into: the share of every cell that an object takes, and the distance to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sam3dseg.preprocessing import extract_window
from sam3dseg.windows import Window

from .distance import LIMIT_MM
from .entries import CachedCase, mask_of

REACH = 2  # voxels beyond the window that its cells may average over


def with_cells(window: Window, cells: int) -> Window:
    """The same cube in `cells` samples per axis."""
    return Window(window.center, window.spacing_mm * window.size / cells, cells)


def object_mask(case: CachedCase, members: tuple[str, ...], region: tuple[slice, ...]) -> NDArray[np.bool_]:
    """Voxels of the structures `members` in a region of the grid."""
    values = sorted({v for name in members if name in case.structures for v in case.structures[name].values})
    return mask_of(case.labels[region], tuple(values))


def coverage(case: CachedCase, members: tuple[str, ...], window: Window, cells: int) -> NDArray[np.float32]:
    """Share (m, m, m) in [0, 1] of each of m = `cells` cells per axis that the object takes; zero outside the image."""
    coarse = with_cells(window, cells)
    region = _region(coarse, case)
    if any(part.stop <= part.start for part in region):
        return np.zeros((cells,) * 3, np.float32)
    moved = _moved(coarse, region)
    mask = object_mask(case, members, region)
    if not mask.any():
        return np.zeros((cells,) * 3, np.float32)
    return np.clip(extract_window(mask, case.spacing_mm, moved, antialias=True)[0], 0, 1)


def distance(field: NDArray[np.float16], case: CachedCase, window: Window, cells: int) -> NDArray[np.float32]:
    """A signed distance field (R, A, S) in mm at the cells (m, m, m); outside the image it grows with the way there."""
    coarse = with_cells(window, cells)
    values, valid = extract_window(field, case.spacing_mm, coarse, antialias=False)
    if valid is None:
        return values
    if not valid.any():
        return np.full_like(values, LIMIT_MM)
    ends = [np.flatnonzero(valid.any(axis=tuple(a for a in range(3) if a != axis)))[[0, -1]] for axis in range(3)]
    cell = np.arange(cells)
    nearest = [np.clip(cell, low, high) for low, high in ends]
    steps = np.ix_(*((cell - near) ** 2 for near in nearest))
    away_mm = coarse.spacing_mm * np.sqrt(steps[0] + steps[1] + steps[2])
    return np.minimum(values[np.ix_(*nearest)] + away_mm, LIMIT_MM).astype(np.float32)


def _region(window: Window, case: CachedCase) -> tuple[slice, ...]:
    """The voxels that the window's cells may read."""
    low, high = window.bounds(case.spacing_mm)
    first = np.maximum(np.floor(low).astype(int) - REACH, 0)
    last = np.minimum(np.ceil(high).astype(int) + REACH + 1, case.labels.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))


def _moved(window: Window, region: tuple[slice, ...]) -> Window:
    return replace(window, center=tuple(c - part.start for c, part in zip(window.center, region, strict=True)))
