"""The other part of the editor that runs on the worker thread: a model that proposes all structures of a volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .EngineLoading import loadProposer
from .InferenceEngine import Source
from .JobState import JobState
from .MaskPlacement import NOTHING, Patch


@dataclass(frozen=True)
class ProposalJob:
    """One volume to be gone through. model: name or path, and the device."""

    source: Source
    model: tuple[str, str]
    state: JobState = field(default_factory=JobState)


@dataclass(frozen=True)
class ProposedStructure:
    """A class of the model and where it is, in voxels of the volume. color: red, green, blue, 0 to 1."""

    name: str
    color: tuple[float, float, float]
    patch: Patch


class ProposalEngine:
    """Runs one job at a time; the model used last stays loaded."""

    def __init__(self, load: Callable[[str, str], Any] = loadProposer) -> None:
        self._load = load
        self._loaded: tuple[str, str] | None = None
        self._proposer: Any = None

    def run(self, job: ProposalJob) -> tuple[ProposedStructure, ...]:
        """All classes of the model, those found nowhere included. Raises EngineError, Cancelled and ValueError."""
        job.state.check()
        if self._loaded != job.model:
            self._proposer = self._loaded = None
            self._proposer = self._load(*job.model)
            self._loaded = job.model
        source = job.source
        labels = self._proposer.propose(
            source.voxels,
            spacing_mm=source.spacing_mm,
            direction=source.direction,
            check=job.state.check,
            on_progress=job.state.show,
        )
        job.state.check()
        classes = self._proposer.classes
        patches = _patchesOf(labels, len(classes))
        return tuple(
            ProposedStructure(structure.name, tuple(structure.color), patch)
            for structure, patch in zip(classes, patches, strict=True)
        )


def _patchesOf(labels: NDArray[np.uint8], count: int) -> list[Patch]:
    """The crop of each label from 1 to `count` (I, J, K), NOTHING for one that is nowhere."""
    from scipy import ndimage

    patches = []
    for number, region in enumerate(ndimage.find_objects(labels, max_label=count), start=1):
        if region is None:
            patches.append(NOTHING)
            continue
        i, j, k = (int(side.start) for side in region)
        patches.append(Patch(labels[region] == number, (i, j, k)))
    return patches
