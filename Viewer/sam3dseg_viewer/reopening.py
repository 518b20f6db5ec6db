"""Segmentations from files, with their prompts as prompts: one may go on clicking."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import slicer

from sam3dseg.segmentation_file import is_segmentation, segments_of
from SAM3DSegmentLib.Editor.EditorData import Answerer
from SAM3DSegmentLib.Editor.PromptStore import PromptStore
from SAM3DSegmentLib.Editor.SegmentContent import SegmentReader
from SAM3DSegmentLib.Editor.SourceGeometry import SourceGeometry

from .image_file import check_header
from .scene_host import remove
from .segments import SegmentList

DAMAGED = "cannot read {name}: the file is damaged, or no segmentation; save it again"


def read_segmentation(scene: Any, path: str | os.PathLike[str], volume: Any) -> Any:
    """A new segmentation node with the segments of a .seg.nrrd file, which lie in the volume.

    Raises ValueError for a file that is none, has no segments, or lies elsewhere, OSError for no such file; the scene
    is then as it was.
    """
    path = Path(path)
    if not is_segmentation(path):
        raise ValueError(f"cannot open {path.name} as segments: expected a .seg.nrrd of Slicer or of this software")
    if not path.is_file():
        raise FileNotFoundError(f"no such segmentation: {path}; check the path")
    check_header(path)
    _check_whole(path)
    if not segments_of(path):
        raise ValueError(f"{path.name} has no segments: expected a .seg.nrrd of Slicer or of this software")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", path.name.removesuffix(".seg.nrrd"))
    node.CreateDefaultDisplayNodes()
    try:
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(path.resolve()))
        if not storage.ReadData(node):
            raise ValueError(DAMAGED.format(name=path.name))
        _check_place(path, node, volume)
    except ValueError:
        remove(scene, node)
        raise
    return node


def adopt_prompts(segmentation: Any, volume: Any, model: str) -> None:
    """Take prompts that the command line kept as those of the segments as they are now.

    The command line says neither which image they were given on nor what they answered. Is the answer another one here,
    the engine goes on from the segment's voxels.
    """
    store, reader, segments = PromptStore(), SegmentReader(), SegmentList(segmentation)
    fingerprint = SourceGeometry(volume).fingerprint()
    for segment_id in segments.ids:
        segment = segments.segment(segment_id)
        kept = store.read(segment)
        if kept is not None and kept.step.groups and not (kept.content or kept.image or kept.model.name):
            digest = reader.read(segmentation, segment_id).digest
            store.write(segment, replace(kept, content=digest, image=fingerprint, model=Answerer(model)))


def _check_whole(path: Path) -> None:
    """Raise ValueError for a damaged file: Slicer's own reader would end the process."""
    try:
        sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise ValueError(DAMAGED.format(name=path.name)) from error


def _check_place(path: Path, node: Any, volume: Any) -> None:
    segments = SegmentList(node)
    filled = [segment_id for segment_id in segments.ids if not segments.is_empty(segment_id)]
    if filled and not any(segments.mask(segment_id, volume).any() for segment_id in filled):
        raise ValueError(
            f"{path.name} lies outside {volume.GetName()}: expected segments of this image; open their image first"
        )
