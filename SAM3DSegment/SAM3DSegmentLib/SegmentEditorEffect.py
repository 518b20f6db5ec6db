"""The Segment Editor effect "SAM 3D": what Slicer calls, each handed on to the part that does it."""

from __future__ import annotations

import os

import qSlicerSegmentationsEditorEffectsPythonQt as effects
import qt
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

from .Effect.EffectController import EffectController
from .Effect.EffectHelp import helpText
from .Effect.EffectOptions import EffectOptions
from .Effect.EffectShortcuts import EffectShortcuts

NAME = "SAM3DSegment"  # names the parameters in the scene, so it is never translated
CURSOR_PX = 24


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """One editor widget's copy of the effect. The model and the sessions are shared by all copies."""

    def __init__(self, scriptedEffect) -> None:
        scriptedEffect.name = NAME
        scriptedEffect.title = _("SAM 3D")
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        scriptedEffect.showEffectCursorInThreeDView = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.options = None
        self.controller = EffectController(scriptedEffect)
        self.shortcuts = EffectShortcuts(self.controller)

    def clone(self):
        copy = effects.qSlicerSegmentEditorScriptedEffect(None)
        copy.setPythonSource(__file__.replace("\\", "/"))
        return copy

    def icon(self):
        """The small version comes first: Slicer draws that one beside the mouse."""
        drawing = qt.QPixmap(os.path.join(os.path.dirname(__file__), "SegmentEditorEffect.png"))
        icon = qt.QIcon()
        icon.addPixmap(drawing.scaled(CURSOR_PX, CURSOR_PX, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation))
        icon.addPixmap(drawing)
        return icon

    def helpText(self) -> str:
        return helpText()

    def setupOptionsFrame(self) -> None:
        self.options = EffectOptions(self.controller)
        self.options.addTo(self.scriptedEffect)
        self.controller.setOptions(self.options)

    def setMRMLDefaults(self) -> None:
        self.controller.parameters.setDefaults()

    def activate(self) -> None:
        self.controller.activate()
        self.shortcuts.install()

    def deactivate(self) -> None:
        self.shortcuts.remove()
        self.controller.deactivate()

    def cleanup(self) -> None:
        self.shortcuts.remove()
        self.controller.cleanup()

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget) -> bool:
        return self.controller.views.onEvent(callerInteractor, eventId, viewWidget)

    def processViewNodeEvents(self, callerViewNode, eventId, viewWidget) -> None:
        self.controller.onViewMoved(callerViewNode)

    def sourceVolumeNodeChanged(self) -> None:
        self.controller.onSelectionChanged()

    def layoutChanged(self) -> None:
        self.controller.onViewMoved(None)

    def interactionNodeModified(self, interactionNode) -> None:
        """Stay active while a box is placed: the default would leave the effect."""

    def updateGUIFromMRML(self) -> None:
        self.controller.onParametersChanged()

    def updateMRMLFromGUI(self) -> None:
        """Every widget writes its parameter when it is changed."""
