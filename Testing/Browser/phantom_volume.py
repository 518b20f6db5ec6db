"""The volume that the tests click in: two bright balls that the middle slices of all orientations cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from slice_projection import FittedVolume

SHAPE = (71, 61, 53)  # odd: the middle slices lie on voxel centres
SPACING_MM = (1.0, 1.0, 1.25)
PHANTOM = FittedVolume(SHAPE, SPACING_MM)
BALL, BALL_RADIUS_MM = (28, 30, 26), 13.0
SMALL, SMALL_RADIUS_MM = (55, 30, 26), 7.0
BRIGHT, NOISE = 300, 15


def write_phantom(path: Path) -> Path:
    """Write the volume, int16, axes along R, A and S."""
    axes = np.ogrid[tuple(slice(n) for n in SHAPE)]
    values = np.random.default_rng(0).normal(0, NOISE, SHAPE)
    for center, radius in ((BALL, BALL_RADIUS_MM), (SMALL, SMALL_RADIUS_MM)):
        far = sum(((a - c) * s) ** 2 for a, c, s in zip(axes, center, SPACING_MM, strict=True))
        values[far < radius**2] += BRIGHT
    image = sitk.GetImageFromArray(values.astype(np.int16).T)
    image.SetSpacing(SPACING_MM)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))  # LPS: i to the right, j to the front
    sitk.WriteImage(image, str(path))
    return path
