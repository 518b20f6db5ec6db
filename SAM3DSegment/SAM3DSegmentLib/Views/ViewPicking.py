"""What lies under the mouse: a world point of a slice, of a surface, or of a volume rendering.

Pixels (x, y) are those of `vtkRenderWindowInteractor.GetEventPosition()`, from the lower left corner of the window.
World points are RAS, mm, all transforms applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

# A ray stops in a volume rendering at the first voxel of this opacity; VTK's pickers use 0.05, which takes the faint
# veil over most presets for the structure behind it.
OPAQUE = 0.2
SURFACE_TOLERANCE = 1e-5  # of the window's diagonal: surfaces are hit by the ray itself, not by passing near them
MINIMUM_OPACITY = 0.05  # surfaces fainter than this let the ray through

Ras = tuple[float, float, float]


@dataclass(frozen=True)
class Pick:
    """What a ray into a 3D view met first: a world point (RAS, mm), and "surface", "slice" or "volume"."""

    ras: Ras
    kind: str


def pickInSlice(interactor: Any, sliceNode: Any, xy: Sequence[float]) -> Ras | None:
    """World point of a slice view under a pixel, whatever its orientation, zoom and pan; None outside the view.

    Slicer's own conversion: with the light box of older versions, it finds the cell and its slice.
    """
    width, height = interactor.GetRenderWindow().GetSize()
    if not (0 <= xy[0] < width and 0 <= xy[1] < height):
        return None
    manager = slicer.vtkMRMLAbstractSliceViewDisplayableManager
    xyz, ras = [0.0] * 3, [0.0] * 3
    manager.ConvertDeviceToXYZ(interactor, sliceNode, xy[0], xy[1], xyz)
    manager.ConvertXYZToRAS(sliceNode, xyz, ras)
    return _point(ras)


def pickIn3D(renderer: Any, xy: Sequence[float], *, depth_mm: float = 0.0) -> Pick | None:
    """The nearest surface, slice or opaque voxel of a volume rendering on the ray through a pixel; None without any.

    A surface lies between inside and outside: depth_mm moves its point on along the ray, into the object.  Points of
    volume renderings go half a voxel deep, into the first opaque voxel; points of slices stay on their slice.

    Left out are what Slicer marks as not pickable, such as the box around the scene, what is nearly transparent, the
    part of a slice beyond its image, and the handles and labels of markups.
    """
    hits = [hit for hit in (_pickSurface(renderer, xy), _pickVolume(renderer, xy)) if hit is not None]
    if not hits:
        return None
    start, direction = _ray(renderer, xy)
    nearest, voxel_mm = min(hits, key=lambda hit: float(np.subtract(hit[0].ras, start) @ direction))
    depth = {"surface": depth_mm, "slice": 0.0, "volume": voxel_mm / 2}[nearest.kind]
    return Pick(_point(nearest.ras + depth * direction), nearest.kind)


def nearestPoint(
    points: Sequence[Sequence[float]], renderer: Any, viewNode: Any, xy: Sequence[float], *, reach: float
) -> int | None:
    """Index of the world point (RAS, mm) drawn nearest to a pixel, among those within `reach` pixels of it.

    In a slice view only points of the shown slice count: at most half a slice away, as markups draws them.
    """
    best, bestDistance = None, reach
    for index, point in enumerate(points):
        shown = _display(point, renderer, viewNode)
        if shown is None:
            continue
        distance = float(np.hypot(shown[0] - xy[0], shown[1] - xy[1]))
        if distance <= bestDistance:
            best, bestDistance = index, distance
    return best


def _display(point: Sequence[float], renderer: Any, viewNode: Any) -> tuple[float, float] | None:
    """Pixel at which a world point is drawn; None where it is not."""
    if viewNode.IsA("vtkMRMLSliceNode"):
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(viewNode.GetXYToRAS(), inverse)
        x, y, z = inverse.MultiplyPoint((*point, 1.0))[:3]
        return (x, y) if abs(z) <= 0.5 else None
    renderer.SetWorldPoint(*point, 1.0)
    renderer.WorldToDisplay()
    x, y, z = renderer.GetDisplayPoint()
    return (x, y) if 0.0 <= z <= 1.0 else None


def _pickSurface(renderer: Any, xy: Sequence[float]) -> tuple[Pick, float] | None:
    actors = [actor for actor in _props(renderer, "vtkActor") if _isSurface(actor)]
    picker = _restricted(vtk.vtkCellPicker(), actors)
    picker.SetTolerance(SURFACE_TOLERANCE)
    picker.PickTextureDataOn()
    while actors and picker.Pick(xy[0], xy[1], 0, renderer):
        actor = picker.GetActor()
        if actor.GetTexture() is None:
            return Pick(_point(picker.GetPickPosition()), "surface"), 0.0
        if _isOpaque(picker.GetDataSet(), picker.GetPointIJK()):
            return Pick(_point(picker.GetPickPosition()), "slice"), 0.0
        actors.remove(actor)
        picker.DeletePickList(actor)
    return None


def _pickVolume(renderer: Any, xy: Sequence[float]) -> tuple[Pick, float] | None:
    volumes = [volume for volume in _props(renderer, "vtkVolume") if volume.GetVisibility() and volume.GetPickable()]
    picker = _restricted(vtk.vtkVolumePicker(), volumes)
    picker.SetVolumeOpacityIsovalue(OPAQUE)
    if not volumes or not picker.Pick(xy[0], xy[1], 0, renderer):
        return None
    return Pick(_point(picker.GetPickPosition()), "volume"), _voxelSize(picker.GetVolume())


def _restricted(picker: Any, props: Sequence[Any]) -> Any:
    picker.PickFromListOn()
    for prop in props:
        picker.AddPickList(prop)
    return picker


def _props(renderer: Any, kind: str) -> list[Any]:
    props = renderer.GetViewProps()
    found = (props.GetItemAsObject(index) for index in range(props.GetNumberOfItems()))
    return [prop for prop in found if prop.IsA(kind)]


def _isSurface(actor: Any) -> bool:
    """Whether an actor is a model, a segment or a slice, shown and solid enough to be clicked.

    Markups are drawn by widget representations, which are no actors of the renderer.
    """
    if not (actor.GetVisibility() and actor.GetPickable()) or actor.IsA("vtkFollower") or actor.GetMapper() is None:
        return False
    return actor.GetProperty().GetOpacity() >= MINIMUM_OPACITY


def _isOpaque(texture: Any, ijk: Sequence[int]) -> bool:
    """Whether a slice's texture (RGBA) shows its image there: beyond the volume, alpha is 0."""
    channels = texture.GetNumberOfScalarComponents()
    return channels != 4 or texture.GetScalarComponentAsDouble(*ijk, 3) > 0


def _voxelSize(volume: Any) -> float:
    """Smallest distance of two voxels of a rendered volume in the world, mm."""
    matrix = volume.GetMatrix()
    spacing = volume.GetMapper().GetDataSetInput().GetSpacing()
    columns = [[matrix.GetElement(row, column) for row in range(3)] for column in range(3)]
    return min(size * float(np.linalg.norm(column)) for size, column in zip(spacing, columns, strict=True))


def _ray(renderer: Any, xy: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Where the ray through a pixel enters the view (RAS, mm), and its unit direction."""
    ends = []
    for depth in 0.0, 1.0:
        renderer.SetDisplayPoint(xy[0], xy[1], depth)
        renderer.DisplayToWorld()
        world = np.array(renderer.GetWorldPoint())
        ends.append(world[:3] / world[3])
    along = ends[1] - ends[0]
    return ends[0], along / np.linalg.norm(along)


def _point(values: Sequence[float]) -> Ras:
    x, y, z = (float(value) for value in values)
    return x, y, z
