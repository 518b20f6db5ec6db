"""What is there in files: segmentations with their prompts, label maps, surfaces, scenes. Each whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from sam3dseg.atomic import check_output, replacing, suffix_of
from sam3dseg.imageio import Image, write_mask

from . import scene_file
from .scene_host import image_of
from .segments import SegmentList

SEGMENTATION, LABELS, SURFACE = ".seg.nrrd", ".nii.gz", ".stl"
FORMATS: Mapping[str, str] = {
    SEGMENTATION: "segments with names, colours and clicks",
    LABELS: "label map: 1 is the first segment",
    SURFACE: "surface of each segment",
    scene_file.SUFFIX: "scene of 3D Slicer with image, segments and clicks",
}
LARGEST_LABEL = 255


def save(path: Path, volume: Any, segmentation: Any) -> list[Path]:
    """Write the format that the file's name ends in; gives what was written.

    Of several segments, each has a surface file of its own, with -NAME before the suffix. Raises ValueError for
    another name ending and where there is nothing to write, OSError when a file cannot be written.
    """
    check_output(path, tuple(FORMATS))
    segments = SegmentList(segmentation)
    filled = [segment_id for segment_id in segments.ids if not segments.is_empty(segment_id)]
    suffix = suffix_of(path, tuple(FORMATS))
    if suffix == scene_file.SUFFIX:  # without segments it still holds the image
        scene_file.write_scene(path, volume, segmentation)
        return [path]
    if not filled:
        raise ValueError("expected a segment with voxels to save, received none: click inside a structure first")
    if suffix == SEGMENTATION:
        _write_segmentation(path, segmentation)
        return [path]
    image = image_of(volume)
    if suffix == LABELS:
        write_mask(path, _labels(segments, volume), image)
        return [path]
    return _write_surfaces(path, image, {s: (segments.segment(s).GetName(), segments.mask(s, volume)) for s in filled})


def _write_segmentation(path: Path, segmentation: Any) -> None:
    """By Slicer's own writer; the prompts are in the segments' tags."""
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetUseCompression(True)
    with replacing(path) as temporary:
        storage.SetFileName(str(temporary.resolve()))
        if not storage.WriteData(segmentation):
            raise OSError("the segments could not be written; is the disk full?")


def _labels(segments: SegmentList, volume: Any) -> NDArray[np.uint8]:
    """1 for the first segment and so on, (I, J, K); where segments overlap, the later one."""
    ids = segments.ids
    if len(ids) > LARGEST_LABEL:
        raise ValueError(
            f"expected at most {LARGEST_LABEL} segments in a label map, received {len(ids)}: save {SEGMENTATION}"
        )
    labels = np.zeros(image_of(volume).shape, dtype=np.uint8)
    for number, segment_id in enumerate(ids, start=1):
        labels[segments.mask(segment_id, volume)] = number
    return labels


def _write_surfaces(path: Path, image: Image, masks: Mapping[str, tuple[str, NDArray[np.bool_]]]) -> list[Path]:
    from sam3dseg.surface import surface_of, write_surface  # slow to load, and only needed here

    names = _file_names([name for name, _ in masks.values()])
    written = []
    for name, (_, mask) in zip(names, masks.values(), strict=True):
        place = path if len(names) == 1 else path.with_name(f"{path.stem}-{name}{path.suffix}")
        write_surface(place, surface_of(mask, image))
        written.append(place)
    return written


def _file_names(names: list[str]) -> list[str]:
    """The names as files can have them; a number for one that is empty or not the only one of its kind."""
    words = [re.sub(r"[^\w.]+", "_", name).strip("_") for name in names]
    return [word if word and words.count(word) == 1 else str(number) for number, word in enumerate(words, start=1)]
