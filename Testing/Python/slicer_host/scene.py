"""A real MRML scene with Slicer's own logics and its segment editor, without an application."""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import ArrayLike, NDArray
from vtk.util import numpy_support

MODULES = {  # name in slicer.modules -> class of its logic
    "colors": "vtkMRMLColorLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "models": "vtkSlicerModelsLogic",
    "sequences": "vtkSlicerSequencesLogic",
    "transforms": "vtkSlicerTransformLogic",
    "volumerendering": "vtkSlicerVolumeRenderingLogic",
}
COLORS = ((0.90, 0.62, 0.0), (0.34, 0.71, 0.91), (0.0, 0.62, 0.45), (0.94, 0.89, 0.26), (0.80, 0.47, 0.65))


class Scene:
    """One scene and its logics; patches `slicer.mrmlScene`, `slicer.app` and `slicer.modules` until `close`.

    errors holds what observers raised, which VTK only prints: (type, text) pairs. A fresh one per test, and `close`
    at its end; at most one is open.
    """

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []
        self._hook, sys.excepthook = sys.excepthook, self._collect
        self.mrml = slicer.vtkMRMLScene()
        self.applicationLogic = slicer.vtkSlicerApplicationLogic()
        self.applicationLogic.SetMRMLScene(self.mrml)
        self.folder = tempfile.TemporaryDirectory(prefix="slicer_host")
        self.applicationLogic.SetTemporaryPath(self.folder.name)
        self.mrml.SetRootDirectory(self.folder.name)
        self._dataIo = slicer.vtkMRMLRemoteIOLogic()
        self._dataIo.SetMRMLScene(self.mrml)
        self._dataIo.AddDataIOToScene()
        self.applicationLogic.SetMRMLSceneDataIO(self.mrml, self._dataIo, slicer.vtkDataIOManagerLogic())
        with quiet():  # the terminology files are not in the wheel
            self.logics = {name: self._makeLogic(name, kind) for name, kind in MODULES.items()}
        self.applicationLogic.SetColorLogic(self.logics["colors"])
        self.subjectHierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.mrml)
        self._observers = [
            self.mrml.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._onNodeAdded),
            self.mrml.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._onNodeRemoved),
        ]
        self._patched = {name: getattr(slicer, name, None) for name in ("mrmlScene", "app", "modules")}
        slicer.mrmlScene = self.mrml
        slicer.app = SimpleNamespace(applicationLogic=lambda: self.applicationLogic, temporaryPath=self.folder.name)
        slicer.modules = SimpleNamespace(
            **{name: SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in self.logics.items()}
        )

    def close(self) -> None:
        """Empty the scene and take back what was patched."""
        self.mrml.Clear(True)
        for tag in self._observers:
            self.mrml.RemoveObserver(tag)
        for name, value in self._patched.items():
            setattr(slicer, name, value)
        with quiet():
            for logic in self.logics.values():
                logic.SetMRMLScene(None)
            self.applicationLogic.SetMRMLScene(None)
        self.folder.cleanup()
        gc.collect()
        sys.excepthook = self._hook

    def addVolume(
        self, array_ijk: ArrayLike, *, ijkToRas: ArrayLike | None = None, name: str = "Volume", shown: bool = False
    ) -> Any:
        """Scalar volume node of (I, J, K) values; ijkToRas (4, 4) in mm may be sheared only where VTK allows it."""
        array = np.asarray(array_ijk)
        node = self.mrml.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        if ijkToRas is not None:
            node.SetIJKToRASMatrix(matrixOf(ijkToRas))
        self.setVoxels(node, array)
        if shown:
            node.CreateDefaultDisplayNodes()
        return node

    def setVoxels(self, node: Any, array_ijk: ArrayLike) -> None:
        """Give a volume node new values (I, J, K) as a new image."""
        array = np.asarray(array_ijk)
        image = vtk.vtkImageData()
        image.SetDimensions(*array.shape)
        values = np.ascontiguousarray(array.T).ravel()  # (K, J, I) flattened: i runs fastest
        image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(values, deep=True))
        node.SetAndObserveImageData(image)

    def addSegmentation(
        self, volumeNode: Any | None, *, segments: Sequence[str] = ("Segment_1",), name: str = "Segmentation"
    ) -> Any:
        """Segmentation node in the volume's geometry and under its transform, with empty segments of these ids."""
        node = self.mrml.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        if volumeNode is not None:
            node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
            node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        node.GetSegmentation().SetSourceRepresentationName("Binary labelmap")
        for index, segmentId in enumerate(segments):
            node.GetSegmentation().AddEmptySegment(segmentId, segmentId, COLORS[index % len(COLORS)])
        return node

    def addTransform(self, matrix: ArrayLike | None = None, *, name: str = "Transform") -> Any:
        """Linear transform node with a (4, 4) matrix to its parent, in mm."""
        node = self.mrml.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
        if matrix is not None:
            node.SetMatrixTransformToParent(matrixOf(matrix))
        return node

    def save(self, path: Path) -> None:
        """Write the scene with its volumes and segmentations as .mrml or .mrb."""
        if path.suffix == ".mrb":
            assert self.mrml.WriteToMRB(str(path), None)
            return
        self.mrml.SetURL(str(path))
        self.mrml.SetRootDirectory(str(path.parent))
        for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTransformNode"):
            for node in slicer.util.getNodesByClass(kind):
                if node.GetSaveWithScene() and node.AddDefaultStorageNode():
                    storage = node.GetStorageNode()
                    name = f"{node.GetID()}.{storage.GetDefaultWriteFileExtension()}"
                    storage.SetFileName(str(path.parent / name))
                    assert storage.WriteData(node)
        assert self.mrml.Commit(str(path))

    def open(self, path: Path) -> None:
        """Read a scene file into this scene."""
        if path.suffix == ".mrb":
            assert self.mrml.ReadFromMRB(str(path), False)
            return
        self.mrml.SetURL(str(path))
        assert self.mrml.Import()

    def addEditor(
        self, segmentationNode: Any, volumeNode: Any, segmentId: str = "Segment_1", *, parameters: Any = None
    ) -> Any:
        """A segment editor logic with its own parameter node, as every Segment Editor widget has.

        parameters: a node of an opened scene, which is taken as it is.
        """
        if parameters is not None:
            return self._editorLogic(parameters)
        node = self.mrml.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        logic = self._editorLogic(node)
        node.SetAndObserveSegmentationNode(segmentationNode)
        logic.SetSourceVolumeNode(volumeNode)
        node.SetSelectedSegmentID(segmentId)
        node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        return logic

    def _editorLogic(self, node: Any) -> Any:
        logic = slicer.vtkSlicerSegmentEditorLogic()
        logic.SetMRMLApplicationLogic(self.applicationLogic)
        logic.SetMRMLScene(self.mrml)
        logic.SetMaximumNumberOfUndoStates(10)
        logic.SetSegmentEditorNode(node)
        return logic

    def _makeLogic(self, name: str, kind: str) -> Any:
        logic = getattr(slicer, kind)()
        logic.SetMRMLApplicationLogic(self.applicationLogic)
        logic.SetMRMLScene(self.mrml)
        self.applicationLogic.SetModuleLogic(name.capitalize(), logic)
        return logic

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, caller: Any, event: str, node: Any) -> None:
        if node.GetHideFromEditors() or not node.IsA("vtkMRMLDisplayableNode"):
            return
        if not self.subjectHierarchy.GetItemByDataNode(node):
            self.subjectHierarchy.CreateItem(self.subjectHierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, caller: Any, event: str, node: Any) -> None:
        item = self.subjectHierarchy.GetItemByDataNode(node)
        if item:
            self.subjectHierarchy.RemoveItem(item, False, False)

    def _collect(self, kind: type[BaseException], value: BaseException, trace: Any) -> None:
        self.errors.append((kind.__name__, str(value)))
        self._hook(kind, value, trace)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep VTK's messages off the screen."""
    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.SetGlobalWarningDisplay(0)
    try:
        yield
    finally:
        vtk.vtkObject.SetGlobalWarningDisplay(shown)


def matrixOf(values: ArrayLike) -> vtk.vtkMatrix4x4:
    """(4, 4) array -> VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(values, dtype=float).ravel())
    return matrix


def segmentVoxels(segmentationNode: Any, segmentId: str, volumeNode: Any) -> NDArray[np.bool_]:
    """A segment as bool (I, J, K) on the grid of a volume node, through Slicer's own export."""
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode)
    return array.T.astype(bool)
