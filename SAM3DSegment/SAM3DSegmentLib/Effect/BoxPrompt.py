"""A box that the user draws as a markups ROI, and its corners. No Qt."""

from __future__ import annotations

import itertools

import slicer

NODE_NAME = "SAM 3D box"
COLOR = (1.0, 0.85, 0.1)


class BoxPrompt:
    """At most one ROI at a time; it is not saved with the scene."""

    def __init__(self) -> None:
        self._id: str | None = None

    @property
    def node(self):
        """The ROI node, or None when there is none (any more)."""
        return slicer.mrmlScene.GetNodeByID(self._id) if self._id else None

    @property
    def isOpen(self) -> bool:
        return self.node is not None

    def start(self) -> None:
        """Make an empty ROI and let the next clicks in any view place it."""
        self.remove()
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsROINode")
        node.UnRegister(None)
        node.SetName(slicer.mrmlScene.GetUniqueNameByString(NODE_NAME))
        node.SaveWithSceneOff()
        node.SetHideFromEditors(True)  # a saved scene would list its name
        slicer.mrmlScene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSelectedColor(*COLOR)
        display.SetFillOpacity(0.1)
        display.SetPropertiesLabelVisibility(False)
        display.SetHandlesInteractive(True)
        self._id = node.GetID()
        selection, interaction = _singletons()
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsROINode")
        selection.SetActivePlaceNodeID(self._id)
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)

    def corners(self) -> list[tuple[float, float, float]] | None:
        """The eight corners in world RAS, mm; None while the box is not drawn."""
        node = self.node
        if node is None:
            return None
        size = [0.0, 0.0, 0.0]
        node.GetSizeWorld(size)
        if min(size) <= 0.0:
            return None
        toWorld = node.GetObjectToWorldMatrix()
        signs = itertools.product((-0.5, 0.5), repeat=3)
        return [toWorld.MultiplyPoint((*(s * n for s, n in zip(sign, size, strict=True)), 1.0))[:3] for sign in signs]

    def remove(self) -> None:
        node = self.node
        self._id = None
        if node is None:
            return
        _selection, interaction = _singletons()
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        slicer.mrmlScene.RemoveNode(node.GetDisplayNode())  # it would stay, and with it what it draws
        slicer.mrmlScene.RemoveNode(node)


def _singletons():
    logic = slicer.app.applicationLogic()
    return logic.GetSelectionNode(), logic.GetInteractionNode()
