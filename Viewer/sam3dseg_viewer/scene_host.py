"""One volume and one segmentation in a MRML scene, with Slicer's own segment editor on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util import numpy_support

from sam3dseg.imageio import Image
from SAM3DSegmentLib.Editor.EditorData import Target
from SAM3DSegmentLib.Editor.EditPorts import LogicPort
from SAM3DSegmentLib.Editor.SourceGeometry import SourceGeometry

UNDO_STATES = 10  # as Slicer's Segment Editor has them
LABELMAP, SURFACE = "Binary labelmap", "Closed surface"


class SceneHost:
    """Puts a volume and a segmentation into a scene, in place of those that it put there before.

    application_logic: of the application that shows the scene, or None.
    """

    def __init__(self, scene: Any, application_logic: Any | None = None) -> None:
        self.scene, self._application_logic = scene, application_logic
        self.volume: Any = None
        self.segmentation: Any = None
        self.editor: Any = None  # vtkSlicerSegmentEditorLogic

    def show(self, image: Image) -> None:
        """Put an image and an empty segmentation into the scene."""
        self.adopt(volume_node(self.scene, image))

    def adopt(self, volume: Any, segmentation: Any | None = None) -> None:
        """Take nodes of the scene as those that are edited; without a segmentation, an empty one is made."""
        self.clear()
        self.volume = volume
        self._edit(segmentation or segmentation_node(self.scene, volume))

    def exchange(self, segmentation: Any) -> None:
        """Edit another segmentation of the same volume; the one before is removed."""
        self._leave_editor()
        remove(self.scene, self.segmentation)
        self._edit(segmentation)

    def clear(self) -> None:
        """Remove what is there."""
        self._leave_editor()
        for node in (self.segmentation, self.volume):
            if node is not None and node.GetScene() is self.scene:
                remove(self.scene, node)
        self.volume = self.segmentation = None

    def target(self, segment_id: str) -> Target:
        """What the editor's logic takes for a segment."""
        return Target(self.volume, self.segmentation, segment_id, LogicPort(self.editor, self.segmentation, segment_id))

    def _edit(self, segmentation: Any) -> None:
        self.segmentation = segmentation
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        segmentation.CreateClosedSurfaceRepresentation()
        node = self.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        node.SetSaveWithScene(False)
        self.editor = editor_logic(self.scene, node, self._application_logic)
        node.SetAndObserveSegmentationNode(segmentation)
        self.editor.SetSourceVolumeNode(self.volume)
        node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)

    def _leave_editor(self) -> None:
        if self.editor is None:
            return
        node = self.editor.GetSegmentEditorNode()
        self.editor.SetSegmentEditorNode(None)
        self.editor.SetMRMLScene(None)
        self.editor = None
        if node is not None and node.GetScene() is self.scene:
            self.scene.RemoveNode(node)


def remove(scene: Any, node: Any) -> None:
    """Take a node and what displays it out of the scene."""
    for display in [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]:
        scene.RemoveNode(display)
    scene.RemoveNode(node)


def editor_logic(scene: Any, node: Any, application_logic: Any | None = None) -> Any:
    """A segment editor's logic on its parameter node (vtkMRMLSegmentEditorNode), with its undo history."""
    logic = slicer.vtkSlicerSegmentEditorLogic()
    if application_logic is not None:
        logic.SetMRMLApplicationLogic(application_logic)
    logic.SetMRMLScene(scene)
    logic.SetMaximumNumberOfUndoStates(UNDO_STATES)
    logic.SetSegmentEditorNode(node)
    return logic


def volume_node(scene: Any, image: Image) -> Any:
    """A new scalar volume node with the voxels and the place of an image."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", image.name)
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(image.ijk_to_ras.ravel())
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveImageData(_vtk_image(image.array_ijk))
    node.CreateDefaultDisplayNodes()
    return node


def segmentation_node(scene: Any, volume: Any) -> Any:
    """A new segmentation node without segments in the geometry of a volume node."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().SetSourceRepresentationName(LABELMAP)
    return node


def image_of(volume: Any) -> Image:
    """A volume node's voxels, which stay in its memory, and their place."""
    geometry = SourceGeometry(volume)
    spacing = geometry.spacing_mm
    return Image(
        geometry.voxels(),
        (spacing[0], spacing[1], spacing[2]),
        geometry.direction,
        geometry.ijkToRas[:3, 3],
        volume.GetName(),
    )


def _vtk_image(array_ijk: NDArray) -> Any:
    image = vtk.vtkImageData()
    image.SetDimensions(*array_ijk.shape)
    array = array_ijk.astype(_vtk_type(array_ijk.dtype), copy=False)
    values = np.ascontiguousarray(array.T).ravel()  # (K, J, I) flattened: i runs fastest
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(values, deep=True))
    return image


def _vtk_type(dtype: np.dtype) -> np.dtype:
    """What VTK can hold and views can draw: neither booleans nor half floats."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")
