"""Plans a proposal, and writes it: one segment per class, all as one undo state."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from .EditorData import Ask, Proposed
from .MaskPlacement import Grid, asImage, moved
from .PromptStore import PromptStore
from .ProposalEngine import ProposalJob, ProposedStructure
from .RequestPlanner import sourceOf, volumeGrid
from .SegmentContent import SegmentReader
from .SourceGeometry import SourceGeometry


@dataclass(frozen=True)
class ProposalPlan:
    """A job, and the volume as it was then."""

    ask: Ask
    job: ProposalJob
    geometry: SourceGeometry


def planProposal(ask: Ask, device: str) -> ProposalPlan:
    """Raises ValueError for a volume or a segmentation that cannot be used."""
    geometry = SourceGeometry(ask.target.volumeNode)
    ask.target.port.geometry()
    return ProposalPlan(ask, ProposalJob(sourceOf(geometry), (ask.value, device)), geometry)


class ProposalWriter:
    """An empty segment of a class's name is filled, otherwise a new one is added, of a name that no other has."""

    def __init__(self, reader: SegmentReader, store: PromptStore) -> None:
        self._reader, self._store = reader, store

    def write(self, plan: ProposalPlan, structures: tuple[ProposedStructure, ...]) -> Proposed:
        """Raises ValueError when the editor has gone to another segmentation."""
        target = plan.ask.target
        node, port = target.segmentationNode, target.port
        if not port.isBound:
            raise ValueError(f"the editor left {node.GetName()}: select it again and retry")
        geometry = port.geometry()
        source = volumeGrid(plan.geometry, target.volumeNode)
        grid = Grid.ofImage(geometry, node.GetParentTransformNode())
        port.saveUndo()
        segmentIds: list[str] = []
        missing: list[str] = []
        for structure in structures:
            segmentId = self._segmentFor(node, structure)
            segmentIds.append(segmentId)
            image = asImage(moved(structure.patch, source, grid), geometry)
            if image is None:
                missing.append(structure.name)
            else:
                port.forSegment(segmentId).apply(image, "add")
        return Proposed(target, tuple(segmentIds), tuple(missing))

    def _segmentFor(self, node: Any, structure: ProposedStructure) -> str:
        segmentation = node.GetSegmentation()
        names: dict[str, list[str]] = {}
        for segmentId in segmentation.GetSegmentIDs():
            names.setdefault(segmentation.GetSegment(segmentId).GetName(), []).append(segmentId)
        for segmentId in names.get(structure.name, ()):
            if self._reader.read(node, segmentId).isEmpty:
                self._store.remove(segmentation.GetSegment(segmentId))  # points of an answer that was taken back
                return segmentId
        return segmentation.AddEmptySegment("", _unique(structure.name, names), structure.color)


def _unique(name: str, taken: Container[str]) -> str:
    """The name as it is, or with the first number that makes it one of its kind, as Slicer does."""
    number, unique = 0, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique
