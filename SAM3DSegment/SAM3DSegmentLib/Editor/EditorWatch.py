"""Watches what an editor edits: its selection, the segmentation's content and the image. No Qt."""

from __future__ import annotations

import slicer
import vtk


class EditorWatch:
    """Calls onSelection() when another segment, segmentation or volume is selected, and onContent() when the selected
    ones change. Both may come several times for one change.
    """

    def __init__(self, edited, *, onSelection, onContent) -> None:
        self._edited, self._onSelection, self._onContent = edited, onSelection, onContent
        self._parameters: list[tuple] = []
        self._contents: list[tuple] = []
        self._selected: tuple | None = None

    def start(self) -> None:
        self.stop()
        node = self._edited.parameterNode
        self._observe(self._parameters, node, vtk.vtkCommand.ModifiedEvent, self._onParameters)
        self._selected = self._selection()
        self._watchContents()

    def stop(self) -> None:
        _unobserve(self._parameters)
        _unobserve(self._contents)
        self._selected = None

    def _onParameters(self, *_) -> None:
        """The node also holds masking and parameters, so most of its changes are no selection."""
        selection = self._selection()
        if selection == self._selected:
            return
        self._selected = selection
        self._watchContents()
        self._onSelection()

    def _selection(self) -> tuple:
        node = self._edited.parameterNode
        if node is None:
            return ()
        nodes = (node.GetSourceVolumeNode(), node.GetSegmentationNode())
        return (*(n.GetID() if n else None for n in nodes), node.GetSelectedSegmentID())

    def _watchContents(self) -> None:
        _unobserve(self._contents)
        node = self._edited.parameterNode
        if node is None:
            return
        changed = lambda *_: self._onContent()  # noqa: E731
        core, image = slicer.vtkSegmentation, slicer.vtkMRMLVolumeNode
        moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        events = (
            # Undo and redo put whole segments back: that is SegmentModified only.
            (node.GetSegmentationNode(), (core.SourceRepresentationModified, core.SegmentModified, moved)),
            # Values changed in place, as by arrayFromVolumeModified, give no other event.
            (node.GetSourceVolumeNode(), (vtk.vtkCommand.ModifiedEvent, image.ImageDataModifiedEvent, moved)),
        )
        for content, wanted in events:
            for event in wanted if content is not None else ():
                self._observe(self._contents, content, event, changed)

    @staticmethod
    def _observe(register: list[tuple], node, event, callback) -> None:
        register.append((node, node.AddObserver(event, callback)))


def _unobserve(register: list[tuple]) -> None:
    for node, tag in register:
        node.RemoveObserver(tag)
    register.clear()
