"""Slicer's own Grow from seeds (`vtkImageGrowCutSegment`), driven by clicks: what the click benchmark compares with.

A click becomes what a user's brush would leave: a ball of BRUSH_RADIUS voxels, label 1 for a foreground click, 2 for a
background click.  As in Slicer's effect, growing is confined to the extent of the seeds plus a margin: here MARGIN
voxels around all clicks, cut at the image's border.  Growing needs a second label to compete with, so the outermost
layer of that extent is a background seed, except where a click lies.  Seed locality is 0, the effect's default.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from sam3dseg.prompts import Click

BRUSH_RADIUS = 2.0  # voxels
MARGIN = 24  # voxels
FOREGROUND, BACKGROUND = 1, 2


def grow_from_seeds(
    image: NDArray, clicks: Sequence[Click], *, spacing_mm: Sequence[float], brush_radius: float = BRUSH_RADIUS
) -> NDArray[np.bool_]:
    """The mask (I, J, K) that Grow from seeds makes of all clicks on the image (I, J, K); later clicks paint over."""
    extent = _extent(clicks, image.shape)
    lower = [part.start for part in extent]
    seeds = _seeds([_moved(click, lower) for click in clicks], image[extent].shape, brush_radius)
    grower = slicer.vtkImageGrowCutSegment()
    grower.SetIntensityVolume(_vtk_image(image[extent].astype(np.float32), spacing_mm))
    grower.SetSeedLabelVolume(_vtk_image(seeds, spacing_mm))
    grower.Update()
    grown = vtk_to_numpy(grower.GetOutput().GetPointData().GetScalars()).reshape(seeds.shape, order="F")
    mask = np.zeros(image.shape, dtype=bool)
    mask[extent] = grown == FOREGROUND
    return mask


def _extent(clicks: Sequence[Click], shape: Sequence[int]) -> tuple[slice, ...]:
    points = np.array([click.ijk for click in clicks])
    lower, upper = np.maximum(points.min(axis=0) - MARGIN, 0), np.minimum(points.max(axis=0) + MARGIN, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(lower, upper, strict=True))


def _moved(click: Click, lower: Sequence[int]) -> Click:
    i, j, k = (n - start for n, start in zip(click.ijk, lower, strict=True))
    return Click((i, j, k), click.is_foreground)


def _seeds(clicks: Sequence[Click], shape: Sequence[int], brush_radius: float) -> NDArray[np.uint8]:
    """Labels (I, J, K) 0, FOREGROUND or BACKGROUND."""
    seeds = np.full(shape, BACKGROUND, dtype=np.uint8)
    seeds[tuple(slice(1, -1) if n > 2 else slice(None) for n in shape)] = 0
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    for click in clicks:
        squares = [(axis - center) ** 2 for axis, center in zip(axes, click.ijk, strict=True)]
        seeds[squares[0] + squares[1] + squares[2] <= brush_radius**2] = (
            FOREGROUND if click.is_foreground else BACKGROUND
        )
    return seeds


def _vtk_image(array: NDArray, spacing_mm: Sequence[float]) -> vtk.vtkImageData:
    """A vtkImageData that owns a copy of the array (I, J, K)."""
    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape)
    image.SetSpacing(*spacing_mm)
    image.GetPointData().SetScalars(numpy_to_vtk(array.ravel(order="F"), deep=True))
    return image
