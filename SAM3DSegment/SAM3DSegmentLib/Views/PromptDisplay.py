"""Prompts as points in all views: green in the object, red outside it; dragged and deleted with Slicer's own gestures.

One markups node per effect, in world RAS, neither saved with the scene nor listed in selectors.  A second one holds the
hint, a point that offers itself as the next click.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
import vtk

from .ViewPicking import Ras, nearestPoint

FOREGROUND_COLOR = (0.15, 0.85, 0.25)
BACKGROUND_COLOR = (0.95, 0.2, 0.15)
HOVER_COLOR = (1.0, 0.9, 0.2)
HINT_COLOR = (0.35, 0.75, 1.0)
GLYPH_SCALE = 1.8  # % of the view's size; markups start at 3
HINT_SCALE = 4.5
OCCLUDED_OPACITY = 0.45  # prompts lie inside what they segment: 3D views show them through its surface
REACH = 55.0  # pixels at a screen scale of 1: as near a prompt's centre, a press belongs to the prompt
MOVED_MM = 1e-3  # less than this is no drag


def ignore(*_: Any) -> None:
    """Nobody asked to be told."""


class PromptDisplay:
    """Shows prompts, and tells what the user did to them in a view.

    onMoved(index, ras) comes when a drag ends, onDeleted(index) after the Delete key or the point's context menu,
    onFlipped(index) after "toggle select point" there.  The points follow `show` only: whoever does not accept a change
    shows the prompts again as they were.
    """

    def __init__(
        self,
        scene: Any | None = None,
        *,
        onMoved: Callable[[int, Ras], None] = ignore,
        onDeleted: Callable[[int], None] = ignore,
        onFlipped: Callable[[int], None] = ignore,
    ) -> None:
        self._scene = slicer.mrmlScene if scene is None else scene
        self._onMoved, self._onDeleted, self._onFlipped = onMoved, onDeleted, onFlipped
        self._node: Any = None
        self._hint: Any = None
        self._tags: list[int] = []
        self._ids: list[str] = []  # of the points as shown
        self._points: list[Ras] = []
        self._signs: list[bool] = []
        self._changing = False
        self._dragging = False
        self._waiting: Sequence[Any] | None = None

    @property
    def markupsNode(self) -> Any | None:
        """The node that carries the prompts; None while there are none."""
        return self._alive(self._node)

    @property
    def hintNode(self) -> Any | None:
        return self._alive(self._hint)

    def show(self, prompts: Sequence[Any]) -> None:
        """Show these prompts, each with `.ras` (world, mm) and `.isForeground`; during a drag, after it."""
        if self._dragging and self.markupsNode is not None:
            self._waiting = tuple(prompts)
            return
        points = [_ras(prompt.ras) for prompt in prompts]
        signs = [bool(prompt.isForeground) for prompt in prompts]
        if not points and self.markupsNode is None:
            return
        node = self._ensureNode()
        if (points, signs) != self._content(node):
            with self._change(node):
                node.SetControlPointPositionsWorld(_vtkPoints(points))
                for index, sign in enumerate(signs):
                    node.SetNthControlPointSelected(index, sign)
        self._remember(node)

    def hintAt(self, ras: Sequence[float] | None) -> None:
        """Offer a world point (mm) as the next click; None takes the hint away."""
        node = self.hintNode
        if ras is None:
            if node is not None:
                node.SetDisplayVisibility(False)
            return
        if node is None:
            node = self._hint = self._addNode("SAM 3D hint")
            node.SetLocked(True)
            _styleHint(node.GetDisplayNode())
        modifying = node.StartModify()
        node.SetControlPointPositionsWorld(_vtkPoints([ras]))
        node.SetDisplayVisibility(True)
        node.EndModify(modifying)

    def promptAt(self, renderer: Any, viewNode: Any, xy: Sequence[float]) -> int | None:
        """Index of the prompt under a pixel of a view, where a press is the prompt's own; None if there is none."""
        if self.markupsNode is None:
            return None
        reach = REACH * viewNode.GetScreenScaleFactor()
        return nearestPoint(self._points, renderer, viewNode, xy, reach=reach)

    def remove(self) -> None:
        """Take prompts and hint out of the scene; `show` brings them back."""
        for node in (self.markupsNode, self.hintNode):
            if node is not None:
                self._scene.RemoveNode(node.GetDisplayNode())  # it would stay, and with it what it draws
                self._scene.RemoveNode(node)
        self._forget()
        self._hint = None

    def _ensureNode(self) -> Any:
        if self.markupsNode is None:
            self._forget()
            self._node = self._addNode("SAM 3D prompts")
            _stylePrompts(self._node.GetDisplayNode())
            events = slicer.vtkMRMLMarkupsNode
            for event, handler in (
                (events.PointStartInteractionEvent, self._onDragStarted),
                (events.PointEndInteractionEvent, self._onDragEnded),
                (events.PointRemovedEvent, self._onPointRemoved),
                (events.PointModifiedEvent, self._onPointModified),
            ):
                self._tags.append(self._node.AddObserver(event, handler))
        return self._node

    def _addNode(self, name: str) -> Any:
        node = self._scene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(name))
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetUndoEnabled(False)
        with _samePlaceNode(self._scene):
            self._scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetSaveWithScene(False)
        return node

    def _forget(self) -> None:
        if self._node is not None:
            for tag in self._tags:
                self._node.RemoveObserver(tag)
        self._node, self._tags, self._ids, self._points, self._signs = None, [], [], [], []
        self._dragging, self._waiting = False, None

    def _remember(self, node: Any) -> None:
        self._points, self._signs = self._content(node)
        self._ids = [node.GetNthControlPointID(index) for index in range(node.GetNumberOfControlPoints())]

    @staticmethod
    def _content(node: Any) -> tuple[list[Ras], list[bool]]:
        indices = range(node.GetNumberOfControlPoints())
        points = [_ras(node.GetNthControlPointPositionWorld(index)) for index in indices]
        return points, [bool(node.GetNthControlPointSelected(index)) for index in indices]

    @contextmanager
    def _change(self, node: Any) -> Iterator[None]:
        """Changes made here are not the user's."""
        self._changing = True
        modifying = node.StartModify()
        try:
            yield
        finally:
            node.EndModify(modifying)
            self._changing = False

    def _onDragStarted(self, *_: Any) -> None:
        self._dragging = True

    def _onDragEnded(self, *_: Any) -> None:
        self._dragging = False
        before, (now, _signs) = self._points, self._content(self._node)
        moved = [
            i for i, pair in enumerate(zip(before, now, strict=False)) if np.linalg.norm(np.subtract(*pair)) > MOVED_MM
        ]
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._remember(self._node)
        else:
            self.show(waiting)
        for index in moved:
            if index < len(self._points):
                self._onMoved(index, now[index])

    def _onPointRemoved(self, *_: Any) -> None:
        if self._changing:
            return
        left = {self._node.GetNthControlPointID(index) for index in range(self._node.GetNumberOfControlPoints())}
        removed = [index for index, point in enumerate(self._ids) if point not in left]
        self._dragging = False
        self._remember(self._node)
        for index in reversed(removed):
            self._onDeleted(index)

    def _onPointModified(self, *_: Any) -> None:
        if self._changing or self._dragging:
            return
        signs = self._content(self._node)[1]
        if len(signs) != len(self._signs):
            return
        flipped = [index for index, (a, b) in enumerate(zip(self._signs, signs, strict=True)) if a != b]
        self._signs = signs
        for index in flipped:
            self._onFlipped(index)

    def _alive(self, node: Any) -> Any | None:
        """The node, unless it left the scene, as when the scene is closed."""
        return node if node is not None and node.GetScene() is self._scene else None


