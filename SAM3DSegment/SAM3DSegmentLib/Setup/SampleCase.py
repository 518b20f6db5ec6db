"""A volume to try the effect on: Slicer's own sample when it may be downloaded, else one made here. No Qt."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

SAMPLE = "MRHead"
SAMPLE_FILE = "MR-head.nrrd"  # as SampleData keeps it in the cache
PHANTOM = "SAM3DSegmentSample"
SPACING_MM = (2.0, 2.0, 2.5)
SHAPE = (112, 96, 64)
AIR, FAT, MUSCLE = -1000, -90, 50  # HU


@dataclass(frozen=True)
class Organ:
    """An ellipsoid of the made-up body. centre and radii in mm from the middle of the volume, along R, A, S."""

    name: str
    hu: int
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]


BODY = Organ("body", FAT, (0, 0, 0), (100, 80, 400))
WALL = Organ("wall", MUSCLE, (0, 0, 0), (90, 70, 400))
ORGANS = (
    Organ("cavity", -40, (0, 12, 0), (78, 50, 60)),
    Organ("liver", 110, (34, 16, 6), (36, 34, 40)),
    Organ("spleen", 135, (-52, -2, 16), (17, 24, 26)),
    Organ("right kidney", 210, (40, -30, -34), (19, 17, 30)),
    Organ("left kidney", 210, (-40, -30, -30), (19, 17, 30)),
    Organ("spine", 260, (0, -46, 0), (17, 15, 400)),
)


def phantom() -> NDArray[np.int16]:
    """A CT-like abdomen (I, J, K) int16 in HU, axes towards R, A, S, always the same."""
    volume = np.full(SHAPE, AIR, dtype=np.float32)
    for organ in (BODY, WALL, *ORGANS):
        volume[insideOf(organ)] = organ.hu
    rng = np.random.default_rng(3)
    texture = _smooth(rng.normal(0, 20, SHAPE).astype(np.float32))
    return np.round(_smooth(volume) + texture + rng.normal(0, 6, SHAPE)).astype(np.int16)


def insideOf(organ: Organ) -> NDArray[np.bool_]:
    """(I, J, K), True inside the ellipsoid; what later organs cover is not taken out."""
    squares: Any = 0
    for offsets, centre, radius in zip(_offsets_mm(), organ.centre, organ.radii, strict=True):
        squares = squares + ((offsets - centre) / radius) ** 2
    return squares <= 1


def organ(name: str) -> Organ:
    """One of ORGANS; raises ValueError naming them all."""
    for candidate in ORGANS:
        if candidate.name == name:
            return candidate
    raise ValueError(f"no organ {name!r}: expected one of {', '.join(o.name for o in ORGANS)}")


def phantomVolume(slicer: Any) -> Any:
    """The phantom as a scalar volume node in the scene, its middle in the origin of the world; `organ.centre` is then
    a place in world RAS mm."""
    directions = np.diag([*SPACING_MM, 1.0])
    directions[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(SHAPE, SPACING_MM, strict=True)]
    array = np.ascontiguousarray(phantom().T)  # (K, J, I), as Slicer has it
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=directions, name=PHANTOM)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(400, 60)
    return node


def isSampleCached(slicer: Any) -> bool:
    """Whether Slicer has downloaded its sample before."""
    folder = slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()
    return bool(folder) and (Path(folder) / SAMPLE_FILE).is_file()


def loadSample(slicer: Any, *, mayDownload: bool) -> Any:
    """Slicer's MRHead, when it is in the cache or may be downloaded, else the phantom.

    A failing download is logged and the phantom taken: trying the effect needs no network.
    """
    if mayDownload or isSampleCached(slicer):
        try:
            import SampleData

            node = SampleData.SampleDataLogic().downloadMRHead()
        except Exception as error:  # whatever the network, the server or another module's code raises
            log.warning("%s could not be loaded (%s): going on with the made-up volume", SAMPLE, error)
        else:
            if node:
                return node
            log.warning("%s could not be loaded: going on with the made-up volume", SAMPLE)
    return phantomVolume(slicer)


def addSegmentation(slicer: Any, volume: Any) -> tuple[Any, str]:
    """A segmentation node on the grid of a volume, and the id of its one empty segment."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return node, node.GetSegmentation().AddEmptySegment()


def openInEditor(slicer: Any, volume: Any, effectName: str) -> Any:
    """Show the volume, open the Segment Editor with a new segment over it, and pick the effect.

    Gives the editor widget. Raises RuntimeError when the effect is not among the Segment Editor's.
    """
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    segmentation, segmentId = addSegmentation(slicer, volume)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID(segmentId)
    if editor.effectByName(effectName) is None:
        raise RuntimeError(f"the effect {effectName!r} is not in the Segment Editor: restart the application")
    editor.setActiveEffectByName(effectName)
    return editor


def _offsets_mm() -> list[NDArray[np.float32]]:
    """Open grid of distances from the middle voxel, mm."""
    axes = [(np.arange(n, dtype=np.float32) - (n - 1) / 2) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)]
    return list(np.ix_(*axes))


def _smooth(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A scanner's blur: (1, 2, 1) / 4 along each axis, edges kept."""
    for axis in range(3):
        padded = np.pad(array, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        first, middle, last = (np.take(padded, range(s, s + array.shape[axis]), axis) for s in range(3))
        array = (first + 2 * middle + last) / 4
    return array
