"""From window logits to a native-grid mask: resampling between windows, tiles at full resolution, blending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .geometry import Grid
from .masks import CroppedMask, Region, bounding_box, components_at
from .preprocessing import extract_window, logits_to_grid
from .prompt_set import Prompts
from .windows import Window, ZoomPolicy

MASK_LOGIT = 6.0  # magnitude of the logits that stand for a given binary mask
SLAB_VOXELS = 2**23
COMPONENT_VOXELS = 2**25  # larger crops rely on the components found in the window


@dataclass(frozen=True, slots=True)
class Layer:
    """Raw logits (n, n, n) of one window."""

    logits: NDArray[np.float32]
    window: Window


def resample_logits(
    logits: NDArray[np.float32], source: Window, target: Window, spacing_mm: Sequence[float], size: int
) -> NDArray[np.float32]:
    """Logits (m, m, m) of window `source` seen through `target` (size, size, size); background beyond `source`."""
    count = logits.shape[0]
    if source == target and count == size:
        return logits
    cell_mm = source.extent_mm / count
    offset_mm = (np.asarray(target.center) - source.center) * np.asarray(spacing_mm)
    center = offset_mm / cell_mm + (count - 1) / 2
    view = Window(tuple(float(c) for c in center), target.extent_mm / size, size)
    values, valid = extract_window(logits, (cell_mm,) * 3, view, antialias=True)
    if valid is not None:
        values[~valid] = min(float(logits.min()), 0.0)
    return values


def resample_mask(mask: CroppedMask, target: Window, spacing_mm: Sequence[float], size: int) -> NDArray[np.float32]:
    """A native-grid mask as logits (size, size, size) of window `target`: +-MASK_LOGIT, less where it is partial."""
    center = np.asarray(target.center) - mask.offset
    view = Window(tuple(float(c) for c in center), target.extent_mm / size, size)
    share, _ = extract_window(mask.crop(), spacing_mm, view, antialias=True)
    return (2 * share - 1) * np.float32(MASK_LOGIT)


def tile_layers(
    coarse: Layer,
    kept: NDArray[np.bool_],
    grid: Grid,
    policy: ZoomPolicy,
    *,
    finest_mm: float,
    decode: Callable[[Window, NDArray[np.float64], Layer], NDArray[np.float32]],
) -> list[Layer]:
    """Finer layers for the tiles that hold boundary of the coarse mask; none when the window is fine enough.

    kept: mask cells (n, n, n) of the coarse layer. decode: (tile, a canonical point inside the object, coarse layer)
    -> raw logits. The spacing is the finest, from finest_mm up, that needs at most policy.max_tiles tiles.
    """
    result: list[Layer] = []
    if policy.max_tiles == 0 or finest_mm * policy.min_gain > coarse.window.spacing_mm:
        return result
    edge = kept & ~ndimage.binary_erosion(kept, border_value=1)
    if not edge.any():
        return result
    scale = coarse.window.size / kept.shape[0]
    boundary = coarse.window.to_image((np.argwhere(edge) + 0.5) * scale - 0.5, grid.spacing_mm)
    for tile in _choose_tiles(coarse.window, boundary, grid, policy, finest_mm):
        deepest = _deepest_inside(coarse, tile, grid)
        if deepest is None:
            continue
        logits = decode(tile, deepest, coarse)
        expected = resample_logits(coarse.logits, coarse.window, tile, grid.spacing_mm, logits.shape[0]) > 0
        found = logits > 0
        together = int(expected.sum()) + int(found.sum())
        if together and 2 * int((expected & found).sum()) >= policy.tile_agreement * together:
            result.append(Layer(logits, tile))
    return result


def _choose_tiles(
    window: Window, boundary: NDArray[np.float64], grid: Grid, policy: ZoomPolicy, finest_mm: float
) -> list[Window]:
    spacing = finest_mm
    while spacing * policy.min_gain <= window.spacing_mm:
        tiles = [
            t for t in policy.tiles(window, grid, spacing) if t.contains(boundary, grid.spacing_mm, margin=4).any()
        ]
        if len(tiles) <= policy.max_tiles:
            return tiles
        spacing *= policy.min_gain
    return []


def _deepest_inside(coarse: Layer, tile: Window, grid: Grid) -> NDArray[np.float64] | None:
    """Canonical coordinates (3,) of the point of the coarse mask inside `tile` furthest from its edge, or None."""
    size = 32
    view = resample_logits(coarse.logits, coarse.window, tile, grid.spacing_mm, size) > 0
    if not view.any():
        return None
    depth = ndimage.distance_transform_edt(np.pad(view, 1))[1:-1, 1:-1, 1:-1]
    cell = np.array(np.unravel_index(int(np.argmax(depth)), view.shape))
    return tile.to_image((cell + 0.5) * tile.size / size - 0.5, grid.spacing_mm)


def paste_mask(
    layers: list[Layer],
    kept: NDArray[np.bool_],
    grid: Grid,
    *,
    prompts: Prompts,
    keep_clicked: bool,
    overlap: float,
) -> CroppedMask:
    """Native-grid mask of the coarse layer (first) and the tiles blended over it.

    kept: mask cells (n, n, n) of the first layer. With boxes the mask stays inside them; keep_clicked drops components
    that no foreground click and no initial mask points at; a clicked voxel always follows its click. overlap: share of
    a tile's edge over which it fades.
    """
    region = _region(layers[0].window, kept, grid, prompts.points)
    if region is None:
        return CroppedMask()
    crop = _blend(layers, grid, region, overlap=overlap)
    if prompts.boxes:
        crop &= _box_mask(prompts.boxes, region)
    start = np.array([s.start for s in region])
    local = prompts.points - start
    if keep_clicked and crop.size <= COMPONENT_VOXELS:
        touching = None if prompts.initial.is_empty else prompts.initial.within(region)
        crop = components_at(crop, local[prompts.labels == 1], touching)
    crop[tuple(local.T)] = prompts.labels == 1
    return CroppedMask.from_crop(crop, start)


def _region(window: Window, kept: NDArray[np.bool_], grid: Grid, points: NDArray[np.int64]) -> Region | None:
    """Slices of the grid that hold the mask cells, two cells around them, and the points."""
    lows, highs = [], []
    box = bounding_box(kept)
    if box is not None:
        scale = window.size / kept.shape[0]
        faces = np.array([[s.start - 2, s.stop + 2] for s in box]).T * scale - 0.5  # window samples
        low, high = window.to_image(faces, grid.spacing_mm)
        lows.append(np.floor(low))
        highs.append(np.ceil(high))
    if len(points):
        lows.append(points.min(axis=0))
        highs.append(points.max(axis=0))
    if not lows:
        return None
    low = np.clip(np.min(lows, axis=0), 0, np.asarray(grid.shape) - 1).astype(int)
    high = np.clip(np.max(highs, axis=0), 0, np.asarray(grid.shape) - 1).astype(int)
    return tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))


def _blend(layers: list[Layer], grid: Grid, region: Region, *, overlap: float) -> NDArray[np.bool_]:
    """Threshold the layers' blend over `region`, slab by slab so that float memory stays bounded.

    Tiles fade linearly to the coarse layer over the overlap, except at the image border.
    """
    shape = tuple(s.stop - s.start for s in region)
    result = np.zeros(shape, dtype=bool)
    step = max(1, SLAB_VOXELS // max(shape[1] * shape[2], 1))
    for begin in range(region[0].start, region[0].stop, step):
        slab = (slice(begin, min(begin + step, region[0].stop)), *region[1:])
        blended: NDArray[np.floating] = np.full([s.stop - s.start for s in slab], -1, dtype=np.float32)
        base, where = logits_to_grid(layers[0].logits, layers[0].window, grid.spacing_mm, grid.shape, region=slab)
        blended[_relative(where, slab)] = base
        if len(layers) > 1:
            total = np.zeros(blended.shape, dtype=np.float32)
            weighted = np.zeros(blended.shape, dtype=np.float32)
            for layer in layers[1:]:
                logits, where = logits_to_grid(layer.logits, layer.window, grid.spacing_mm, grid.shape, region=slab)
                weight = _fade(layer.window, grid, where, overlap)
                total[_relative(where, slab)] += weight
                weighted[_relative(where, slab)] += weight * logits
            rest = np.maximum(1 - total, np.float32(0))
            blended = (weighted + rest * blended) / (total + rest)
        result[begin - region[0].start : slab[0].stop - region[0].start] = blended > 0
    return result


def _relative(where: Region, region: Region) -> Region:
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(where, region, strict=True))


def _fade(window: Window, grid: Grid, where: Region, overlap: float) -> NDArray[np.float32]:
    """Blending weight of a tile over the grid slices `where`: 1 inside, 0 at faces that are not the image border."""
    low, high = window.bounds(grid.spacing_mm)
    ramps = []
    for axis in range(3):
        voxels = np.arange(where[axis].start, where[axis].stop)
        ramp = max(overlap * (high[axis] - low[axis]), 1e-6)
        rise = (voxels - low[axis]) / ramp if low[axis] > 0 else np.ones(len(voxels))
        fall = (high[axis] - voxels) / ramp if high[axis] < grid.shape[axis] - 1 else np.ones(len(voxels))
        ramps.append(np.clip(np.minimum(rise, fall), 0, 1).astype(np.float32))
    return ramps[0][:, None, None] * ramps[1][:, None] * ramps[2]


def _box_mask(boxes: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...], region: Region) -> NDArray[np.bool_]:
    result = np.zeros([s.stop - s.start for s in region], dtype=bool)
    for low, high in boxes:
        cut = tuple(
            slice(max(int(a) - s.start, 0), max(int(b) + 1 - s.start, 0))
            for a, b, s in zip(low, high, region, strict=True)
        )
        result[cut] = True
    return result
