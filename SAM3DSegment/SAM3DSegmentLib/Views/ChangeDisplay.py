"""What the last click changed, shown for a moment: added voxels green, removed voxels red, in slices and in 3D.

A segmentation node of its own, neither saved with the scene nor listed in selectors, follows the transform and the
views of the edited one.  The 3D surface is made here from a coarse copy of the change: that takes a few ms where the
surface of a segment takes hundreds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

DURATION_MS = 1000
COLORS = {"added": (0.1, 0.9, 0.2), "removed": (0.95, 0.1, 0.1)}
COARSE_CELLS = 48  # along the longest side of the change, at most: enough to see where it lies
# A little outside the voxels, lest it fight for pixels with the segment's own surface; coarse cells are outside anyway.
FINE_LEVEL, COARSE_LEVEL = 0.3, 0.5
KEPT = 0.6  # of a cell's value, whatever its neighbours are: smoothing takes no voxel away


class ChangeDisplay:
    """Shows one change at a time.

    startTimer(ms, callback) calls back once after some milliseconds; a change that is newer by then stays shown.
    """

    def __init__(
        self,
        scene: Any | None = None,
        *,
        startTimer: Callable[[int, Callable[[], None]], Any],
        duration_ms: int = DURATION_MS,
    ) -> None:
        self._scene = slicer.mrmlScene if scene is None else scene
        self._startTimer = startTimer
        self._duration_ms = duration_ms
        self._node: Any = None
        self._flashes = 0

    @property
    def segmentationNode(self) -> Any | None:
        """The node that carries the last change; None before the first one."""
        return self._node if self._node is not None and self._node.GetScene() is self._scene else None

    @property
    def isShown(self) -> bool:
        return self.segmentationNode is not None and bool(self._node.GetDisplayVisibility())

    def flash(self, added: Any | None, removed: Any | None, segmentationNode: Any) -> None:
        """Show what changed in a segmentation until the timer comes.

        added, removed: vtkOrientedImageData, 1 where voxels changed and 0 elsewhere, cropped, in the space of the
        segmentation; None or empty where nothing did.  Its transform applies, and what the segmentation does not show
        (in 3D, in some views, at all) is not shown here.
        """
        images = {"added": added, "removed": removed}
        changed = {name: image for name, image in images.items() if image is not None and _anySet(image)}
        if not changed or not segmentationNode.GetDisplayVisibility():
            self.clear()
            return
        in3D = _showsSurface(segmentationNode)
        node = self._ensureNode()
        modifying = node.StartModify()
        for name in COLORS:
            _fill(node.GetSegmentation().GetSegment(name), changed.get(name), withSurface=in3D)
            node.GetDisplayNode().SetSegmentVisibility(name, name in changed)
        node.SetAndObserveTransformNodeID(segmentationNode.GetTransformNodeID())
        _sameViews(segmentationNode.GetDisplayNode(), node.GetDisplayNode())
        node.SetDisplayVisibility(True)
        node.EndModify(modifying)
        self._flashes += 1
        flash = self._flashes
        self._startTimer(self._duration_ms, lambda: self._end(flash))

    def clear(self) -> None:
        """Hide at once what is shown."""
        if self.isShown:
            self._node.SetDisplayVisibility(False)

    def remove(self) -> None:
        """Take the node out of the scene; the next flash makes another."""
        if self.segmentationNode is not None:
            self._scene.RemoveNode(self._node.GetDisplayNode())
            self._scene.RemoveNode(self._node)
        self._node = None

    def _end(self, flash: int) -> None:
        if flash == self._flashes:
            self.clear()

    def _ensureNode(self) -> Any:
        if self.segmentationNode is None:
            node = self._node = self._scene.CreateNodeByClass("vtkMRMLSegmentationNode")
            node.UnRegister(None)
            node.SetName(self._scene.GenerateUniqueName("SAM 3D change"))
            node.SetHideFromEditors(True)
            node.SetSaveWithScene(False)
            node.SetUndoEnabled(False)
            self._scene.AddNode(node)
            node.CreateDefaultDisplayNodes()
            node.GetSegmentation().SetSourceRepresentationName(_labelmapName())
            for name, color in COLORS.items():
                node.GetSegmentation().AddEmptySegment(name, name, color)
            _style(node.GetDisplayNode())
        return self._node


def _style(display: Any) -> None:
    display.SetSaveWithScene(False)
    display.SetPreferredDisplayRepresentationName2D(_labelmapName())
    display.SetPreferredDisplayRepresentationName3D(_surfaceName())
    display.SetAllSegmentsPickable(False)  # a click means what lies underneath
    display.SetAllSegmentsOpacity2DFill(1.0)
    display.SetOpacity2DFill(0.5)


def _fill(segment: Any, image: Any | None, *, withSurface: bool) -> None:
    labelmap = slicer.vtkOrientedImageData()
    if image is not None:
        labelmap.ShallowCopy(image)
    segment.SetLabelValue(1)
    segment.AddRepresentation(_labelmapName(), labelmap)
    surface = coarseSurface(image) if image is not None and withSurface else vtk.vtkPolyData()
    segment.AddRepresentation(_surfaceName(), surface)


def coarseSurface(image: Any) -> Any:
    """vtkPolyData around the non-zero voxels of a vtkOrientedImageData, in its world (mm), coarse where it is large."""
    voxels = _voxels(image)
    step = max(1, -(-max(voxels.shape) // COARSE_CELLS))
    cells = _smoothed(_pooled(voxels != 0, step))  # (K / step + 2, J / step + 2, I / step + 2)
    grid = vtk.vtkImageData()
    grid.SetDimensions(*cells.shape[::-1])
    grid.GetPointData().SetScalars(numpy_to_vtk(cells.ravel(), deep=True))
    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(grid)
    edges.SetValue(0, FINE_LEVEL if step == 1 else COARSE_LEVEL)
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetInputConnection(edges.GetOutputPort())
    placed.SetTransform(_cellsToWorld(image, step))
    placed.Update()
    return placed.GetOutput()


def _pooled(voxels: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """Whether any voxel of a block of step³ is set, with one empty block around."""
    for axis in range(3):
        short = -voxels.shape[axis] % step
        widths = [(step, step + short) if a == axis else (0, 0) for a in range(3)]
        voxels = np.moveaxis(np.pad(voxels, widths), axis, 0)
        pooled = voxels[::step].copy()
        for offset in range(1, step):
            pooled |= voxels[offset::step]
        voxels = np.moveaxis(pooled, 0, axis)
    return voxels


def _smoothed(cells: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each cell's mean with its neighbours, weights 1 2 1 along each axis, and at least `KEPT` where it is set."""
    smooth = cells.astype(np.float32)
    for axis in range(3):
        lines = np.moveaxis(smooth, axis, 0)
        smooth = lines / 2
        smooth[1:-1] += (lines[2:] + lines[:-2]) / 4
        smooth = np.moveaxis(smooth, 0, axis)
    return np.maximum(smooth, KEPT * cells.astype(np.float32))


