"""Mouse clicks in the views, as world points with a sign. All else that the mouse does stays Slicer's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import vtk

from SAM3DSegmentLib.Views.ViewPicking import Ras, pickIn3D, pickInSlice

from .views import THREE_D, Views

BEFORE_SLICER = 100.0  # the priority of an observer that Slicer's own navigation comes after
STILL = 4.0  # pixels: a left button that moves further in 3D turns the view

OnClick = Callable[[Ras, bool], None]
OnMove = Callable[[Ras | None], None]


class Picking:
    """Calls on_click(ras, is_other_sign): a left press in a slice, a left click without a drag in 3D.

    Ctrl or Shift make it the other sign. on_move(ras) comes when the mouse moves over a slice, with None beside it.
    """

    def __init__(self, views: Views, on_click: OnClick, on_move: OnMove, *, volume: Callable[[], Any]) -> None:
        self._views, self._on_click, self._on_move, self._volume = views, on_click, on_move, volume
        self._pressed_at: tuple[int, int] | None = None
        for name, view in views.slices.items():
            _observe(view, vtk.vtkCommand.LeftButtonPressEvent, partial(self._click, name))
            _observe(view, vtk.vtkCommand.MouseMoveEvent, partial(self._move, name))
        _observe(views.threed, vtk.vtkCommand.LeftButtonPressEvent, self._press_in_3d)
        _observe(views.threed, vtk.vtkCommand.LeftButtonReleaseEvent, self._release_in_3d)

    def at(self, name: str, xy: tuple[float, float]) -> Ras | None:
        """World point under a pixel of a view, counted from the lower left; None where there is nothing."""
        if self._volume() is None:
            return None
        if name in self._views.slices:
            view = self._views.slices[name]
            return pickInSlice(view.interactor(), view.get_view_node(), xy)
        depth_mm = min(self._volume().GetSpacing())  # the surface itself lies between inside and outside
        pick = pickIn3D(self._views.threed.renderer(), xy, depth_mm=depth_mm)
        return None if pick is None else pick.ras

    def _move(self, name: str) -> bool:
        self._on_move(self.at(name, self._views.all[name].interactor().GetEventPosition()))
        return False

    def _press_in_3d(self) -> bool:
        self._pressed_at = self._views.threed.interactor().GetEventPosition()
        return False

    def _release_in_3d(self) -> bool:
        interactor = self._views.threed.interactor()
        start, self._pressed_at = self._pressed_at, None
        if start is not None and np.hypot(*np.subtract(interactor.GetEventPosition(), start)) < STILL:
            self._click(THREE_D)
        return False

    def _click(self, name: str) -> bool:
        interactor = self._views.all[name].interactor()
        ras = self.at(name, interactor.GetEventPosition())
        if ras is None:
            return False
        self._on_click(ras, bool(interactor.GetControlKey() or interactor.GetShiftKey()))
        return True


def _observe(view: Any, event: int, action: Callable[[], bool]) -> None:
    """Let `action` see an event first; where it answers True, nobody sees it after."""
    interactor = view.interactor()

    def on_event(*_: Any) -> None:
        if action():
            interactor.GetCommand(tag).AbortFlagOn()

    tag = interactor.AddObserver(event, on_event, BEFORE_SLICER)
