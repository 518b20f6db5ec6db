"""Stand-ins for the C++ half of a scripted Segment Editor effect, over the real `vtkSlicerSegmentEditorLogic`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .python_qt import QtModule, refuseNumpy

NOT_CONFIRMED, CONFIRMED_WITHOUT_DIALOG, CONFIRMED_WITH_DIALOG = range(3)
MODES = ("ModificationModeSet", "ModificationModeAdd", "ModificationModeRemove", "ModificationModeRemoveAll")
WRITABLE = {
    "name",
    "title",
    "perSegment",
    "requireSegments",
    "showEffectCursorInSliceView",
    "showEffectCursorInThreeDView",
}


class AbstractScriptedSegmentEditorEffect:
    """Base of Python effects, as in Slicer's SegmentEditorEffects package."""

    def __init__(self, scriptedEffect: Any) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self) -> None:
        """Overridden by effects."""


class qSlicerSegmentEditorAbstractEffect:
    """The enumerations that effects read from `slicer`."""

    ModificationModeSet, ModificationModeAdd, ModificationModeRemove, ModificationModeRemoveAll = range(4)
    NotConfirmed, ConfirmedWithoutDialog, ConfirmedWithDialog = range(3)


class qSlicerSegmentEditorScriptedEffect:
    """Calls the Python effect and serves it.

    dialogAnswer: what the user says when a hidden segment is edited ("yes", "no" or "cancel").
    """

    def __init__(self, parent: Any = None) -> None:
        self._set(name="UnnamedScriptedEffect", title="", perSegment=True, requireSegments=True)
        self._set(showEffectCursorInSliceView=True, showEffectCursorInThreeDView=False)
        self._set(_python=None, _node=None, _editor=None, _active=False, _deleted=False, dialogAnswer="yes")
        self._set(_confirmed=None, warnings=[], confirmations=0)
        frame = QtModule("qt").QFrame()
        layout = QtModule("qt").QFormLayout(frame)
        layout.setContentsMargins(4, 4, 4, 4)
        self._set(_frame=frame, _layout=layout)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in WRITABLE:
            raise AttributeError(
                f"Attribute '{name}' does not exist and creation of new attributes on C++ objects is not allowed"
            )
        self._set(**{name: refuseNumpy(value, name)})

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    # Made and destroyed

    def setPythonSource(self, path: str) -> bool:
        """The folder's name is the Python module, the file's name the class; the module must have it already."""
        folder, class_name = Path(path).parent.name, Path(path).stem
        cls = getattr(sys.modules.get(folder), class_name, None)
        if not isinstance(cls, type):
            raise RuntimeError(f"{folder} has no class {class_name}; Slicer would load the file in the package's place")
        self._set(_python=cls(self))
        return True

    def self(self) -> Any:
        return self._python

    def clone(self) -> qSlicerSegmentEditorScriptedEffect:
        return self._python.clone()

    def deleteLater(self) -> None:
        """What the destructor of the editor widget does to its effects."""
        self._python.cleanup()
        self._set(_deleted=True)
        self._frame.deleteLater()

    # Called by the editor widget

    def activate(self) -> None:
        self._frame.setVisible(True)
        self._set(_active=True)
        self.updateGUIFromMRML()
        self._call("activate")

    def deactivate(self) -> None:
        self._frame.setVisible(False)
        self._set(_active=False)
        self._call("deactivate")

    def active(self) -> bool:
        return self._active

    def processInteractionEvents(self, interactor: Any, eventId: int, viewWidget: Any) -> bool:
        result = self._call("processInteractionEvents", interactor, eventId, viewWidget)
        if not isinstance(result, bool):
            self.warnings.append(f"processInteractionEvents is expected to return a boolean, got {result!r}")
            return False
        return result

    def interactionNodeModified(self, interactionNode: Any) -> None:
        if hasattr(self._python, "interactionNodeModified"):
            self._call("interactionNodeModified", interactionNode)
        elif interactionNode.GetCurrentInteractionMode() != interactionNode.ViewTransform:
            self.selectEffect("")

    def _call(self, method: str, *arguments: Any) -> Any:
        function = getattr(self._python, method, None)
        return function(*arguments) if function else None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        forwarded = {
            "setupOptionsFrame",
            "createCursor",
            "processViewNodeEvents",
            "setMRMLDefaults",
            "referenceGeometryChanged",
            "sourceVolumeNodeChanged",
            "layoutChanged",
            "updateGUIFromMRML",
            "updateMRMLFromGUI",
            "helpText",
            "icon",
        }
        if name not in forwarded:
            raise AttributeError(f"qSlicerSegmentEditorScriptedEffect has no attribute '{name}'")
        return lambda *arguments: self._call(name, *arguments)

    # Offered to the effect

    def setParameterSetNode(self, node: Any) -> None:
        self._set(_node=node)

    def parameterSetNode(self) -> Any:
        if self._deleted:
            raise ValueError(
                "Trying to call 'parameterSetNode' on a destroyed qSlicerSegmentEditorScriptedEffect object"
            )
        return self._node

    def scene(self) -> Any:
        return self._node.GetScene() if self._node else None

    def optionsFrame(self) -> Any:
        return self._frame

    def optionsLayout(self) -> Any:
        return self._layout

    def addOptionsWidget(self, widget: Any) -> None:
        self._layout.addRow(widget)

    def addLabeledOptionsWidget(self, label: str, widget: Any) -> Any:
        text = QtWidgets.QLabel(label)
        self._layout.addRow(text, widget)
        return text

    def parameter(self, name: str) -> str:
        value = self._attribute(name)
        if value is None:
            self.warnings.append(f"Parameter named {name} cannot be found for effect {self.name}")
        return value or ""

    def integerParameter(self, name: str) -> int:
        return int(self.parameter(name) or 0)

    def doubleParameter(self, name: str) -> float:
        return float(self.parameter(name) or 0)

    def parameterDefined(self, name: str) -> bool:
        return bool(self._node and self._node.GetAttribute(f"{self.name}.{name}"))

    def setParameter(self, name: str, value: str | int | float) -> None:
        if isinstance(refuseNumpy(value, name), bool):
            value = int(value)
        key, text = f"{self.name}.{name}", str(value)
        if self._node is None or (self._node.GetAttribute(key) or "") == text:
            return
        wasDisabled = self._node.GetDisableModifiedEvent()
        self._node.SetDisableModifiedEvent(1)
        self._node.SetAttribute(key, text)
        self._node.SetDisableModifiedEvent(wasDisabled)
        self._node.InvokeCustomModifiedEvent(slicer.vtkMRMLSegmentEditorNode.EffectParameterModified)

    def setParameterDefault(self, name: str, value: str | int | float) -> None:
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    def _attribute(self, name: str) -> str | None:
        if self._node is None:
            return None
        value = self._node.GetAttribute(f"{self.name}.{name}")
        return self._node.GetAttribute(name) if value is None else value

    def confirmCurrentSegmentVisible(self) -> int:
        segmentation, segmentId = self._node.GetSegmentationNode(), self._node.GetSelectedSegmentID()
        if not segmentation or not segmentId:
            return CONFIRMED_WITHOUT_DIALOG
        display = segmentation.GetDisplayNode()
        shown = display and display.GetVisibility() and display.GetSegmentVisibility(segmentId)
        if shown or self._confirmed == segmentId:
            return CONFIRMED_WITHOUT_DIALOG
        self._set(confirmations=self.confirmations + 1)
        if self.dialogAnswer == "cancel":
            return NOT_CONFIRMED
        if self.dialogAnswer == "yes":
            display.SetVisibility(True)
            display.SetSegmentVisibility(segmentId, True)
        else:
            self._set(_confirmed=segmentId)
        return CONFIRMED_WITH_DIALOG

    def selectEffect(self, name: str) -> None:
        self._editor.setActiveEffectByName(name)

    def saveStateForUndo(self) -> None:
        self._editor.logic.SaveStateForUndo()

    def defaultModifierLabelmap(self) -> Any:
        return self._editor.logic.GetModifierLabelmap() if self._editor.logic.ResetModifierLabelmapToDefault() else None

    def modifierLabelmap(self) -> Any:
        return self._editor.logic.GetModifierLabelmap()

    def maskLabelmap(self) -> Any:
        return self._editor.logic.GetMaskLabelmap() if self._editor.logic.UpdateMaskLabelmap() else None

    def selectedSegmentLabelmap(self) -> Any:
        logic = self._editor.logic
        return logic.GetSelectedSegmentLabelmap() if logic.UpdateSelectedSegmentLabelmap() else None

    def sourceVolumeImageData(self) -> Any:
        return self._editor.logic.GetAlignedSourceVolume() if self._editor.logic.UpdateAlignedSourceVolume() else None

    def referenceGeometryImage(self) -> Any:
        logic = self._editor.logic
        return logic.GetReferenceGeometryImage() if logic.UpdateReferenceGeometryImage() else None

    def modifySelectedSegmentByLabelmap(self, image: Any, mode: int, *rest: Any) -> None:
        node = self._node
        self.modifySegmentByLabelmap(node.GetSegmentationNode(), node.GetSelectedSegmentID(), image, mode, *rest)

    def modifySegmentByLabelmap(self, segmentation: Any, segmentId: str, image: Any, mode: int, *rest: Any) -> None:
        *extent, bypass = rest if rest and isinstance(rest[-1], bool) else (*rest, False)
        logic = self._editor.logic
        kind = {int(value): value for value in (getattr(logic, name) for name in MODES)}[mode]
        logic.ModifySegmentByLabelmap(segmentation, segmentId, image, kind, *extent, self.perSegment, bypass)

    # Views

    def renderWindow(self, viewWidget: Any) -> Any:
        return viewWidget.renderWindow()

    def renderer(self, viewWidget: Any) -> Any:
        return viewWidget.renderWindow().GetRenderers().GetItemAsObject(0)

    def viewNode(self, viewWidget: Any) -> Any:
        return viewWidget.viewNode()

    def scheduleRender(self, viewWidget: Any) -> None:
        viewWidget.scheduleRender()

    def forceRender(self, viewWidget: Any) -> None:
        viewWidget.renderWindow().Render()

    def xyToRas(self, xy: QtCore.QPoint, viewWidget: Any) -> QtGui.QVector3D:
        ras = viewWidget.viewNode().GetXYToRAS().MultiplyPoint((xy.x(), xy.y(), 0, 1))
        return QtGui.QVector3D(*ras[:3])

    def addActor2D(self, viewWidget: Any, actor: Any) -> None:
        self.renderer(viewWidget).AddViewProp(actor)

    def removeActor2D(self, viewWidget: Any, actor: Any) -> None:
        self.renderer(viewWidget).RemoveViewProp(actor)

    addActor3D, removeActor3D = addActor2D, removeActor2D


class EffectFactory:
    """`slicer.qSlicerSegmentEditorEffectFactory`: what is registered; a second effect of one name is refused."""

    def __init__(self) -> None:
        self.effects: list[qSlicerSegmentEditorScriptedEffect] = []

    def instance(self) -> EffectFactory:
        return self

    def registerEffect(self, effect: qSlicerSegmentEditorScriptedEffect) -> bool:
        if any(effect.name == registered.name for registered in self.effects):
            return False
        self.effects.append(effect)
        return True

    def registeredEffects(self) -> list[qSlicerSegmentEditorScriptedEffect]:
        return list(self.effects)


def effectModules() -> dict[str, ModuleType]:
    """Modules that effects import by name."""
    effects = ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    effects.qSlicerSegmentEditorScriptedEffect = qSlicerSegmentEditorScriptedEffect
    package = ModuleType("SegmentEditorEffects")
    package.AbstractScriptedSegmentEditorEffect = AbstractScriptedSegmentEditorEffect
    return {module.__name__: module for module in (effects, package)}
