"""What a mouse or key event in a slice or 3D view means: a prompt, a place to encode ahead, or nothing of ours."""

from __future__ import annotations

import slicer
import vtk

from ..Views.ViewPicking import pickIn3D, pickInSlice


class ViewClicks:
    """Turns events into calls of `actions`: addClick, flipPrompt, cancel. Positions are world RAS, mm."""

    def __init__(self, scriptedEffect, actions, *, prompts, ahead) -> None:
        self._effect, self._actions = scriptedEffect, actions
        self._prompts, self._ahead = prompts, ahead

    def onEvent(self, interactor, eventId, viewWidget) -> bool:
        """Whether the event was ours: only a left press that made or changed a prompt is."""
        if eventId == vtk.vtkCommand.LeftButtonPressEvent:
            return self._onPress(interactor, viewWidget)
        if eventId == vtk.vtkCommand.MouseMoveEvent:
            if _isSlice(viewWidget):
                self._ahead.mouseAt(self._pick(interactor, viewWidget))
        elif eventId == vtk.vtkCommand.LeaveEvent:
            self._ahead.mouseAt(None)
        elif eventId == vtk.vtkCommand.KeyPressEvent and interactor.GetKeySym() == "Escape":
            self._actions.cancel()
        return False

    def _onPress(self, interactor, viewWidget) -> bool:
        if self._actions.isDrawingBox or interactor.GetAltKey() or not _mouseIsFree():
            return False
        isModified = bool(interactor.GetControlKey() or interactor.GetShiftKey())
        renderer, viewNode = self._effect.renderer(viewWidget), self._effect.viewNode(viewWidget)
        index = self._prompts.promptAt(renderer, viewNode, interactor.GetEventPosition())
        if index is not None:
            if isModified:
                self._actions.flipPrompt(index)
            return isModified  # a plain press is for markups: it drags the point
        ras = self._pick(interactor, viewWidget)
        if ras is None:
            return False
        self._actions.addClick(ras, isOtherSign=isModified)
        return True

    def _pick(self, interactor, viewWidget):
        """World point under the mouse, or None where there is nothing to click."""
        xy = interactor.GetEventPosition()
        if _isSlice(viewWidget):
            return pickInSlice(interactor, self._effect.viewNode(viewWidget), xy)
        volume = self._effect.parameterSetNode().GetSourceVolumeNode()
        depth_mm = min(volume.GetSpacing()) if volume else 0.0  # the surface itself lies between inside and outside
        pick = pickIn3D(self._effect.renderer(viewWidget), xy, depth_mm=depth_mm)
        return None if pick is None else pick.ras


def _isSlice(viewWidget) -> bool:
    return viewWidget.className() == "qMRMLSliceWidget"


def _mouseIsFree() -> bool:
    """Whether the mouse is in its usual mode: not placing markups, not adjusting window and level."""
    node = slicer.app.applicationLogic().GetInteractionNode()
    return node is None or node.GetCurrentInteractionMode() == node.ViewTransform
