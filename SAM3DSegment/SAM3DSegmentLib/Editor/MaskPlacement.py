"""Masks moved between the grid of a volume and that of a segmentation; kept as crops with their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util import numpy_support

from .SourceGeometry import applied, arrayOf, matrixBetween, transformBetween

SAME_GRID = 1e-3  # voxels by which two grids may differ and still count as one
STRIDE = 4  # voxels between the points at which a non-linear transform is evaluated


@dataclass(frozen=True)
class Patch:
    """A bool crop (a, b, c) whose first voxel is `offset` in some grid."""

    crop: NDArray[np.bool_]
    offset: tuple[int, int, int] = (0, 0, 0)

    @property
    def isEmpty(self) -> bool:
        return not self.crop.any()

    def trimmed(self) -> Patch:
        """Only the bounding box of what is set."""
        low, high = [], []
        for axis in range(3):
            hits = np.flatnonzero(self.crop.any(axis=tuple(a for a in range(3) if a != axis)))
            if not hits.size:
                return NOTHING
            low.append(int(hits[0]))
            high.append(int(hits[-1]) + 1)
        region = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        i, j, k = (o + a for o, a in zip(self.offset, low, strict=True))
        return Patch(self.crop[region], (i, j, k))

    def without(self, other: Patch) -> Patch:
        """What is set here and not there."""
        crop = self.crop.copy()
        start = np.maximum(self.offset, other.offset)
        stop = np.minimum(np.add(self.offset, self.crop.shape), np.add(other.offset, other.crop.shape))
        if (start < stop).all():
            here = tuple(slice(a, b) for a, b in zip(start - self.offset, stop - self.offset, strict=True))
            there = tuple(slice(a, b) for a, b in zip(start - other.offset, stop - other.offset, strict=True))
            crop[here] &= ~other.crop[there]
        return Patch(crop, self.offset).trimmed()


NOTHING = Patch(np.zeros((0, 0, 0), dtype=bool))


@dataclass(frozen=True)
class Grid:
    """A voxel grid in the space below a transform node: ijkToSpace (4, 4) in mm, and the voxels it has."""

    ijkToSpace: NDArray[np.float64]
    lower: tuple[int, int, int]
    upper: tuple[int, int, int]  # inclusive
    parent: Any | None  # transform node, None for the world

    @classmethod
    def ofImage(cls, image: Any, parent: Any | None) -> Grid:
        """The grid of a vtkOrientedImageData."""
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        e = image.GetExtent()
        return cls(arrayOf(matrix), (e[0], e[2], e[4]), (e[1], e[3], e[5]), parent)

    def holds(self, worldRas: Sequence[float]) -> bool:
        """Whether a world point (RAS, mm) lies in one of the voxels."""
        space = transformBetween(None, self.parent).TransformPoint(worldRas)
        ijk = np.round(applied(np.linalg.inv(self.ijkToSpace), space))
        return bool((ijk >= self.lower).all() and (ijk <= self.upper).all())


def moved(patch: Patch, source: Grid, target: Grid) -> Patch:
    """The patch in voxels of the target grid; voxel by voxel where the grids agree, else interpolated.

    What lies outside the target grid is cut off.
    """
    if patch.isEmpty:
        return NOTHING
    between = matrixBetween(target.parent, source.parent)
    if between is None:
        return _warped(patch, source, target)
    toSource = np.linalg.inv(source.ijkToSpace) @ between @ target.ijkToSpace
    shift = np.round(toSource[:3, 3])
    reach = max(np.abs(target.lower).max(), np.abs(target.upper).max(), 1)
    straight = np.abs(toSource[:3, :3] - np.eye(3)).max() * reach < SAME_GRID * 10
    if straight and np.abs(toSource[:3, 3] - shift).max() < SAME_GRID:
        i, j, k = (int(o - s) for o, s in zip(patch.offset, shift, strict=True))
        return _clipped(Patch(patch.crop, (i, j, k)), target).trimmed()
    return _interpolated(patch, toSource, target)


def asImage(patch: Patch, geometry: Any) -> Any | None:
    """The patch as a vtkOrientedImageData (0 and 1, unsigned char) in the geometry of another; None when empty."""
    if patch.isEmpty:
        return None
    image = slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    geometry.GetImageToWorldMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    i, j, k = patch.offset
    a, b, c = patch.crop.shape
    image.SetExtent(i, i + a - 1, j, j + b - 1, k, k + c - 1)
    values = np.ascontiguousarray(patch.crop.T).view(np.uint8).ravel()  # (K, J, I): i runs fastest
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(values, deep=True))
    return image


def _clipped(patch: Patch, grid: Grid) -> Patch:
    start = np.maximum(patch.offset, grid.lower)
    stop = np.minimum(np.add(patch.offset, patch.crop.shape), np.add(grid.upper, 1))
    if (start >= stop).any():
        return NOTHING
    region = tuple(slice(a, b) for a, b in zip(start - patch.offset, stop - patch.offset, strict=True))
    return Patch(patch.crop[region], tuple(start.tolist()))


def _interpolated(patch: Patch, toSource: NDArray[np.float64], target: Grid) -> Patch:
    """Linear interpolation of the patch at the target's voxels; toSource (4, 4) is target index -> source index."""
    from scipy import ndimage

    low, high = _box(applied(np.linalg.inv(toSource), _corners(patch)), target)
    if (low > high).any():
        return NOTHING
    toCrop = toSource.copy()
    toCrop[:3, 3] -= patch.offset
    values = ndimage.affine_transform(
        patch.crop.astype(np.float32),
        toCrop[:3, :3],
        applied(toCrop, low),
        output_shape=tuple((high - low + 1).tolist()),
        order=1,
        mode="grid-constant",
    )
    return Patch(values >= 0.5, tuple(low.tolist())).trimmed()


