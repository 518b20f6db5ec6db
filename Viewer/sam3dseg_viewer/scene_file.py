"""Scenes in .mrb files, as 3D Slicer opens them: the volume, the segmentation with its prompts, and where to look."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from sam3dseg.atomic import replacing

from .scene_check import check_scene

SUFFIX = ".mrb"
VERSION = "Slicer 5.10.0 0"  # the oldest that is supported: Slicer warns of scenes by others, and by later ones
SLICES = {  # Slicer's views: how they lie, and the colour of their frames
    "Red": ("Axial", slicer.vtkMRMLSliceNode.GetRedColor()),
    "Yellow": ("Sagittal", slicer.vtkMRMLSliceNode.GetYellowColor()),
    "Green": ("Coronal", slicer.vtkMRMLSliceNode.GetGreenColor()),
}
PIXELS = 512
FAR = 3.0  # volume sizes from which the camera sees all of it


def write_scene(path: Path, volume: Any, segmentation: Any) -> None:
    """Write both nodes as a scene of their own. Raises OSError when the file cannot be written."""
    with replacing(path) as temporary, _scene() as (scene, folder):
        volume = copied(scene, volume)
        segmentation = copied(scene, segmentation)
        segmentation.SetNodeReferenceID(segmentation.GetReferenceImageGeometryReferenceRole(), volume.GetID())
        _show(scene, volume)
        for node in (volume, segmentation):
            node.AddDefaultStorageNode()
        packed = folder / "scene.mrb"  # Slicer takes the names inside from the file's: any other may be too odd
        if not scene.WriteToMRB(str(packed), None):
            raise OSError("the scene could not be packed; is the disk full?")
        shutil.copyfile(packed, temporary)


@contextmanager
def reading_scene(path: Path) -> Iterator[tuple[Any, Any]]:
    """The first volume and the first segmentation, or None, of a scene file, while it is open.

    Raises ValueError for a file that is no scene, names files outside itself, or holds no volume; OSError for none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such scene: {path}; check the path")
    check_scene(path)
    with _scene() as (scene, _):
        if not scene.ReadFromMRB(str(path.resolve()), False):
            raise ValueError(f"cannot read {path.name}: expected a scene that 3D Slicer or this software saved")
        volume = scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        if volume is None or volume.GetImageData() is None:
            raise ValueError(f"{path.name} holds no volume: expected a scene with an image to click in")
        if volume.GetParentTransformNode() is not None:
            raise ValueError(
                f"{volume.GetName()} is under a transform: harden the transform in 3D Slicer, and save again"
            )
        yield volume, scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")


@contextmanager
def _scene() -> Iterator[tuple[Any, Path]]:
    """An empty scene that can read and write files, and a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="sam3dseg-") as folder, _silent():
        scene = slicer.vtkMRMLScene()
        scene.SetVersion(VERSION)
        scene.SetRootDirectory(folder)
        logic = slicer.vtkSlicerApplicationLogic()
        logic.SetMRMLScene(scene)
        logic.SetTemporaryPath(folder)
        files = slicer.vtkMRMLRemoteIOLogic()
        files.SetMRMLScene(scene)
        files.GetCacheManager().SetRemoteCacheDirectory(folder)
        files.AddDataIOToScene()
        try:
            yield scene, Path(folder)
        finally:
            scene.Clear(True)
            files.RemoveDataIOFromScene()
            files.SetMRMLScene(None)
            logic.SetMRMLScene(None)


@contextmanager
def _silent() -> Iterator[None]:
    """VTK lists every file that it packs."""
    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.SetGlobalWarningDisplay(0)
    try:
        yield
    finally:
        vtk.vtkObject.SetGlobalWarningDisplay(shown)


def copied(scene: Any, node: Any) -> Any:
    """A copy of a volume or segmentation node, with its display, in another scene."""
    copy = scene.AddNewNodeByClass(node.GetClassName(), node.GetName())
    copy.CopyContent(node, node.IsA("vtkMRMLSegmentationNode"))  # both scenes may have the voxels of an image
    copy.CreateDefaultDisplayNodes()
    if node.GetDisplayNode() is not None:
        copy.GetDisplayNode().CopyContent(node.GetDisplayNode())
    return copy


def _show(scene: Any, volume: Any) -> None:
    """What makes Slicer show the whole volume in its views when it opens the scene."""
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    center, size = np.add(bounds[::2], bounds[1::2]) / 2, np.subtract(bounds[1::2], bounds[::2])
    scene.AddNewNodeByClass("vtkMRMLSelectionNode").SetActiveVolumeID(volume.GetID())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    for name, (orientation, color) in SLICES.items():
        _singleton(scene, "vtkMRMLSliceCompositeNode", name).SetBackgroundVolumeID(volume.GetID())
        view = _singleton(scene, "vtkMRMLSliceNode", name)
        view.SetName(name)
        view.SetLayoutLabel(name[0])
        view.SetLayoutColor(color)
        view.SetOrientation(orientation)
        view.SetDimensions(PIXELS, PIXELS, 1)
        view.SetFieldOfView(float(size.max()), float(size.max()), 1.0)
        view.JumpSliceByCentering(*center)
    camera = _singleton(scene, "vtkMRMLCameraNode", "1")
    camera.SetFocalPoint(*center)
    camera.SetPosition(center[0], center[1] + float(size.max()) * FAR, center[2])
    camera.SetViewUp(0.0, 0.0, 1.0)


def _singleton(scene: Any, kind: str, name: str) -> Any:
    """The node of a view of Slicer's: it takes the place of the one that the application has."""
    node = scene.CreateNodeByClass(kind)
    node.UnRegister(None)
    node.SetLayoutName(name)
    node.SetSingletonTag(name)
    return scene.AddNode(node)
