"""Widgets that code makes for itself inside Slicer, under their own names: a Segment Editor and a slice view."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .editor_widget import EditorWidget, ViewWidget
from .scene import Scene
from .views import SliceView


class SegmentEditorWidget:
    """What Python uses of qMRMLSegmentEditorWidget; the editor is there as soon as it has a scene and a node."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._node: Any = None
        self._editor: EditorWidget | None = None
        self._undoStates = 0

    def setMRMLScene(self, mrmlScene: Any) -> None:
        self._make()

    def setMRMLSegmentEditorNode(self, node: Any | None) -> None:
        if node is None and self._editor:
            self.deleteLater()
        self._node = node

    def _make(self) -> None:
        logic = slicer.vtkSlicerSegmentEditorLogic()
        logic.SetMRMLApplicationLogic(self._scene.applicationLogic)
        logic.SetMRMLScene(self._scene.mrml)
        logic.SetMaximumNumberOfUndoStates(self._undoStates)
        logic.SetSegmentEditorNode(self._node)
        self._editor = EditorWidget(logic)

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        self._editor.logic.SetMaximumNumberOfUndoStates(count)

    def setSegmentationNode(self, node: Any) -> None:
        self._node.SetAndObserveSegmentationNode(node)

    def setSourceVolumeNode(self, node: Any) -> None:
        self._editor.setSourceVolumeNode(node)

    def setCurrentSegmentID(self, segmentId: str) -> None:
        self._editor.selectSegment(segmentId)

    def setActiveEffectByName(self, name: str) -> None:
        if self._editor:
            self._editor.setActiveEffectByName(name)

    def activeEffect(self) -> Any | None:
        return self._editor.activeEffect

    def effectByName(self, name: str) -> Any | None:
        return self._editor.effectByName(name)

    def undo(self) -> None:
        self._editor.undo()

    def redo(self) -> None:
        self._editor.redo()

    def deleteLater(self) -> None:
        if self._editor:
            self._editor.close()
            self._editor = None


class SliceWidget(ViewWidget):
    """What Python uses of qMRMLSliceWidget; its view is off screen."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(None)
        self._scene = scene
        self._size = (300, 300)
        if scene.applicationLogic.GetSliceLogics() is None:
            scene.applicationLogic.SetSliceLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene.mrml, True)

    def setMRMLScene(self, mrmlScene: Any | None) -> None:
        if mrmlScene is None:
            self.deleteLater()

    def setMRMLSliceNode(self, node: Any) -> None:
        self.view = SliceView(self._scene, node.GetLayoutName(), size=self._size)

    def resize(self, width: int, height: int) -> None:
        self.view.window.SetSize(width, height)
        self.view.logic.ResizeSliceNode(width, height)

    def show(self) -> None:
        """Off screen there is nothing to do."""

    def deleteLater(self) -> None:
        if self.view is not None:
            self._scene.applicationLogic.GetSliceLogics().RemoveItem(self.view.logic)
            self.view.close()
            self.view = None
