"""The phantom in four views: the bench on which the tests of what is seen and picked stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import center_of_mass, label
from vtk.util.numpy_support import numpy_to_vtk

from slicer_host.phantom import LUMP, ORGAN, Phantom, phantom
from slicer_host.scene import Scene, matrixOf
from slicer_host.views import View, Views

NAMES = {ORGAN: "organ", LUMP: "lump"}
ORANGE, BLUE = (0.9, 0.62, 0.0), (0.34, 0.71, 0.91)


class Viewing:
    """A scene with the phantom shown through the organ's centre. `close` checks that no observer failed."""

    def __init__(self, case: Phantom | None = None, *, size: tuple[int, int] = (240, 240)) -> None:
        self.case = case or phantom()
        self.scene = Scene()
        self.views = Views(self.scene, size=size)
        self.volume = self.scene.addVolume(self.case.image, ijkToRas=self.case.ijkToRas, shown=True)
        self.volume.GetDisplayNode().SetAutoWindowLevel(False)
        self.volume.GetDisplayNode().SetWindowLevelMinMax(-100, 800)
        self.center = self.case.center(ORGAN)
        self.views.show(self.volume, at=self.center)

    def addSegmentation(self, *labels: int, surface: bool = True) -> Any:
        """Segmentation node with these structures, in orange and blue, with their surfaces."""
        node = self.scene.addSegmentation(self.volume, segments=())
        for number, color in zip(labels, (ORANGE, BLUE), strict=False):
            image = self.labelmap(self.case.labels == number)
            node.AddSegmentFromBinaryLabelmapRepresentation(image, NAMES[number], color)
        if surface:
            node.CreateClosedSurfaceRepresentation()
        return node

    def labelmap(self, mask: ArrayLike) -> Any:
        """vtkOrientedImageData of a bool array (I, J, K) on the volume's grid, cropped to what is set."""
        mask = np.asarray(mask)
        where = np.argwhere(mask)
        if not len(where):
            return slicer.vtkOrientedImageData()
        low, high = where.min(axis=0), where.max(axis=0)
        crop = mask[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
        return labelmapOf(crop, self.case.ijkToRas, offset=low)

    def close(self) -> None:
        self.views.close()
        self.scene.close()
        assert not self.scene.errors


@pytest.fixture
def viewing():
    """A fresh scene with the phantom; the test fails when an observer raised."""
    opened = Viewing()
    yield opened
    opened.close()


def labelmapOf(mask: NDArray[np.bool_], ijkToRas: ArrayLike, *, offset: ArrayLike = (0, 0, 0)) -> Any:
    """vtkOrientedImageData of 0 and 1 whose extent starts at `offset` of the grid with that matrix."""
    image = slicer.vtkOrientedImageData()
    (i, j, k), (ni, nj, nk) = (int(n) for n in offset), mask.shape
    image.SetExtent(i, i + ni - 1, j, j + nj - 1, k, k + nk - 1)
    image.SetImageToWorldMatrix(matrixOf(ijkToRas))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(mask.T, dtype=np.uint8).ravel(), deep=True))
    return image


def colorAt(pixels: NDArray[np.uint8], xy: ArrayLike, *, radius: int = 2) -> NDArray[np.float64]:
    """Mean RGB (0 to 1) of a picture (rows, columns, 3) about a pixel (x, y) of its view."""
    x, y = np.round(np.asarray(xy, dtype=float)).astype(int)
    row = len(pixels) - 1 - y
    part = pixels[max(row - radius, 0) : row + radius + 1, max(x - radius, 0) : x + radius + 1]
    return part.reshape(-1, 3).mean(axis=0) / 255


def isGreen(rgb: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether colours (..., 3), 0 to 1, are green at first sight."""
    return rgb[..., 1] > np.maximum(rgb[..., 0], rgb[..., 2]) + 0.15


def isRed(rgb: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Red, and not orange."""
    return rgb[..., 0] > 1.6 * np.maximum(rgb[..., 1], rgb[..., 2]) + 0.05


def isBlue(rgb: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Blue as the hint is, which is more than the background of 3D views."""
    return rgb[..., 2] > rgb[..., 0] + 0.4


def spots(view: View, isColor: Callable[[NDArray[np.float64]], NDArray[np.bool_]]) -> list[tuple[float, float]]:
    """Middles (x, y) in pixels of what a view shows in a colour, from left to right; touching pixels are one spot."""
    pixels = view.pixels()
    regions, count = label(isColor(pixels / 255), structure=np.ones((3, 3)))
    middles = center_of_mass(regions > 0, regions, range(1, count + 1))
    return sorted((float(column), len(pixels) - 1 - float(row)) for row, column in middles)
