"""A volume, a segmentation and an editor with this extension's effect, for tests of the effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .editor_widget import EditorWidget
from .qt_host import QtHost
from .recorded_logic import RecordedLogic
from .views import Views

NAME = "SAM3DSegment"


class EffectBench:
    """The effect in a headless Slicer, until `close`.

    makeLogic: gives the EditorLogic; without it, `logic` is a RecordedLogic that shows the Status in `logic.status`.
    sceneFile: a saved scene to open, with its first volume, segmentation and editor, in the place of made-up ones.
    """

    def __init__(
        self,
        *,
        volume_ijk: ArrayLike | None = None,
        ijkToRas: ArrayLike | None = None,
        segments: Sequence[str] = ("Segment_1", "Segment_2"),
        withViews: bool = False,
        mainWindow: bool = True,
        makeLogic: Callable[[], Any] | None = None,
        sceneFile: Path | None = None,
    ) -> None:
        self.host = QtHost(mainWindow=mainWindow)
        self.scene = self.host.scene
        self.views = Views(self.scene) if withViews else None
        self.registered = self.host.registerEffect()
        if sceneFile is None:
            data = brightBall() if volume_ijk is None else np.asarray(volume_ijk)
            self.volume = self.scene.addVolume(data, ijkToRas=ijkToRas, shown=True)
            self.segmentation = self.scene.addSegmentation(self.volume, segments=segments)
        else:
            self.scene.open(sceneFile)
            self.volume, self.segmentation = self._first("ScalarVolume"), self._first("Segmentation")
        if self.views:
            self.views.show(self.volume)
        self.logic = makeLogic() if makeLogic else RecordedLogic(self.data.Status())
        self.editor = self.addEditor(parameters=self._first("SegmentEditor"))

    @property
    def data(self) -> Any:
        """The module of values of the logic."""
        import SAM3DSegmentLib.Editor.EditorData

        return SAM3DSegmentLib.Editor.EditorData

    def addEditor(
        self, segmentation: Any = None, *, views: Sequence[Any] | None = None, parameters: Any = None
    ) -> EditorWidget:
        """Another Segment Editor widget with the effect; it hears all views unless some are given."""
        if views is None:
            views = self.views.all if self.views else ()
        segmentation = segmentation or self.segmentation
        editor = self.host.addEditor(segmentation, self.volume, views=views, parameters=parameters)
        self.controllerOf(editor)._makeLogic = lambda: self.logic
        return editor

    def _first(self, kind: str) -> Any:
        """The scene's first node of a class vtkMRML<kind>Node, or None."""
        return self.scene.mrml.GetFirstNodeByClass(f"vtkMRML{kind}Node")

    def activate(self, editor: EditorWidget | None = None) -> None:
        (editor or self.editor).setActiveEffectByName(NAME)

    def deactivate(self) -> None:
        self.editor.setActiveEffectByName("")

    @property
    def scripted(self) -> Any:
        return self.editor.effects[NAME]

    @property
    def effect(self) -> Any:
        return self.scripted.self()

    @property
    def controller(self) -> Any:
        return self.effect.controller

    @property
    def options(self) -> Any:
        return self.effect.options

    def controllerOf(self, editor: EditorWidget) -> Any:
        return editor.effects[NAME].self().controller

    def close(self) -> None:
        self.host.close()
        if self.views:
            self.views.close()


def brightBall(size: int = 40, *, radius: float = 9.0, noise: float = 8.0) -> NDArray[np.int16]:
    """int16 (size, size, size): a ball of 400 in 100, with noise; the ball is a third of its radius off the centre."""
    i, j, k = np.indices((size,) * 3)
    center = size / 2 + np.array([radius / 3, 0, 0])
    inside = (i - center[0]) ** 2 + (j - center[1]) ** 2 + (k - center[2]) ** 2 <= radius**2
    values = np.where(inside, 400.0, 100.0) + np.random.default_rng(0).normal(scale=noise, size=inside.shape)
    return values.astype(np.int16)
