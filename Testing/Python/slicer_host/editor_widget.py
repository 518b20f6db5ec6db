"""A stand-in for qMRMLSegmentEditorWidget: clones the registered effects, activates them, and forwards view events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
import vtk
from PySide6 import QtWidgets

from .effect_host import qSlicerSegmentEditorScriptedEffect

# What the real widget observes; double clicks only in slice views.
FORWARDED = (
    "LeftButtonPressEvent",
    "LeftButtonReleaseEvent",
    "RightButtonPressEvent",
    "RightButtonReleaseEvent",
    "MiddleButtonPressEvent",
    "MiddleButtonReleaseEvent",
    "MouseMoveEvent",
    "MouseWheelForwardEvent",
    "MouseWheelBackwardEvent",
    "KeyPressEvent",
    "KeyReleaseEvent",
    "EnterEvent",
    "LeaveEvent",
)
DOUBLE_CLICKS = ("LeftButtonDoubleClickEvent", "RightButtonDoubleClickEvent", "MiddleButtonDoubleClickEvent")


class ViewWidget:
    """What effects use of qMRMLSliceWidget and qMRMLThreeDWidget, over an off-screen view of views.py."""

    def __init__(self, view: Any) -> None:
        self.view = view
        self.renders = 0

    @property
    def isSlice(self) -> bool:
        return self.view.node.IsA("vtkMRMLSliceNode")

    def className(self) -> str:
        return "qMRMLSliceWidget" if self.isSlice else "qMRMLThreeDWidget"

    def mrmlSliceNode(self) -> Any:
        return self.view.node

    mrmlViewNode = viewNode = mrmlSliceNode

    def sliceLogic(self) -> Any:
        return self.view.logic

    def renderWindow(self) -> Any:
        return self.view.window

    def scheduleRender(self) -> None:
        self.renders += 1

    def sliceView(self) -> ViewWidget:
        return self

    def interactor(self) -> Any:
        return self.view.interactor

    threeDView = sliceView


class EditorWidget:
    """One Segment Editor: `logic` is the real one with its parameter node, `effects` are clones by name.

    views: views of views.py whose events reach the active effect. passed collects the names of the events that the
    effect left to others.
    """

    def __init__(self, logic: Any, *, views: Sequence[Any] = ()) -> None:
        self.widget = QtWidgets.QWidget(slicer.util.mainWindow())  # holds the options frames of all effects
        QtWidgets.QVBoxLayout(self.widget)
        self.views = [ViewWidget(view) for view in views]
        self.activeEffect: qSlicerSegmentEditorScriptedEffect | None = None
        self.passed: list[str] = []
        self._observed: list[tuple[Any, int]] = []
        self._viewObserved: list[tuple[Any, int]] = []
        self.effects: dict[str, qSlicerSegmentEditorScriptedEffect] = {}
        self.setLogic(logic)
        for registered in slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects():
            self._add(registered.clone())

    def setLogic(self, logic: Any) -> None:
        """Take another parameter node, as after a scene was closed: the effect is left, and gets the new node."""
        self._enter(None)
        _unobserve(self._observed)
        self.logic, self.node = logic, logic.GetSegmentEditorNode()
        self._observe(self._observed, self.node, vtk.vtkCommand.ModifiedEvent, lambda *_: self._update())
        scene = self.node.GetScene()
        interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton") or scene.AddNode(
            slicer.vtkMRMLInteractionNode()
        )
        self._observe(self._observed, interaction, vtk.vtkCommand.ModifiedEvent, self._onInteractionNode)
        for effect in self.effects.values():
            self._giveNode(effect)

    def _add(self, effect: qSlicerSegmentEditorScriptedEffect) -> None:
        effect._set(_editor=self)
        self._giveNode(effect)
        effect.icon()
        effect.setupOptionsFrame()
        effect.optionsFrame().setVisible(False)
        self.widget.layout().addWidget(effect.optionsFrame())
        self.effects[effect.name] = effect

    def _giveNode(self, effect: qSlicerSegmentEditorScriptedEffect) -> None:
        effect.setParameterSetNode(self.node)
        effect.setMRMLDefaults()
        modified = slicer.vtkMRMLSegmentEditorNode.EffectParameterModified
        self._observe(self._observed, self.node, modified, lambda *_: effect.updateGUIFromMRML())

    def effectByName(self, name: str) -> qSlicerSegmentEditorScriptedEffect | None:
        return self.effects.get(name)

    def setActiveEffectByName(self, name: str) -> None:
        self.node.SetActiveEffectName(name if name in self.effects else "")
        self._update()  # the node of an opened scene may have the name already

    def selectSegment(self, segmentId: str) -> None:
        self.node.SetSelectedSegmentID(segmentId)

    def setSourceVolumeNode(self, volumeNode: Any) -> None:
        self.logic.SetSourceVolumeNode(volumeNode)
        for effect in self.effects.values():
            effect.sourceVolumeNodeChanged()

    def undo(self) -> None:
        self.logic.Undo()

    def redo(self) -> None:
        self.logic.Redo()

    def close(self) -> None:
        """Destroy the widget and its effects."""
        self.setActiveEffectByName("")
        _unobserve(self._observed)
        _unobserve(self._viewObserved)
        for effect in self.effects.values():
            effect.deleteLater()
        self.effects = {}
        self.widget.deleteLater()

    @property
    def _sceneIsGone(self) -> bool:
        return self.node.GetScene() is None or self.node.GetScene().IsClosing()

    def _update(self) -> None:
        if self._sceneIsGone:
            return
        wanted = self.effects.get(self.node.GetActiveEffectName() or "")
        if wanted is not self.activeEffect:
            self._enter(wanted)

    def _enter(self, wanted: qSlicerSegmentEditorScriptedEffect | None) -> None:
        """Leave the active effect, and activate another one."""
        if self.activeEffect:
            self.activeEffect.deactivate()
        _unobserve(self._viewObserved)
        self.activeEffect = None
        if wanted:
            for view in self.views:
                self._observeView(view)
            self.activeEffect = wanted
            wanted.activate()
            for view in self.views:
                wanted.createCursor(view)

    def _observeView(self, view: ViewWidget) -> None:
        names = FORWARDED + (DOUBLE_CLICKS if view.isSlice else ())
        for name in names:
            eventId = getattr(vtk.vtkCommand, name)
            tags: list[int] = []

            def forward(caller: Any, event: str, view=view, eventId=eventId, tags=tags) -> None:
                self._forward(view, eventId, event, tags[0])

            tags.append(view.interactor().AddObserver(name, forward, 1.0))
            self._viewObserved.append((view.interactor(), tags[0]))
        self._observe(
            self._viewObserved,
            view.viewNode(),
            vtk.vtkCommand.ModifiedEvent,
            lambda node, event: (
                self.activeEffect and self.activeEffect.processViewNodeEvents(node, vtk.vtkCommand.ModifiedEvent, view)
            ),
        )

    def _forward(self, view: ViewWidget, eventId: int, event: str, tag: int) -> None:
        if self.activeEffect is None or self._sceneIsGone:
            return
        if self.activeEffect.processInteractionEvents(view.interactor(), eventId, view):
            view.interactor().GetCommand(tag).SetAbortFlag(1)
        else:
            self.passed.append(event)

    def _onInteractionNode(self, node: Any, event: str) -> None:
        if self.activeEffect:
            self.activeEffect.interactionNodeModified(node)

    @staticmethod
    def _observe(register: list[tuple[Any, int]], caller: Any, event: Any, callback: Callable[..., Any]) -> None:
        register.append((caller, caller.AddObserver(event, callback)))


def _unobserve(register: list[tuple[Any, int]]) -> None:
    for caller, tag in register:
        caller.RemoveObserver(tag)
    register.clear()