@contextmanager
def _samePlaceNode(scene: Any) -> Iterator[None]:
    """Slicer takes a new markups node for the one in which Place mode puts its points: not this one."""
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    before = selection and (selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID())
    yield
    if selection:
        selection.SetActivePlaceNodeClassName(before[0])
        selection.SetActivePlaceNodeID(before[1])


def _stylePrompts(display: Any) -> None:
    display.SetSelectedColor(FOREGROUND_COLOR)
    display.SetColor(BACKGROUND_COLOR)
    display.SetActiveColor(HOVER_COLOR)
    display.SetGlyphScale(GLYPH_SCALE)
    display.SetGlyphType(slicer.vtkMRMLMarkupsDisplayNode.Sphere3D)
    _styleCommon(display)


def _styleHint(display: Any) -> None:
    display.SetSelectedColor(HINT_COLOR)
    display.SetGlyphScale(HINT_SCALE)
    display.SetGlyphType(slicer.vtkMRMLMarkupsDisplayNode.ThickCross2D)
    display.SetSliceProjection(True)  # the hint may lie in no shown slice: its shadow says where to look
    display.SetSliceProjectionUseFiducialColor(True)
    _styleCommon(display)


def _styleCommon(display: Any) -> None:
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetOccludedVisibility(True)
    display.SetOccludedOpacity(OCCLUDED_OPACITY)
    display.SetSnapMode(slicer.vtkMRMLMarkupsDisplayNode.SnapModeUnconstrained)


def _vtkPoints(points: Sequence[Sequence[float]]) -> Any:
    found = vtk.vtkPoints()
    found.SetDataTypeToDouble()
    for point in points:
        found.InsertNextPoint(*point)
    return found


def _ras(values: Sequence[float]) -> Ras:
    x, y, z = (float(value) for value in values)
    return x, y, z
