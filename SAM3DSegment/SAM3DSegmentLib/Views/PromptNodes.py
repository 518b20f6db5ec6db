"""The markups nodes in which prompts and hint are shown: hidden from lists and files, small, without names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import slicer
import vtk

FOREGROUND_COLOR = (0.15, 0.85, 0.25)
BACKGROUND_COLOR = (0.95, 0.2, 0.15)
HOVER_COLOR = (1.0, 0.9, 0.2)
HINT_COLOR = (0.35, 0.75, 1.0)
GLYPH_SCALE = 2.4  # % of the view's size; markups start at 3
HINT_SCALE = 4.5
OCCLUDED_OPACITY = 0.6  # prompts lie inside what they segment: 3D views show them through its surface


def addPoints(scene: Any, name: str) -> Any:
    """A markups node without points, neither saved with the scene nor listed in selectors."""
    node = scene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.UnRegister(None)
    node.SetName(scene.GenerateUniqueName(name))
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetUndoEnabled(False)
    with _samePlaceNode(scene):
        scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSaveWithScene(False)
    return node


def showAnew(node: Any) -> None:
    """Have the views make anew what they draw of a node, which puts it on top."""
    display, scene = node.GetDisplayNode(), node.GetScene()
    scene.RemoveNode(display)
    scene.AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())


def drawnSegments(scene: Any) -> set[tuple[str, str, str]]:
    """(node, segment, representation) of all that segmentations can draw: their views make actors for these."""
    names = slicer.vtkSegmentationConverter
    representations = (
        names.GetSegmentationBinaryLabelmapRepresentationName(),
        names.GetSegmentationClosedSurfaceRepresentationName(),
    )
    found = set()
    nodes = scene.GetNodesByClass("vtkMRMLSegmentationNode")
    nodes.UnRegister(scene)
    for node in (nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())):
        segmentation = node.GetSegmentation()
        for segmentId in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segmentId)
            found |= {(node.GetID(), segmentId, name) for name in representations if segment.GetRepresentation(name)}
    return found


@contextmanager
def _samePlaceNode(scene: Any) -> Iterator[None]:
    """Slicer takes a new markups node for the one in which Place mode puts its points: not this one."""
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    before = selection and (selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID())
    yield
    if selection:
        selection.SetActivePlaceNodeClassName(before[0])
        selection.SetActivePlaceNodeID(before[1])


def stylePrompts(display: Any) -> None:
    display.SetSelectedColor(FOREGROUND_COLOR)
    display.SetColor(BACKGROUND_COLOR)
    display.SetActiveColor(HOVER_COLOR)
    display.SetGlyphScale(GLYPH_SCALE)
    display.SetGlyphType(slicer.vtkMRMLMarkupsDisplayNode.Sphere3D)
    _styleCommon(display)


def styleHint(display: Any) -> None:
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


def positions(points: Sequence[Sequence[float]]) -> Any:
    """World points (RAS, mm) as markups take them."""
    found = vtk.vtkPoints()
    found.SetDataTypeToDouble()
    for point in points:
        found.InsertNextPoint(*point)
    return found
