"""The phantom in four views: the bench on which the tests of what is seen and picked stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import ArrayLike, NDArray
from vtk.util.numpy_support import numpy_to_vtk

from slicer_host.phantom import LUMP, ORGAN, Phantom, phantom
from slicer_host.scene import Scene, matrixOf
from slicer_host.views import Views

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
        for label, color in zip(labels, (ORANGE, BLUE), strict=False):
            image = self.labelmap(self.case.labels == label)
            node.AddSegmentFromBinaryLabelmapRepresentation(image, NAMES[label], color)
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


def isGreen(rgb: NDArray[np.float64]) -> bool:
    return bool(rgb[1] > rgb[0] + 0.15 and rgb[1] > rgb[2] + 0.15)


def isRed(rgb: NDArray[np.float64]) -> bool:
    return bool(rgb[0] > rgb[1] + 0.15 and rgb[0] > rgb[2] + 0.15)
