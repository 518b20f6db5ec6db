"""Slices as SAM and MedSAM take them, and their logits back on the slice.  No network library here.

A volume becomes 8 bit by one intensity window, as in MedSAM (bowang-lab/MedSAM, commit d71e8a1).  Then each model has
its own way from the slice to its input square of S pixels:

* "sam": the longest side (in mm) becomes S as Pillow resizes 8 bit pictures, SAM's mean and deviation, zeros to the
  right and below; logits are enlarged to S, cut, and resized (segment-anything, commit dca509f).
* "medsam": stretched to S × S by cubic splines as scikit-image does, then its own lowest and highest value become 0 and
  1; probabilities are resized to the slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, sparse
from scipy.special import expit

METHODS = ("sam", "medsam")
MODALITIES = ("auto", "ct", "other")
CT_WINDOW = (-160.0, 240.0)  # level 40, width 400 HU
CT_LOWEST = -500.0  # only CT has voxels below
PERCENTILES = (0.5, 99.5)  # of the voxels > 0
PIXEL_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
PIXEL_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
COEFFICIENT_BITS = 22  # of Pillow's fixed-point weights
SURE = 1e-6  # probabilities closer to 0 or 1 are clipped before they become logits
MASK_LOGIT = 8.0  # of the inside of a mask that is given as logits


@dataclass(frozen=True, slots=True)
class SliceInput:
    """values (3, S, S), the square's pixels per pixel of the slice along x and y, and the rows and columns it fills."""

    values: NDArray[np.float32]
    scale: tuple[float, float]
    filled: tuple[int, int]
    method: str

    def to_input(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Picture coordinates (..., 2), or boxes (..., 4) as x0, y0, x1, y1, -> pixels of the square."""
        places = np.asarray(xy, np.float64)
        return places * np.tile(self.scale, places.shape[-1] // 2)

    def box_to_input(self, corners: ArrayLike) -> NDArray[np.float64]:
        """Pixels (x0, y0, x1, y1) of a picture, included -> that box, its outer edges, in pixels of the square."""
        return self.to_input(np.asarray(corners, np.float64) + (0, 0, 1, 1))

    def to_picture(self, xy: ArrayLike) -> NDArray[np.float64]:
        """The inverse of `to_input`."""
        places = np.asarray(xy, np.float64)
        return places / np.tile(self.scale, places.shape[-1] // 2)


def volume_window(image: NDArray, modality: str = "auto") -> tuple[float, float]:
    """Lowest and highest intensity of a volume's 8 bit version; both equal for a constant volume.

    CT: -160 to 240 HU, within the values there are. Others: percentiles of the voxels > 0. auto: CT when the lowest
    value is below -500. Raises ValueError for an unknown modality.
    """
    if modality not in MODALITIES:
        raise ValueError(f"unknown modality {modality!r}: expected one of {', '.join(MODALITIES)}")
    lowest, highest = float(image.min()), float(image.max())
    if modality == "ct" or (modality == "auto" and lowest <= CT_LOWEST):
        low, high = np.clip((lowest, highest), *CT_WINDOW)
        return float(low), float(high)
    if highest <= 0:
        return lowest, highest
    low, high = _percentiles_of_positive(image)
    return (low, high) if high > low else (lowest, highest)  # of two values only, both count


def to_8_bit(picture: NDArray, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Intensities of any type and shape -> 0 to 255 between the window's ends, fractions cut off."""
    low, high = window
    if not high > low:
        return np.zeros(picture.shape, np.uint8)
    clipped = np.clip(picture.astype(np.float64), low, high)
    return ((clipped - low) / (high - low) * 255.0).astype(np.uint8)


def slice_input(picture: NDArray[np.uint8], pixel_mm: Sequence[float], size: int, method: str) -> SliceInput:
    """8 bit picture (rows, columns) with pixels of pixel_mm (row, column) -> the model's input square of side `size`.

    Raises ValueError for an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown preprocessing {method!r}: expected one of {', '.join(METHODS)}")
    rows, columns = picture.shape
    filled = _filled((rows, columns), pixel_mm, size) if method == "sam" else (size, size)
    if method == "sam":
        values = np.zeros((3, size, size), np.float32)
        small = resize_like_pillow(picture, filled).astype(np.float32)
        values[:, : filled[0], : filled[1]] = (small - PIXEL_MEAN[:, None, None]) / PIXEL_DEVIATION[:, None, None]
    else:
        level = resize_like_skimage(picture, filled).astype(np.uint8).astype(np.float64)
        level = (level - level.min()) / max(float(np.ptp(level)), 1e-8)
        values = np.repeat(level.astype(np.float32)[None], 3, axis=0)
    return SliceInput(values, (filled[1] / columns, filled[0] / rows), filled, method)


def logits_to_picture(logits: NDArray[np.float32], prepared: SliceInput, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Logits (n, n) over the input square -> logits (rows, columns) of the slice; positive is foreground."""
    size, n = prepared.values.shape[-1], logits.shape[0]
    if prepared.method == "medsam":
        rows, columns = (_linear(n, length) for length in shape)
        probability = np.clip(rows @ expit(logits) @ columns.T, SURE, 1 - SURE)
        return np.log(probability / (1 - probability)).astype(np.float32)
    rows, columns = (_enlarged(n, size, part, length) for part, length in zip(prepared.filled, shape, strict=True))
    return (rows @ logits @ columns.T).astype(np.float32, copy=False)


def mask_to_logits(mask: NDArray[np.bool_], prepared: SliceInput, n: int) -> NDArray[np.float32]:
    """Mask (rows, columns) of the slice -> logits (n, n) over the input square, as a previous answer of the model."""
    reach = [prepared.values.shape[-1] / filled for filled in prepared.filled]  # the square, in pictures
    rows, columns = (_averages(length, n, part) for length, part in zip(mask.shape, reach, strict=True))
    return (2 * (rows @ mask.astype(np.float32) @ columns.T) - 1) * MASK_LOGIT


def resize_like_pillow(picture: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Pillow's bilinear resize of an 8 bit picture, its fixed-point arithmetic included: columns first, then rows."""
    rows, columns = picture.shape
    result = picture
    if shape[1] != columns:
        result = _fixed_point(result.T, _pillow_weights(columns, shape[1])).T
    if shape[0] != rows:
        result = _fixed_point(result, _pillow_weights(rows, shape[0]))
    return np.ascontiguousarray(result)


def resize_like_skimage(picture: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float64]:
    """`skimage.transform.resize` of order 3 with anti-aliasing and the range kept, clipped to the picture's values."""
    values = picture.astype(np.float64)
    factors = np.divide(values.shape, shape)
    smooth = ndimage.gaussian_filter(values, np.maximum(0, (factors - 1) / 2), mode="mirror")
    result = ndimage.zoom(smooth, 1 / factors, order=3, mode="mirror", grid_mode=True)
    return np.clip(result, values.min(), values.max())


def _filled(shape: tuple[int, int], pixel_mm: Sequence[float], size: int) -> tuple[int, int]:
    """Rows and columns of the resized picture: its longer side in mm gets `size`."""
    finest = min(pixel_mm)
    lengths = [count * (mm / finest) for count, mm in zip(shape, pixel_mm, strict=True)]
    scale = size * 1.0 / max(lengths)
    rows, columns = (max(1, int(length * scale + 0.5)) for length in lengths)
    return rows, columns


def _percentiles_of_positive(image: NDArray) -> tuple[float, float]:
    if np.issubdtype(image.dtype, np.integer) and image.dtype.itemsize <= 2:
        return _counted_percentiles(image)
    low, high = np.percentile(image[image > 0], PERCENTILES)
    return float(low), float(high)


def _counted_percentiles(image: NDArray) -> tuple[float, float]:
    """The same numbers from a table of how often each positive value occurs, in a fraction of the time and memory."""
    counts = sum(
        (np.bincount(np.maximum(part, 0).ravel(), minlength=int(image.max()) + 1) for part in image),
        start=np.zeros(int(image.max()) + 1, np.int64),
    )
    counts[0] = 0
    below = np.cumsum(counts)
    low, high = (
        float(np.interp(place % 1, (0, 1), np.searchsorted(below, (int(place), int(np.ceil(place))), side="right")))
        for place in (share / 100 * (below[-1] - 1) for share in PERCENTILES)
    )
    return low, high


@lru_cache(maxsize=32)
def _pillow_weights(length: int, count: int) -> sparse.csr_matrix:
    """Fixed-point weights (count, length) of a triangle filter, widened when it shrinks."""
    scale = length / count
    reach = max(scale, 1.0)
    weights = np.zeros((count, length))
    for row in range(count):
        center = (row + 0.5) * scale
        first = max(int(center - reach + 0.5), 0)
        last = min(int(center + reach + 0.5), length)
        distance = np.abs((np.arange(first, last) - center + 0.5) / reach)
        triangle = np.where(distance < 1, 1 - distance, 0)
        weights[row, first:last] = triangle / triangle.sum()
    return sparse.csr_matrix(np.floor(weights * (1 << COEFFICIENT_BITS) + 0.5).astype(np.int32))


def _fixed_point(picture: NDArray[np.uint8], weights: sparse.csr_matrix) -> NDArray[np.uint8]:
    """(length, columns) with weights (count, length) -> (count, columns), rounded as Pillow rounds."""
    total = weights @ picture.astype(np.int32) + (
        1 << (COEFFICIENT_BITS - 1)
    )  # at most 255 · 2^22 and a half: no overflow
    return np.clip(total >> COEFFICIENT_BITS, 0, 255).astype(np.uint8)


@lru_cache(maxsize=64)
def _linear(length: int, count: int) -> NDArray[np.float32]:
    """Weights (count, length) of linear interpolation with pixel centres at halves (align_corners=False)."""
    places = np.clip((np.arange(count) + 0.5) * (length / count) - 0.5, 0, length - 1)
    first = np.minimum(places.astype(np.int64), max(length - 2, 0))
    weights = np.zeros((count, length), np.float32)
    rows = np.arange(count)
    weights[rows, np.minimum(first + 1, length - 1)] = places - first
    weights[rows, first] += 1 - (places - first)
    return weights


@lru_cache(maxsize=32)
def _enlarged(n: int, size: int, filled: int, length: int) -> NDArray[np.float32]:
    """Weights (length, n): n samples enlarged to `size`, cut to `filled`, resized to `length`."""
    return (_linear(filled, length) @ _linear(n, size)[:filled]).astype(np.float32)


@lru_cache(maxsize=64)
def _averages(length: int, count: int, reach: float) -> NDArray[np.float32]:
    """Weights (count, length) of averages over `count` boxes that together reach over `reach` times the length.

    The part of a box beyond the end is left out; a box beyond the end has no weights.
    """
    edges = np.linspace(0, length * reach, count + 1)
    lower = np.maximum(edges[:-1, None], np.arange(length))
    upper = np.minimum(edges[1:, None], np.arange(length) + 1)
    overlap = np.maximum(upper - lower, 0)
    return (overlap / np.maximum(overlap.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)
