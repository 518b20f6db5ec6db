"""Features of a frozen encoder, computed once for every variant of a case and kept in half precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3dseg.adapters import digest_of
from sam3dseg.proposals.features import SlicedVolume, VolumePlan, features_of

from ..progress import watched
from .cache import Cache, CaseRecord
from .class_maps import label_map
from .kept_tensors import KeptTensors
from .variants import AXES, Variant

FORMAT = 1
NOUN = "features"
PLACES = 400  # voxels of every label that are noted, for patches that hold it
FEATURES, LABELS, PLACED = "features", "labels", "places"


@dataclass(frozen=True, slots=True)
class FeatureRecipe:
    """What the features of a case follow from, besides the encoder.

    patch: the fewest samples (slices, rows, columns) of a volume.  mirror: canonical axes that variants are mirrored
    along, letters of AXES.
    """

    plan: VolumePlan
    patch: tuple[int, int, int]
    mirror: str
    seed: int

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "plan": self.plan.as_config(), "patch": list(self.patch)}


@dataclass(frozen=True)
class FeatureCache:
    """Files of one folder by case and variant: features (C, d, h, w) float16; labels (D, H, W), values of the case's
    label map; places (N, 4) int32, a label value and a sample that has it.
    """

    folder: Path
    recipe: FeatureRecipe
    variants: int

    @property
    def kept(self) -> KeptTensors:
        return KeptTensors(self.folder, NOUN)

    def name(self, record: CaseRecord, variant: int) -> str:
        """The file's name; it changes with the case's content."""
        return f"{record.key}-{record.digest[:12]}-{variant}"

    def shapes(self, record: CaseRecord, variant: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the features and of the labels."""
        return self.kept.shape(self.name(record, variant), FEATURES), self.kept.shape(
            self.name(record, variant), LABELS
        )

    def make(
        self, network: Any, cache: Cache, training: Sequence[CaseRecord], held_out: Sequence[CaseRecord] = ()
    ) -> int:
        """Encode what is missing: all variants of the training cases, the others as they are -> how many were encoded.

        Features of another encoder, recipe or case, and damaged ones, are made again; what a stopped run made is kept.
        Raises OSError when the disk is full, ValueError for a damaged case or one that the plan cannot cut.
        """
        kept = self.kept
        wanted = [(record, variant) for record in training for variant in range(self.variants)]
        wanted += [(record, 0) for record in held_out]
        encoder = digest_of(network.image_encoder.state_dict())
        cases = {record.key: record.digest for record, _ in wanted}
        kept.begin({"format": FORMAT, "encoder": encoder, "recipe": self.recipe.as_json()}, cases=cases)
        missing = [wanted[place] for place in kept.missing([self.name(*pair) for pair in wanted])]
        network.image_encoder.eval()
        for record, variant, tensors in watched(self._encoded(network, cache, missing), len(missing), noun="volumes"):
            kept.write(self.name(record, variant), tensors)
        kept.complete()
        return len(missing)

    def _encoded(
        self, network: Any, cache: Cache, wanted: Sequence[tuple[CaseRecord, int]]
    ) -> Iterator[tuple[CaseRecord, int, dict[str, Tensor]]]:
        recipe, plan = self.recipe, self.recipe.plan
        for record, number in wanted:
            case = cache.read(record.key)
            variant = Variant.of(number, seed=recipe.seed, case=record.key, mirror=recipe.mirror)
            image, labels = variant.apply(case.image, case.labels, case.spacing_mm)
            try:
                slices = SlicedVolume(image, case.spacing_mm, plan, at_least=recipe.patch)
            except ValueError as error:
                raise ValueError(f"{record.key}: {error}") from error
            values = label_map(labels, case.spacing_mm, plan, slices.block)
            tensors = {
                FEATURES: features_of(network, slices).half().cpu().contiguous(),
                LABELS: torch.from_numpy(values),
                PLACED: torch.from_numpy(_places(values, np.random.default_rng((recipe.seed, number)))),
            }
            yield record, number, tensors


def mirrored_axes(letters: str) -> str:
    """Checked letters of AXES, in their order; raises ValueError for others."""
    if set(letters.upper()) - set(AXES):
        raise ValueError(
            f"proposals.mirror={letters}: expected letters of {AXES} (right, anterior, superior) or nothing"
        )
    return "".join(axis for axis in AXES if axis in letters.upper())


def _places(labels: NDArray, rng: np.random.Generator) -> NDArray[np.int32]:
    """(N, 4): label value and sample, up to PLACES of each value."""
    found = np.flatnonzero(labels)
    values = labels.reshape(-1)[found]
    rows = []
    for value in np.unique(values):
        places = found[values == value]
        places = rng.choice(places, PLACES, replace=False) if len(places) > PLACES else places
        where = np.stack(np.unravel_index(places, labels.shape), axis=1)
        rows.append(np.concatenate([np.full((len(places), 1), value), where], axis=1))
    return np.concatenate(rows).astype(np.int32) if rows else np.zeros((0, 4), np.int32)
