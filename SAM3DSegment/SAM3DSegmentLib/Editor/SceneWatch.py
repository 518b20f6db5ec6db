"""Tells the editor what happens in the scene: segments changed by others, nodes removed, the scene closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk


class SceneWatch:
    """Observes the nodes it was shown. onChanged(nodeId) comes for a segmentation or volume, onRemoved(node) before a
    node goes, onClosed() before the scene does.
    """

    def __init__(
        self, onChanged: Callable[[str], None], onRemoved: Callable[[Any], None], onClosed: Callable[[], None]
    ) -> None:
        self._onChanged, self._onRemoved, self._onClosed = onChanged, onRemoved, onClosed
        self._scene: Any | None = None
        self._observed: dict[str, tuple[Any, list[int]]] = {}  # node id -> object, tags
        self._sceneTags: list[int] = []

    def watch(self, segmentationNode: Any, volumeNode: Any) -> None:
        """Observe these nodes and their scene from now on; again costs nothing."""
        scene = segmentationNode.GetScene()
        if scene is not None and scene is not self._scene:
            self.close()
            self._scene = scene
            self._sceneTags = [
                scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._nodeGoes),
                scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, self._sceneCloses),
            ]
        core = slicer.vtkSegmentation
        # Undo and redo put whole segments back: that is SegmentModified only.
        self._observe(segmentationNode, (core.SourceRepresentationModified, core.SegmentModified, core.SegmentRemoved))
        # Values changed in place, as by arrayFromVolumeModified, give ModifiedEvent only.
        self._observe(volumeNode, (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent))

    def close(self) -> None:
        """Observe nothing any more."""
        for name in list(self._observed):
            self._ignore(name)
        if self._scene is not None:
            for tag in self._sceneTags:
                self._scene.RemoveObserver(tag)
        self._scene, self._sceneTags = None, []

    def _observe(self, node: Any, events: tuple) -> None:
        name = node.GetID() or ""
        if name in self._observed:
            return

        def changed(caller: Any, event: str) -> None:
            self._onChanged(name)

        self._observed[name] = node, [node.AddObserver(event, changed) for event in events]

    def _ignore(self, name: str) -> None:
        node, tags = self._observed.pop(name)
        for tag in tags:
            node.RemoveObserver(tag)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _nodeGoes(self, caller: Any, event: str, node: Any) -> None:
        name = node.GetID() or ""
        if name in self._observed:
            self._ignore(name)
            self._onRemoved(node)

    def _sceneCloses(self, caller: Any, event: str) -> None:
        for name in list(self._observed):
            self._ignore(name)
        self._onClosed()