def _cellsToWorld(image: Any, step: int) -> Any:
    """vtkTransform from the grid of `_pooled` cells to the image's world (mm)."""
    toWorld = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(toWorld)
    extent = image.GetExtent()
    transform = vtk.vtkTransform()
    transform.SetMatrix(toWorld)
    transform.Translate(*(low + (step - 1) / 2 - step for low in extent[::2]))
    transform.Scale(step, step, step)
    return transform


def _anySet(image: Any) -> bool:
    return image.GetNumberOfPoints() > 0 and bool(_voxels(image).any())


def _voxels(image: Any) -> NDArray[Any]:
    """View of an image's values, (K, J, I)."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def _showsSurface(segmentationNode: Any) -> bool:
    display = segmentationNode.GetDisplayNode()
    hasSurface = segmentationNode.GetSegmentation().ContainsRepresentation(_surfaceName())
    return hasSurface and bool(display.GetVisibility3D())


def _sameViews(source: Any, target: Any) -> None:
    wanted = [source.GetNthViewNodeID(index) for index in range(source.GetNumberOfViewNodeIDs())]
    if wanted != [target.GetNthViewNodeID(index) for index in range(target.GetNumberOfViewNodeIDs())]:
        target.RemoveAllViewNodeIDs()
        for view in wanted:
            target.AddViewNodeID(view)


def _labelmapName() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def _surfaceName() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
