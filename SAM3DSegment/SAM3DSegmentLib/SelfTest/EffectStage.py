"""The effect on a stage: a made-up volume, a segment, an editor widget and a slice view, with or without a window."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from ..Editor.EditorData import Status
from ..Editor.EditorLogic import sharedLogic
from ..Effect.EditedSegment import EditedSegment
from ..Models.ModelStore import sharedStore
from ..Setup.SampleCase import PHANTOM, addSegmentation, phantomVolume

NAME = "SAM3DSegment"
PARAMETERS = "SAM3DSegment test"
VIEW_PX = 300
PATIENCE_S = 180.0


class EffectStage:
    """Empties the scene and sets everything up in it; with `file`, the scene of that bundle. Uses the embedded model.

    Widgets are made as the script repository of Slicer has it, so that no main window is needed. Positions are world
    RAS, mm. `close` gives the model of the user back.
    """

    def __init__(self, file: str = "") -> None:
        ensureRegistered()
        slicer.mrmlScene.Clear(False)
        if file:
            slicer.mrmlScene.ReadFromMRB(file, True)
            self.volume = _saved(PHANTOM)
            self.segmentation = _saved(f"{PHANTOM} segmentation")
            self.segmentId = self.segmentation.GetSegmentation().GetNthSegmentID(0)
            self.parameters = _saved(PARAMETERS)
        else:
            self.volume = phantomVolume(slicer)
            self.segmentation, self.segmentId = addSegmentation(slicer, self.volume)
            self.parameters = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode", PARAMETERS)
        self.editor = self._makeEditor()
        self.view = self._makeView()
        self.activate()
        self.logic = sharedLogic()
        self.logic.setModel("embedded", "auto")

    @property
    def effect(self) -> Any:
        """The Python object of this editor's copy of the effect."""
        return self.editor.effectByName(NAME).self()

    @property
    def options(self) -> Any:
        return self.effect.options

    @property
    def status(self) -> Status:
        return self.logic.statusOf(EditedSegment(self.editor.effectByName(NAME)).target())

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The segment on the grid of the volume, (I, J, K)."""
        array = slicer.util.arrayFromSegmentBinaryLabelmap(self.segmentation, self.segmentId, self.volume)
        return array.T.astype(bool)

    def isInMask(self, ras: Sequence[float]) -> bool:
        matrix = vtk.vtkMatrix4x4()
        self.volume.GetRASToIJKMatrix(matrix)
        i, j, k = (round(value) for value in matrix.MultiplyPoint((*ras, 1.0))[:3])
        return bool(self.mask[i, j, k])

    def activate(self) -> None:
        self.editor.setActiveEffectByName(NAME)

    def deactivate(self) -> None:
        self.editor.setActiveEffectByName("")

    def click(self, ras: Sequence[float], *, ctrl: bool = False) -> bool:
        """A left press in the slice through a point, handed to the effect as Slicer does; whether it took the event."""
        node = self.view.mrmlSliceNode()
        node.JumpSlice(*ras)
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), inverse)
        x, y = (round(value) for value in inverse.MultiplyPoint((*ras, 1.0))[:2])
        interactor = self.view.sliceView().interactor()
        interactor.SetEventPosition(x, y)
        interactor.SetControlKey(int(ctrl))
        interactor.SetShiftKey(0)
        interactor.SetAltKey(0)
        return self.effect.processInteractionEvents(interactor, vtk.vtkCommand.LeftButtonPressEvent, self.view)

    def wait(self, until: Callable[[], bool] | None = None) -> None:
        """Let Slicer go on until all requests are answered, or until something holds; TimeoutError otherwise."""
        end = time.monotonic() + PATIENCE_S
        while not until() if until else (self.logic.isBusy or self.logic.needsPoll):
            if time.monotonic() > end:
                raise TimeoutError(f"still waiting after {PATIENCE_S:.0f} s: {self.status.text}")
            slicer.app.processEvents()
            time.sleep(0.002)
        slicer.app.processEvents()

    def save(self, file: str) -> None:
        if not slicer.mrmlScene.WriteToMRB(file):
            raise OSError(f"the scene could not be written to {file}")

    def close(self) -> None:
        self.logic.cancel()
        self.deactivate()
        slicer.app.applicationLogic().GetSliceLogics().RemoveItem(self.view.sliceLogic())
        self.view.setMRMLScene(None)
        self.view.deleteLater()
        self.editor.setMRMLSegmentEditorNode(None)
        self.editor.deleteLater()
        slicer.app.processEvents()
        slicer.mrmlScene.Clear(False)
        store = sharedStore(slicer.app.userSettings())
        self.logic.setModel(store.selected, store.device)

    def _makeEditor(self) -> Any:
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLSegmentEditorNode(self.parameters)
        editor.setMRMLScene(slicer.mrmlScene)
        editor.setMaximumNumberOfUndoStates(10)
        editor.setSegmentationNode(self.segmentation)
        editor.setSourceVolumeNode(self.volume)
        editor.setCurrentSegmentID(self.segmentId)
        return editor

    def _makeView(self) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLScene(slicer.mrmlScene)
        node = logic.AddSliceNode(NAME)
        view = slicer.qMRMLSliceWidget()
        view.setMRMLScene(slicer.mrmlScene)
        view.setMRMLSliceNode(node)
        slicer.app.applicationLogic().GetSliceLogics().AddItem(view.sliceLogic())
        view.resize(VIEW_PX, VIEW_PX)
        view.show()
        slicer.app.processEvents()
        view.sliceLogic().GetSliceCompositeNode().SetBackgroundVolumeID(self.volume.GetID())
        node.SetOrientation("Axial")
        view.sliceLogic().FitSliceToAll()
        return view


def ensureRegistered() -> None:
    """Give the effect to the Segment Editor where the application's start has not done so yet."""
    effects = slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects()
    if NAME not in [effect.name for effect in effects]:
        from SAM3DSegment import registerEffect

        registerEffect()


def _saved(name: str) -> Any:
    node = slicer.mrmlScene.GetFirstNodeByName(name)
    if node is None:
        raise ValueError(f"the scene has no node {name!r}: it was not saved with it")
    return node
