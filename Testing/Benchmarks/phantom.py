"""Made-up volumes for timing: balls in noise, and clicks about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam3dseg.prompts import Click

CONTRAST, NOISE = 300, 40
INSIDE, OUTSIDE = 0.6, 1.4  # where corrections are placed, in radii from the centre


def balls_in_noise(
    shape: Sequence[int], centers: NDArray[np.integer], radius_mm: float, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0)
) -> NDArray[np.int16]:
    """int16 (I, J, K): balls of CONTRAST about the voxels `centers` (N, 3) in 0, with noise of NOISE all over."""
    rng = np.random.default_rng(0)
    volume = np.empty(shape, np.int16)
    for k in range(shape[2]):  # slice by slice: the volume is the only large array
        volume[:, :, k] = NOISE * rng.standard_normal(shape[:2], np.float32)
    reach = np.ceil(radius_mm / np.array(spacing_mm)).astype(int)
    axes = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
    ball = sum((axis * step) ** 2 for axis, step in zip(axes, spacing_mm, strict=True)) < radius_mm**2
    offsets = np.argwhere(ball) - reach
    for center in centers:
        places = offsets + center
        inside = ((places >= 0) & (places < shape)).all(axis=1)
        volume[tuple(places[inside].T)] += CONTRAST
    return volume


def correction(
    number: int, center: NDArray[np.integer], radius_mm: float, spacing_mm: Sequence[float], rng: np.random.Generator
) -> Click:
    """The click after `number` others on the ball about voxel `center`: in turn inside and outside of it."""
    is_foreground = number % 2 == 0
    direction = rng.normal(size=3)
    distance_mm = radius_mm * (INSIDE if is_foreground else OUTSIDE)
    offset_mm = distance_mm * direction / np.linalg.norm(direction)
    i, j, k = np.round(center + offset_mm / np.array(spacing_mm)).astype(int).tolist()
    return Click((i, j, k), is_foreground=is_foreground)
