"""A volume, a segmentation, a segment editor and the editor logic on them, ready for clicks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import vtk
from numpy.typing import ArrayLike, NDArray

from SAM3DSegmentLib.Editor.EditorLogic import EditorLogic, Target
from SAM3DSegmentLib.Editor.EditPorts import LogicPort
from SAM3DSegmentLib.Editor.InferenceEngine import InferenceEngine
from SAM3DSegmentLib.Editor.MaskPlacement import Patch, asImage
from slicer_host.scene import Scene, segmentVoxels

PATIENCE_S = 120.0
SEGMENTS = ("Segment_1", "Segment_2")


class Editing:
    """One volume and one segmentation in a scene; `load(name, device)` gives the engine its segmenter.

    Voxel indices (i, j, k) are the volume's; world points are RAS mm.
    """

    def __init__(
        self,
        scene: Scene,
        load: Callable[[str, str], Any],
        array_ijk: ArrayLike,
        *,
        ijkToRas: ArrayLike | None = None,
        segments: Sequence[str] = SEGMENTS,
        logic: EditorLogic | None = None,
    ) -> None:
        self.scene = scene
        self.volume = scene.addVolume(array_ijk, ijkToRas=ijkToRas)
        self.segmentation = scene.addSegmentation(self.volume, segments=segments)
        self.editor = scene.addEditor(self.segmentation, self.volume, segments[0])
        self.parameters = self.editor.GetSegmentEditorNode()
        self.logic = logic or EditorLogic(engine=InferenceEngine(load))
        self.events: list[str] = []
        self.logic.addListener(lambda event, target: self.events.append(event))

    def target(self, segmentId: str = SEGMENTS[0]) -> Target:
        port = LogicPort(self.editor, self.segmentation, segmentId)
        return Target(self.volume, self.segmentation, segmentId, port)

    def ras(self, ijk: Sequence[float]) -> tuple[float, float, float]:
        """World point of a voxel's centre."""
        matrix = vtk.vtkMatrix4x4()
        self.volume.GetIJKToRASMatrix(matrix)
        point = [0.0, 0.0, 0.0]
        self.volume.TransformPointToWorld(matrix.MultiplyPoint((*map(float, ijk), 1.0))[:3], point)
        return tuple(point)

    def click(
        self, ijk: Sequence[float], *, isForeground: bool = True, segmentId: str = SEGMENTS[0], waits: bool = True
    ) -> None:
        """Click a voxel, and wait for the answer unless told otherwise."""
        self.logic.addClick(self.target(segmentId), self.ras(ijk), isForeground)
        if waits:
            self.settle()

    def settle(self) -> None:
        """Poll until nothing is left to do."""
        limit = time.monotonic() + PATIENCE_S
        while self.logic.isBusy or self.logic.needsPoll:
            self.logic.poll()
            assert time.monotonic() < limit, "the logic does not come to rest"

    def mask(self, segmentId: str = SEGMENTS[0]) -> NDArray[np.bool_]:
        """The segment as bool (I, J, K) on the volume's grid."""
        return segmentVoxels(self.segmentation, segmentId, self.volume)

    def paint(
        self, lower: Sequence[int], upper: Sequence[int], *, mode: str = "add", segmentId: str = SEGMENTS[0]
    ) -> None:
        """What another effect does: a box of voxels (both ends included) painted or erased, as one undo state."""
        shape = np.subtract(upper, lower) + 1
        port = LogicPort(self.editor, self.segmentation, segmentId)
        port.saveUndo()
        port.apply(asImage(Patch(np.ones(shape, dtype=bool), tuple(lower)), port.geometry()), mode)

    def status(self, segmentId: str = SEGMENTS[0]) -> Any:
        return self.logic.statusOf(self.target(segmentId))

    def undo(self) -> None:
        self.editor.Undo()
        self.logic.poll()

    def redo(self) -> None:
        self.editor.Redo()
        self.logic.poll()

    def close(self) -> None:
        self.logic.close()
        self.editor = self.parameters = None


def twoBlobs(shape: Sequence[int] = (48, 44, 40)) -> NDArray[np.int16]:
    """A bright ball about (14, 20, 18), radius 7, and a less bright one about (34, 24, 22), radius 6, in the dark."""
    volume = np.zeros(shape, dtype=np.int16)
    volume[ball(shape, (14, 20, 18), 7)] = 200
    volume[ball(shape, (34, 24, 22), 6)] = 150
    return volume


def ball(shape: Sequence[int], center: Sequence[float], radius: float) -> NDArray[np.bool_]:
    """Bool ball in a volume of `shape`, in voxels."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return sum((a - c) ** 2 for a, c in zip(axes, center, strict=True)) <= radius**2


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Overlap of two masks, 0 to 1."""
    return 2 * float((first & second).sum()) / max(1, int(first.sum()) + int(second.sum()))
