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

from .PromptNodes import addPoints, drawnSegments, positions, showAnew, styleHint, stylePrompts
from .ViewPicking import Ras, nearestPoint

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
        self._drawn: Any = None  # what segments drew when the points were last put on top
        self._changing = False
        self._dragging = False
        self._answering = False
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
                node.SetControlPointPositionsWorld(positions(points))
                for index, sign in enumerate(signs):
                    node.SetNthControlPointSelected(index, sign)
        self._remember(node)
        self._keepOnTop()

    def hintAt(self, ras: Sequence[float] | None) -> None:
        """Offer a world point (mm) as the next click; None takes the hint away."""
        node = self.hintNode
        if ras is None:
            if node is not None:
                node.SetDisplayVisibility(False)
            return
        if node is None:
            node = self._hint = addPoints(self._scene, "SAM 3D hint")
            node.SetLocked(True)
            styleHint(node.GetDisplayNode())
        modifying = node.StartModify()
        node.SetControlPointPositionsWorld(positions([ras]))
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
            self._node = addPoints(self._scene, "SAM 3D prompts")
            self._drawn = drawnSegments(self._scene)
            stylePrompts(self._node.GetDisplayNode())
            events = slicer.vtkMRMLMarkupsNode
            for event, handler in (
                (events.PointStartInteractionEvent, self._onDragStarted),
                (events.PointEndInteractionEvent, self._onDragEnded),
                (events.PointRemovedEvent, self._onPointRemoved),
                (events.PointModifiedEvent, self._onPointModified),
            ):
                self._tags.append(self._node.AddObserver(event, handler))
        return self._node

    def _keepOnTop(self) -> None:
        """Slices draw what came last on top: show the points anew when segments came after them.

        Not within an event of the points themselves, whose widgets go with their display; the next `show` will do.
        """
        if self._answering or (drawn := drawnSegments(self._scene)) == self._drawn:
            return
        self._drawn = drawn
        for node in (self.markupsNode, self.hintNode):
            if node is not None:
                showAnew(node)

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

    @contextmanager
    def _answer(self) -> Iterator[None]:
        """Whoever is told now is told from within an event of a point's widget."""
        before, self._answering = self._answering, True
        try:
            yield
        finally:
            self._answering = before

    def _onDragStarted(self, *_: Any) -> None:
        self._dragging = True

    def _onDragEnded(self, *_: Any) -> None:
        self._dragging = False
        before, (now, _signs) = self._points, self._content(self._node)
        moved = [
            i for i, pair in enumerate(zip(before, now, strict=False)) if np.linalg.norm(np.subtract(*pair)) > MOVED_MM
        ]
        waiting, self._waiting = self._waiting, None
        with self._answer():
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
        with self._answer():
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
        with self._answer():
            for index in flipped:
                self._onFlipped(index)

    def _alive(self, node: Any) -> Any | None:
        """The node, unless it left the scene, as when the scene is closed."""
        return node if node is not None and node.GetScene() is self._scene else None


def _ras(values: Sequence[float]) -> Ras:
    x, y, z = (float(value) for value in values)
    return x, y, z
