"""How a mask reaches a segment: the four calls that a segment editor answers, over an effect or over the logic.

Both write through Slicer's own segment editor, so that the editable area, the intensity range, the overwrite mode and
undo hold. A port is bound to the segment it was made for, whichever one is selected later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import slicer


class EditPort(Protocol):
    """A segment that can be edited. Images are in the space of the segmentation node, in mm."""

    segmentationNode: Any
    segmentId: str

    @property
    def isBound(self) -> bool:
        """Whether the editor still edits this segmentation."""

    def parentTransform(self) -> Any | None:
        """The segmentation's parent transform node, or None."""

    def geometry(self) -> Any:
        """vtkOrientedImageData whose origin, spacing, directions and extent are the segmentation's."""

    def saveUndo(self) -> None:
        """Remember the present state; once per user action, before its first `apply`."""

    def apply(self, image: Any, mode: str) -> None:
        """Write a vtkOrientedImageData (0 and 1) in the segmentation's geometry; mode is "add" or "remove"."""

    def forSegment(self, segmentId: str) -> EditPort:
        """A port for another segment of the same segmentation."""


class LogicPort:
    """A port over vtkSlicerSegmentEditorLogic."""

    def __init__(self, logic: Any, segmentationNode: Any | None = None, segmentId: str | None = None) -> None:
        self._logic = logic
        self.segmentationNode = segmentationNode or logic.GetSegmentationNode()
        self.segmentId = segmentId or logic.GetCurrentSegmentID()

    @property
    def isBound(self) -> bool:
        return _isSame(self._logic.GetSegmentationNode(), self.segmentationNode)

    def parentTransform(self) -> Any | None:
        return self.segmentationNode.GetParentTransformNode()

    def geometry(self) -> Any:
        if not self._logic.UpdateReferenceGeometryImage():
            raise ValueError("expected a segmentation with a geometry, received none: choose a source volume first")
        return self._logic.GetReferenceGeometryImage()

    def saveUndo(self) -> None:
        self._logic.SaveStateForUndo()

    def apply(self, image: Any, mode: str) -> None:
        kind = {"add": self._logic.ModificationModeAdd, "remove": self._logic.ModificationModeRemove}[mode]
        with _selected(self._logic.GetSegmentEditorNode(), self.segmentId):
            self._logic.ModifySegmentByLabelmap(self.segmentationNode, self.segmentId, image, kind, False, False)

    def forSegment(self, segmentId: str) -> LogicPort:
        return LogicPort(self._logic, self.segmentationNode, segmentId)


class EffectPort:
    """A port over the `scriptedEffect` of a Segment Editor effect."""

    def __init__(self, scriptedEffect: Any, segmentationNode: Any | None = None, segmentId: str | None = None) -> None:
        self.scriptedEffect = scriptedEffect
        parameters = scriptedEffect.parameterSetNode()
        self.segmentationNode = segmentationNode or parameters.GetSegmentationNode()
        self.segmentId = segmentId or parameters.GetSelectedSegmentID()

    @property
    def isBound(self) -> bool:
        parameters = self.scriptedEffect.parameterSetNode()
        return parameters is not None and _isSame(parameters.GetSegmentationNode(), self.segmentationNode)

    def parentTransform(self) -> Any | None:
        return self.segmentationNode.GetParentTransformNode()

    def geometry(self) -> Any:
        image = self.scriptedEffect.referenceGeometryImage()
        if image is None:
            raise ValueError("expected a segmentation with a geometry, received none: choose a source volume first")
        return image

    def saveUndo(self) -> None:
        self.scriptedEffect.saveStateForUndo()

    def apply(self, image: Any, mode: str) -> None:
        modes = slicer.qSlicerSegmentEditorAbstractEffect
        kind = {"add": modes.ModificationModeAdd, "remove": modes.ModificationModeRemove}[mode]
        with _selected(self.scriptedEffect.parameterSetNode(), self.segmentId):
            self.scriptedEffect.modifySegmentByLabelmap(self.segmentationNode, self.segmentId, image, kind)

    def forSegment(self, segmentId: str) -> EffectPort:
        return EffectPort(self.scriptedEffect, self.segmentationNode, segmentId)


@contextmanager
def _selected(parameters: Any, segmentId: str) -> Iterator[None]:
    """Let the editor make its mask for `segmentId`, unseen by anyone who watches the selection."""
    chosen = parameters.GetSelectedSegmentID()
    if chosen == segmentId:
        yield
        return
    silent = parameters.GetDisableModifiedEvent()
    parameters.SetDisableModifiedEvent(True)
    parameters.SetSelectedSegmentID(segmentId)
    try:
        yield
    finally:
        parameters.SetSelectedSegmentID(chosen)
        parameters.SetDisableModifiedEvent(silent)


def _isSame(first: Any | None, second: Any | None) -> bool:
    return first is not None and first is second
