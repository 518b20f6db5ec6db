"""The whole chain: mouse events in views, the effect, the editor's logic, and Slicer's own segment editor."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vtk
from numpy.typing import ArrayLike, NDArray

from .editing import twoBlobs
from .editor_widget import EditorWidget
from .effect_bench import EffectBench
from .scene import segmentVoxels

SEGMENTS = ("Segment_1", "Segment_2")


class EffectChain(EffectBench):
    """Two blobs unless another volume is given, in four views, with the effect active.

    load(name, device) gives the engine its segmenter. Voxel indices (i, j, k) are the volume's, world points RAS mm.
    """

    def __init__(
        self,
        load: Callable[[str, str], Any] | None = None,
        *,
        volume_ijk: ArrayLike | None = None,
        ijkToRas: ArrayLike | None = None,
        segments: Sequence[str] = SEGMENTS,
        sceneFile: Path | None = None,
    ) -> None:
        self._isOpen = True
        super().__init__(
            volume_ijk=twoBlobs() if volume_ijk is None else volume_ijk,
            ijkToRas=ijkToRas,
            segments=segments,
            withViews=True,
            makeLogic=lambda: newLogic(load),
            sceneFile=sceneFile,
        )
        self.events: list[str] = []
        self.logic.addListener(lambda event, target: self.events.append(event))
        self.activate()

    def ras(self, ijk: Sequence[float]) -> tuple[float, float, float]:
        """World point of a voxel's centre."""
        matrix = vtk.vtkMatrix4x4()
        self.volume.GetIJKToRASMatrix(matrix)
        point = [0.0, 0.0, 0.0]
        self.volume.TransformPointToWorld(matrix.MultiplyPoint((*map(float, ijk), 1.0))[:3], point)
        return tuple(point)

    def press(self, ijk: Sequence[float], *, view: Any = None, waits: bool = True, **keys: bool) -> None:
        """Left click on a voxel in a slice view (Red unless given), and wait for the answer unless told otherwise."""
        view, ras = view or self.views.red, self.ras(ijk)
        view.node.JumpSlice(*ras)
        view.click(view.xyOf(ras), **keys)
        if waits:
            self.settle()

    def settle(self) -> None:
        """Run the event loop until nothing is left to do."""
        self.host.wait(lambda: not (self.logic.isBusy or self.logic.needsPoll), timeout_s=120)

    def mask(self, segmentId: str = SEGMENTS[0], *, segmentation: Any = None, volume: Any = None) -> NDArray[np.bool_]:
        """A segment as bool (I, J, K) on the grid of the volume."""
        return segmentVoxels(segmentation or self.segmentation, segmentId, volume or self.volume)

    def paint(
        self, lower: Sequence[int], upper: Sequence[int], *, mode: str = "add", segmentId: str = SEGMENTS[0]
    ) -> None:
        """What another effect does: a box of voxels (both ends included) painted or erased, as one undo state."""
        placement = importlib.import_module("SAM3DSegmentLib.Editor.MaskPlacement")
        ports = importlib.import_module("SAM3DSegmentLib.Editor.EditPorts")
        port = ports.LogicPort(self.editor.logic, self.segmentation, segmentId)
        port.saveUndo()
        crop = np.ones(np.subtract(upper, lower) + 1, dtype=bool)
        port.apply(placement.asImage(placement.Patch(crop, tuple(lower)), port.geometry()), mode)
        self.host.run(0.02)

    def status(self, editor: EditorWidget | None = None) -> Any:
        """What the editor shows of its segment."""
        return self.controllerOf(editor or self.editor)._status()

    def undo(self) -> None:
        self.editor.undo()
        self.host.run(0.02)

    def redo(self) -> None:
        self.editor.redo()
        self.host.run(0.02)

    def close(self) -> None:
        """Raises AssertionError when an observer raised, or the effect returned what Slicer does not take.

        Again does nothing.
        """
        if not self._isOpen:
            return
        self._isOpen = False
        warnings = list(self.scripted.warnings) if self.editor.effects else []
        super().close()
        self.logic.close()
        assert self.scene.errors == []
        assert warnings == []


def newLogic(load: Callable[[str, str], Any] | None = None) -> Any:
    """An EditorLogic of the copy of the package that the host imported; without `load` it loads real models."""
    logic = importlib.import_module("SAM3DSegmentLib.Editor.EditorLogic")
    if load is None:
        return logic.EditorLogic()
    return logic.EditorLogic(
        engine=importlib.import_module("SAM3DSegmentLib.Editor.InferenceEngine").InferenceEngine(load)
    )
