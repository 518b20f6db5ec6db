"""The one preprocessing: canonical image to model window, window logits back to the image grid, normalisation.

Resampling is separable: one sparse weight matrix per axis. A row holds the overlap of an output sample's box with
the input voxels; a box one input voxel wide is exactly linear interpolation, a wider one is area averaging.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .windows import Block, Window

SLAB_BYTES = 32 * 2**20
HISTOGRAM_BINS = 256
SAMPLE_TARGET = 2**18  # voxels looked at for the percentiles and the histogram
NORMALISATIONS = {"zscore_positive": 1, "robust_rank": 2}  # method -> channels


def extract_window(
    image: NDArray, spacing_mm: Sequence[float], window: Window, *, antialias: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Resample the cube `window` out of a canonical image, as `extract_block` does -> (n, n, n) each."""
    return extract_block(image, spacing_mm, window.block, antialias=antialias)


def extract_block(
    image: NDArray, spacing_mm: Sequence[float], block: Block, *, antialias: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Resample the box `block` out of an image whose axes are those of the box.

    image: (R, A, S) of any real dtype, any strides; only the needed crop is converted, slab by slab.
    spacing_mm: (3,) of the image. antialias: average over the sample where the block is coarser than the image.
    Returns values float32 of the block's shape, zero outside the image, and the mask of samples inside the image,
    or None when all are.
    """
    starts, weights, valid_axes = [], [], []
    for axis, size in enumerate(block.shape):
        step = block.spacing_mm[axis] / spacing_mm[axis]
        positions = block.center[axis] + (np.arange(size) - (size - 1) / 2) * step
        valid = _inside(positions, image.shape[axis])
        start, matrix = _axis_weights(positions, image.shape[axis], width=max(step, 1.0) if antialias else 1.0)
        matrix[~valid] = 0
        starts.append(start)
        weights.append(matrix)
        valid_axes.append(valid)
    crop = image[tuple(slice(a, a + w.shape[1]) for a, w in zip(starts, weights, strict=True))]
    values = _contract(crop, weights)
    if all(valid.all() for valid in valid_axes):
        return values, None
    return values, valid_axes[0][:, None, None] & valid_axes[1][:, None] & valid_axes[2]


def logits_to_grid(
    logits: NDArray[np.float32],
    block: Window | Block,
    spacing_mm: Sequence[float],
    shape: tuple[int, ...],
    *,
    region: tuple[slice, ...] | None = None,
) -> tuple[NDArray[np.float32], tuple[slice, ...]]:
    """Resample logits (n0, n1, n2), covering a window's cube or a box, linearly to the image grid of `shape`.

    Sample centres follow the align_corners=False convention, whatever n is. region: slices with explicit start and
    stop that limit the output. Returns the float32 crop and its slices in the grid: only voxels with their centre
    inside the box; the crop is empty when there is none.
    """
    block = block.block if isinstance(block, Window) else block
    weights, slices = [], []
    for axis in range(3):
        size = logits.shape[axis]
        cell = block.spacing_mm[axis] * block.shape[axis] / size / spacing_mm[axis]  # in image voxels
        half = size * cell / 2
        low = max(int(np.ceil(block.center[axis] - half - 1e-9)), 0)
        high = min(int(np.floor(block.center[axis] + half + 1e-9)) + 1, shape[axis])
        if region is not None:
            low, high = max(low, region[axis].start), min(high, region[axis].stop)
        high = max(high, low)
        positions = (np.arange(low, high) - block.center[axis]) / cell + (size - 1) / 2
        start, matrix = _axis_weights(positions, size, width=1.0)
        full = np.zeros((high - low, size), dtype=np.float32)
        full[:, start : start + matrix.shape[1]] = matrix
        weights.append(full)
        slices.append(slice(low, high))
    return _contract(logits, weights), tuple(slices)


def normalise(
    window: NDArray[np.float32], valid: NDArray[np.bool_] | None = None, method: str = "robust_rank"
) -> NDArray[np.float32]:
    """Intensities (n, n, n) of one window -> network input (C, n, n, n), C = NORMALISATIONS[method].

    valid: mask of samples inside the image, None when all are.
    "zscore_positive": mean and unbiased standard deviation of the samples > 0, padding zero before (SAM-Med3D).
    "robust_rank": channel 0 clips to the 0.5 and 99.5 percentiles and standardises, channel 1 is the rank in
    [-1, 1] by a 256-bin histogram between those percentiles; padding is zero in both.
    A constant window gives zeros. Raises ValueError for an unknown method.
    """
    if method == "zscore_positive":
        return _zscore_positive(window, valid)
    if method == "robust_rank":
        return _robust_rank(window, valid)
    raise ValueError(f"normalisation {method!r} is unknown: expected one of {sorted(NORMALISATIONS)}")


def pooled(values: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
    """Means of cubes of `cell` samples: (n, n, n) -> (n / cell, ...)."""
    for axis in range(3):
        before = (slice(None),) * axis
        values = np.add.reduce([values[(*before, slice(start, None, cell))] for start in range(cell)]) / cell
    return values


def _zscore_positive(window: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    values = np.asarray(window, dtype=np.float32)
    if valid is not None:
        values = np.where(valid, values, np.float32(0))
    positive = values[values > 0]
    if positive.size < 2:
        return np.zeros((1, *values.shape), dtype=np.float32)
    mean = positive.mean(dtype=np.float64)
    deviation = positive.std(dtype=np.float64, ddof=1)
    if not deviation > 1e-7 * abs(mean):
        return np.zeros((1, *values.shape), dtype=np.float32)
    return ((values - np.float32(mean)) / np.float32(deviation))[None]


def _robust_rank(window: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    values = np.asarray(window, dtype=np.float32)
    result = np.zeros((2, *values.shape), dtype=np.float32)
    inside = values.ravel() if valid is None else values[valid]
    if inside.size == 0:
        return result
    sample = inside[:: max(1, inside.size // SAMPLE_TARGET) | 1]  # an odd stride does not beat with the window's rows
    low, high = np.percentile(sample, (0.5, 99.5)).astype(np.float32)
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        low, high = inside.min(), inside.max()  # nearly constant: a small structure may be all there is
        if not high - low > 1e-6 * max(abs(low), abs(high)):
            return result
    clipped = np.clip(values, low, high)
    position = (clipped - low) * np.float32(HISTOGRAM_BINS / (np.float64(high) - np.float64(low)))
    bins = np.minimum(position.astype(np.int32), HISTOGRAM_BINS - 1)
    inside_clipped = clipped if valid is None else clipped[valid]
    mean = inside_clipped.mean(dtype=np.float64)
    deviation = max(float(inside_clipped.std(dtype=np.float64)), 1e-12)
    np.subtract(clipped, np.float32(mean), out=result[0])
    result[0] /= np.float32(deviation)

    inside_bins = (bins if valid is None else bins[valid]).ravel()
    counts = np.bincount(inside_bins[:: max(1, inside_bins.size // SAMPLE_TARGET) | 1], minlength=HISTOGRAM_BINS)
    share = (2.0 * counts / counts.sum()).astype(np.float32)
    at_edge = (np.concatenate([[0.0], np.cumsum(share, dtype=np.float64)[:-1]]) - 1).astype(np.float32)
    result[1] = np.clip(at_edge[bins] + (position - bins) * share[bins], -1, 1)
    if valid is not None:
        result *= valid
    return result


def _inside(positions: NDArray[np.floating], length: int) -> NDArray[np.bool_]:
    """Which sample positions lie in an axis of `length` voxels; at least one when the axis lies between samples."""
    valid = (positions >= -0.5 - 1e-9) & (positions <= length - 0.5 + 1e-9)
    middle = (length - 1) / 2
    if not valid.any() and positions[0] <= middle <= positions[-1]:
        valid[np.argmin(np.abs(positions - middle))] = True
    return valid


def _axis_weights(positions: NDArray[np.floating], length: int, *, width: float) -> tuple[int, NDArray[np.float32]]:
    """Box weights of samples at `positions` over the voxels they need: (first voxel, matrix (samples, voxels)).

    Samples beyond the ends take the end voxel. Rows sum to one.
    """
    clamped = np.clip(positions, 0, length - 1)
    if clamped.size == 0:
        return 0, np.zeros((0, 1), dtype=np.float32)
    first = max(int(np.floor(clamped.min() - width / 2 + 0.5)), 0)
    last = min(int(np.ceil(clamped.max() + width / 2 - 0.5)), length - 1)
    voxels = np.arange(first, max(first, last) + 1)
    lower = np.maximum(clamped[:, None] - width / 2, voxels - 0.5)
    upper = np.minimum(clamped[:, None] + width / 2, voxels + 0.5)
    overlap = np.maximum(upper - lower, 0)
    return first, (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


def _contract(values: NDArray, weights: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Apply one matrix (out, in) per axis to `values` (in0, in1, in2) -> float32 (out0, out1, out2).

    The matrices are banded, so sparse products beat dense ones and need no BLAS threads, which stall beside a busy
    network. The order of the axes is fixed, so that an image gives the same bits in every orientation.
    """
    first, *others = (sparse.csr_matrix(matrix) for matrix in weights)
    shape = (weights[0].shape[0], *values.shape[1:])
    result = np.empty(shape, dtype=np.float32)
    step = max(1, SLAB_BYTES // max(4 * values.shape[0] * values.shape[2], 1))
    for begin in range(0, values.shape[1], step):
        slab = np.ascontiguousarray(values[:, begin : begin + step], dtype=np.float32)
        result[:, begin : begin + step] = (first @ slab.reshape(len(slab), -1)).reshape(shape[0], *slab.shape[1:])
    for matrix in others:
        result = np.ascontiguousarray(np.moveaxis(result, 0, 2))  # the next axis comes to the front
        result = (matrix @ result.reshape(len(result), -1)).reshape(matrix.shape[0], *result.shape[1:])
    return np.ascontiguousarray(np.moveaxis(result, 0, 2))