def _warped(patch: Patch, source: Grid, target: Grid) -> Patch:
    """The same through a non-linear transform, which is evaluated at every STRIDE-th voxel and at the ends."""
    from scipy import ndimage

    there = transformBetween(source.parent, target.parent)
    faces = applied(source.ijkToSpace, _shell(patch))
    fromSpace = np.linalg.inv(target.ijkToSpace)
    low, high = _box(applied(fromSpace, [there.TransformPoint(p) for p in faces]), target, margin=STRIDE)
    if (low > high).any():
        return NOTHING
    shape = high - low + 1
    knots = [np.linspace(0, n - 1, max(2, -(-(n - 1) // STRIDE) + 1)) for n in shape]
    points = np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1)  # (p, q, r, 3)
    back = transformBetween(target.parent, source.parent)
    given, found = vtk.vtkPoints(), vtk.vtkPoints()
    given.SetData(numpy_support.numpy_to_vtk(applied(target.ijkToSpace, points.reshape(-1, 3) + low), deep=True))
    back.TransformPoints(given, found)
    cells = applied(np.linalg.inv(source.ijkToSpace), numpy_support.vtk_to_numpy(found.GetData())) - patch.offset
    cells = cells.reshape(points.shape)
    fine = np.meshgrid(*(np.linspace(0, len(k) - 1, n) for k, n in zip(knots, shape, strict=True)), indexing="ij")
    crop = patch.crop.astype(np.float32)
    places = [ndimage.map_coordinates(cells[..., axis], fine, order=1, mode="nearest") for axis in range(3)]
    return Patch(ndimage.map_coordinates(crop, places, order=1, mode="constant") >= 0.5, tuple(low.tolist())).trimmed()


def _corners(patch: Patch) -> NDArray[np.float64]:
    """The eight outer corners (8, 3) in voxels of the patch's grid."""
    low = np.asarray(patch.offset) - 0.5
    high = low + patch.crop.shape
    return np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])


def _shell(patch: Patch) -> NDArray[np.float64]:
    """Points (N, 3) over the outside of the patch, in voxels of its grid: enough to bound its image."""
    low = np.asarray(patch.offset) - 0.5
    axes = [np.linspace(start, start + n, 9) for start, n in zip(low, patch.crop.shape, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    outside = ((points == points.min(axis=0)) | (points == points.max(axis=0))).any(axis=1)
    return points[outside]


def _box(ijk: NDArray[np.float64], grid: Grid, margin: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The grid's voxels (first, last) around points (N, 3) in voxels."""
    points = np.asarray(ijk)
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, grid.lower)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + margin, grid.upper)
    return low, high
