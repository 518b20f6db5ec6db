"""The source volume as the engine sees it, and where its voxels lie in the world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import ArrayLike, NDArray
from vtk.util import numpy_support

from sam3dseg.geometry import Orientation
from sam3dseg.prompts import Box, Click

from .EditorData import PlacedBox, PlacedClick

DECIMALS = 4  # of a millimetre, in positions that are kept
TIE = 0.5 + 1e-6  # a point between two voxels belongs to the upper one, whatever the rounding error
SAMPLES = 1 << 16  # voxels in a fingerprint


class SourceGeometry:
    """One volume node as it is now: grid, own RAS, and world RAS through its parent transforms.

    Raises ValueError for a node without voxels, with several values per voxel, or with sheared axes.
    """

    def __init__(self, volumeNode: Any | None) -> None:
        image = volumeNode.GetImageData() if volumeNode is not None else None
        if image is None or image.GetPointData().GetScalars() is None or image.GetNumberOfPoints() == 0:
            raise ValueError("expected a source volume, received none: choose one in the Segment Editor first")
        components = image.GetNumberOfScalarComponents()
        if components != 1:
            raise ValueError(
                f"expected one value per voxel, received {components} in {volumeNode.GetName()}: "
                "convert the colour volume to a grey-value volume first"
            )
        self._node, self._image = volumeNode, image
        matrix = vtk.vtkMatrix4x4()
        volumeNode.GetIJKToRASMatrix(matrix)
        self.ijkToRas = arrayOf(matrix)
        self.shape: tuple[int, int, int] = image.GetDimensions()
        self.spacing_mm = tuple(float(s) for s in np.linalg.norm(self.ijkToRas[:3, :3], axis=0))
        self.direction = self.ijkToRas[:3, :3] / np.asarray(self.spacing_mm)
        try:
            Orientation.from_direction(self.direction)
        except ValueError as error:
            raise ValueError(
                f"{volumeNode.GetName()} is sheared: expected perpendicular image axes; "
                "resample it to a rectangular grid first, for example with Resample Scalar Volume"
            ) from error

    @property
    def key(self) -> tuple[str, int, tuple[float, ...]]:
        """Changes when the voxels or their grid do: another image, or the same one modified."""
        scalars = self._image.GetPointData().GetScalars()
        modified = max(scalars.GetMTime(), self._image.GetMTime())  # modification times are never given twice
        return self._node.GetID() or "", modified, tuple(np.round(self.ijkToRas, 6).ravel().tolist())

    def voxels(self) -> NDArray:
        """Values (I, J, K), a view of the node's memory."""
        scalars = numpy_support.vtk_to_numpy(self._image.GetPointData().GetScalars())
        return scalars.reshape(self.shape[::-1]).T  # (K, J, I) -> (I, J, K)

    def fingerprint(self) -> str:
        """Tells whether a volume of a reopened scene is the one that prompts were given on."""
        import zlib

        values = numpy_support.vtk_to_numpy(self._image.GetPointData().GetScalars())
        sample = np.ascontiguousarray(values[:: max(1, values.size // SAMPLES) | 1])
        return f"{'x'.join(map(str, self.shape))}-{zlib.crc32(sample.astype(np.float64).tobytes()):08x}"

    def clickAt(self, worldRas: Sequence[float], isForeground: bool) -> PlacedClick:
        """The click at a world point in mm. Raises ValueError outside the volume."""
        click = PlacedClick(self._rounded(self.toOwn(worldRas)), bool(isForeground))
        self.engineClick(click)
        return click

    def boxAround(self, worldCorners: ArrayLike) -> PlacedBox:
        """The voxel box around world bounds (6,) or corners (8, 3). Raises ValueError when it misses the volume."""
        corners = np.asarray(worldCorners, dtype=float)
        if corners.shape == (6,):
            x, y, z = corners[:2], corners[2:4], corners[4:]
            corners = np.array([(a, b, c) for a in x for b in y for c in z])
        if corners.ndim != 2 or corners.shape[1] != 3 or not np.isfinite(corners).all():
            raise ValueError(f"expected 6 bounds or corners (8, 3) in mm, received an array of shape {corners.shape}")
        ijk = self.ijkOf(np.array([self.toOwn(corner) for corner in corners]))
        last = np.asarray(self.shape) - 1
        low, high = np.ceil(ijk.min(axis=0) - 1e-6), np.floor(ijk.max(axis=0) + 1e-6)
        if (low > last).any() or (high < 0).any() or (low > high).any():
            raise ValueError(f"the box lies outside {self._node.GetName()}, or between its voxels: move or enlarge it")
        low, high = self.rasOf(np.clip(low, 0, last)), self.rasOf(np.clip(high, 0, last))
        return PlacedBox(self._rounded(low), self._rounded(high))

    def worldPointsOf(self, box: PlacedBox) -> list[tuple[float, float, float]]:
        """The centre and the corners of a box in world RAS mm."""
        ends = np.array([box.lower, box.upper])
        corners = [self.toWorld((x, y, z)) for x in ends[:, 0] for y in ends[:, 1] for z in ends[:, 2]]
        return [self.toWorld(ends.mean(axis=0)), *corners]

    def engineClick(self, click: PlacedClick) -> Click:
        """The engine's click. Raises ValueError outside the volume."""
        return Click(self._voxel(click.position), click.isForeground)

    def engineBox(self, box: PlacedBox) -> Box:
        """The engine's box. Raises ValueError outside the volume."""
        corners = np.array([self._voxel(box.lower), self._voxel(box.upper)])
        return Box(tuple(corners.min(axis=0).tolist()), tuple(corners.max(axis=0).tolist()))

    def toOwn(self, worldRas: Sequence[float]) -> NDArray[np.float64]:
        """World RAS mm -> the volume's own RAS mm (3,), through its parent transforms."""
        return np.asarray(transformBetween(None, self._node.GetParentTransformNode()).TransformPoint(worldRas))

    def toWorld(self, ownRas: Sequence[float]) -> tuple[float, float, float]:
        """The volume's own RAS mm -> world RAS mm."""
        return transformBetween(self._node.GetParentTransformNode(), None).TransformPoint(ownRas)

    def ijkOf(self, ownRas: ArrayLike) -> NDArray[np.float64]:
        """Own RAS mm (..., 3) -> fractional voxel coordinates (..., 3)."""
        return applied(np.linalg.inv(self.ijkToRas), ownRas)

    def rasOf(self, ijk: ArrayLike) -> NDArray[np.float64]:
        """Voxel coordinates (..., 3) -> own RAS mm (..., 3)."""
        return applied(self.ijkToRas, ijk)

    def _voxel(self, ownRas: Sequence[float]) -> tuple[int, int, int]:
        fractional = self.ijkOf(ownRas)
        if not np.isfinite(fractional).all():
            raise ValueError(f"expected a position of three finite numbers in mm, received {tuple(ownRas)}")
        i, j, k = (int(v) for v in np.floor(fractional + TIE))
        if any(not 0 <= v < n for v, n in zip((i, j, k), self.shape, strict=True)):
            raise ValueError(
                f"the point is outside {self._node.GetName()}: voxel {(i, j, k)} of {self.shape}; click in the image"
            )
        return i, j, k

    @staticmethod
    def _rounded(point: ArrayLike) -> tuple[float, float, float]:
        x, y, z = (round(float(v), DECIMALS) for v in np.asarray(point))
        return x, y, z


def transformBetween(first: Any | None, second: Any | None) -> vtk.vtkGeneralTransform:
    """The transform from below one transform node to below another; None is the world."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(first, second, transform)
    return transform


def matrixBetween(first: Any | None, second: Any | None) -> NDArray[np.float64] | None:
    """The same as a (4, 4) matrix in mm, or None where it is not linear."""
    if first is second:
        return np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    if not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(first, second, matrix):
        return None
    return arrayOf(matrix)


def arrayOf(matrix: vtk.vtkMatrix4x4) -> NDArray[np.float64]:
    """VTK matrix -> (4, 4) array."""
    return np.array([matrix.GetElement(row, column) for row in range(4) for column in range(4)]).reshape(4, 4)


def applied(matrix: NDArray[np.float64], points: ArrayLike) -> NDArray[np.float64]:
    """(4, 4) matrix on points (..., 3)."""
    return np.asarray(points, dtype=float) @ matrix[:3, :3].T + matrix[:3, 3]
