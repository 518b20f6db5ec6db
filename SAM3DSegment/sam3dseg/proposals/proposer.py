"""Automatic proposals: all structures of a volume at once, by a trained SAM-3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checkpoint import Checkpoint, build_network, require_family
from ..families import PROPOSALS
from ..geometry import Orientation
from ..placed_network import PlacedNetwork
from ..placement import Placement, placements_for
from ..precision_checks import placements_of
from ..request import Progress
from ..segmenter import load_weights
from ..volumes import checked_spacing, checked_volume
from .features import SlicedVolume, VolumePlan, features_of
from .label_grid import LabelGrid
from .sliding import View, slide
from .structures import StructureClass, structures_in

__all__ = ["Proposer", "StructureClass", "load_proposer", "proposer_of"]

Check = Callable[[], None]
Report = Callable[[Progress], None]


class Proposer:
    """Proposes `classes` in volumes with a network that keeps its plan and patch, on the first placement that works."""

    def __init__(
        self, network: Any, *, classes: Sequence[StructureClass], placements: Sequence[Placement], name: str
    ) -> None:
        self.name, self.classes = name, tuple(classes)
        self.plan = VolumePlan.from_config(network.plan)
        self._patch = tuple(network.patch)
        self._mirrored = tuple(place for place, axis in enumerate(self.plan.order) if "RAS"[axis] in network.mirror)
        self._placed = PlacedNetwork(network, placements)

    @property
    def device_line(self) -> str:
        """The device and precision in words, and what ran out of memory before."""
        return self._placed.device_line

    def propose(
        self,
        array_ijk: ArrayLike,
        *,
        spacing_mm: Sequence[float],
        direction: ArrayLike | None = None,
        mirror: bool = False,
        check: Check | None = None,
        on_progress: Report | None = None,
    ) -> NDArray[np.uint8]:
        """Label map (I, J, K) of a volume (I, J, K): 0 background, n is classes[n - 1].

        direction (3, 3): RAS columns of the index axes, None where they are RAS. mirror: average over the volume and
        its mirror images, along the axes that the model was trained for. check is called at every slice and patch and
        may raise, to cancel; on_progress tells how far it is.
        Raises ValueError for a volume that cannot be used, and for mirror with a model that was not trained for it.
        """
        if mirror and not self._mirrored:
            raise ValueError(
                f"{self.name} was not trained on mirrored volumes: expected mirror to be off; leave it off, or train "
                "the model with proposals.mirror=R"
            )
        orientation = Orientation.from_direction(direction)
        image = orientation.to_canonical(checked_volume(array_ijk))
        spacing = orientation.shape_to_canonical(checked_spacing(spacing_mm))
        volume = SlicedVolume(image, spacing, self.plan, at_least=self._patch)
        labels = self._placed.attempt(lambda: self._propose(volume, mirror, check, on_progress))
        return np.ascontiguousarray(orientation.from_canonical(self.plan.turned_back(labels)))

    def _propose(
        self, volume: SlicedVolume, mirror: bool, check: Check | None, on_progress: Report | None
    ) -> NDArray[np.uint8]:
        """Label map in the order of the slices."""
        network: Any = self._placed.network
        views = self._views(volume, mirror, check, on_progress)
        grid = LabelGrid(volume.block, volume.spacing_mm, volume.image_shape)
        stride = network.patch_stride
        slabs = slide(
            network.decoder.finest,
            views,
            patch=[-(-samples // step) for samples, step in zip(self._patch, stride, strict=True)],
            stride=stride,
            check=check,
            on_progress=_told(on_progress, "decoding"),
        )
        for logits in slabs:
            grid.add(logits.cpu().numpy())
        return grid.labels

    def _views(self, volume: SlicedVolume, mirror: bool, check: Check | None, on_progress: Report | None) -> list[View]:
        """Features of the volume, or of every mirrored one; slices mirrored along their stack need no encoding."""
        network: Any = self._placed.network
        free = mirror and network.encodes_slices and 0 in self._mirrored
        axes = [axis for axis in self._mirrored if axis or not free]
        every = chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1))
        views = []
        for flips in every if mirror else [()]:
            with self._placed.reduced_precision():
                told = _told(on_progress, "encoding" + " mirrored" * bool(flips))
                features = features_of(network, volume, flips=flips, check=check, on_progress=told)
            features = features.flip([axis + 1 for axis in flips])
            views.append(View(features, flips))
            if free:
                views.append(View(features, (0, *flips)))
        return views


def load_proposer(name_or_path: str | Path, device: str = "auto", precision: str = "auto") -> Proposer:
    """Model ready to propose: the path of a weights file.

    device: auto, cpu, cuda, cuda:N or mps; precision of its encoder: auto (the fastest that `sam3dseg check` found
    good, float32 without a check), float32, bfloat16, float16 or int8.
    Raises ValueError for an unknown or unavailable device, for missing, damaged or unknown weights, and for a model
    that needs clicks.
    """
    placements_for(device, precision)  # a wrong device is reported before a long read
    path = Path(name_or_path)
    return proposer_of(
        load_weights(name_or_path),
        name=path.stem if path.is_file() else str(name_or_path),
        device=device,
        precision=precision,
    )


def proposer_of(checkpoint: Checkpoint, *, name: str, device: str = "auto", precision: str = "auto") -> Proposer:
    """A whole model as a proposer; device and precision as in `load_proposer`.

    Raises ValueError for an unknown or unavailable device and for weights that cannot be used.
    """
    placements = placements_of(checkpoint, device, precision)
    require_family(checkpoint, name, PROPOSALS)
    classes = structures_in(checkpoint.config, name=name)
    return Proposer(build_network(checkpoint), classes=classes, placements=placements, name=name)


def _told(report: Report | None, text: str) -> Callable[[int, int], None] | None:
    return None if report is None else lambda done, total: report(Progress(done, total, text))
