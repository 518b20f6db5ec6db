"""New SAM-3D models: the encoder of another model, a fresh decoder, and a plan that fits the cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sam3dseg.adapters import encoder_of
from sam3dseg.atomic import replacing
from sam3dseg.checkpoint import Checkpoint
from sam3dseg.families import CLICKS_2D, FAMILIES, PROPOSALS
from sam3dseg.models import build
from sam3dseg.proposals.features import MULTIPLES, VolumePlan
from sam3dseg.proposals.structures import MOST, as_config
from sam3dseg.segmenter import traits_of

from ..configs.fit import FitConfig
from ..configs.proposals import AXES
from ..data.cache import Cache, CaseRecord, open_cache
from ..data.feature_cache import mirrored_axes
from ..data.splits import objects_in, objects_of, split_cases
from .new_models import NEW, base_checkpoint

ARCHITECTURE = "sam_3d"
MODEL_FILE = "model.json"  # beside a run: the configuration of its model
LARGEST_PATCH = (64, 176, 176)
LEAST_PIXELS = 224  # along the longer side of a slice of the median case
ANISOTROPY = 1.3  # from here on, slices lie across the coarsest spacing


def new_checkpoint(config: FitConfig) -> Checkpoint:
    """The model that `model=new:sam_3d` starts from: it follows from the settings and the cases.

    Raises ValueError for a backbone that cannot be one, and for settings that do not fit.
    """
    return with_settings(config, new_settings(config, open_cache(config.data.path)))


def with_settings(config: FitConfig, settings: Mapping[str, Any]) -> Checkpoint:
    """The model of these settings: the backbone's encoder, and a decoder that follows from the seed."""
    source = _backbone(config)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        weights = build(ARCHITECTURE, **settings).state_dict()
    encoder, expected = encoder_of(source), encoder_of(Checkpoint(ARCHITECTURE, weights, {}))
    if encoder.keys() != expected.keys():
        raise ValueError(f"proposals.backbone={config.proposals.backbone} has another encoder than its config says")
    return Checkpoint(ARCHITECTURE, {**weights, **encoder}, dict(settings))


def new_settings(config: FitConfig, cache: Cache) -> dict[str, Any]:
    """What a file of the model holds as its config: encoder, classes, plan, patch."""
    source, chosen = _backbone(config), config.proposals
    normalisation = _normalisation(source)
    classes = classes_of(cache, config.data.labels)
    objects = objects_of(cache, config.data.labels)
    data = config.data
    training, _ = split_cases(cache.records, fold=data.fold, folds=data.folds)  # the plan is that of all of them
    records = [record for record in training if objects_in(record, objects)] or list(training)
    axis = _axis(chosen.axis, records)
    plan = VolumePlan(axis, _spacing_mm(chosen.spacing_mm, axis, records, normalisation), normalisation)
    return {
        "encoder": {"architecture": source.architecture, **source.config},
        "classes": classes,
        "plan": plan.as_config(),
        "patch": _patch(chosen.patch, plan, records),
        "mirror": mirrored_axes(chosen.mirror),
    }


def classes_of(cache: Cache, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Name and colour of every class: the labels, or all structures of the cache.  Raises ValueError for too many."""
    names = list(objects_of(cache, labels))
    if len(names) > MOST:
        raise ValueError(f"{len(names)} classes: expected at most {MOST}; choose some with data.labels=[…]")
    return as_config(names)


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Keep the configuration of the model beside its run."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / MODEL_FILE) as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def read_settings(folder: Path) -> dict[str, Any] | None:
    """What `write_settings` wrote, or None; raises ValueError for a damaged file."""
    path = folder / MODEL_FILE
    if not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not {"encoder", "classes", "plan", "patch"} <= settings.keys():
            raise ValueError("entries are missing")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}): resume the run to write it again") from error
    return dict(settings)


def _backbone(config: FitConfig) -> Checkpoint:
    name = config.proposals.backbone
    is_sliced = FAMILIES.get(name.removeprefix(NEW)) == CLICKS_2D
    source = base_checkpoint(name, config.seed, {"variant": "small"} if is_sliced else {})
    if FAMILIES.get(source.architecture) == PROPOSALS:
        raise ValueError(
            f"proposals.backbone={name} is a SAM-3D model: expected one with clicks; to go on training it, give "
            f"model={name}"
        )
    return source


def _normalisation(source: Checkpoint) -> str:
    if FAMILIES.get(source.architecture) == CLICKS_2D:
        return str(source.config.get("preprocessing", "sam"))
    return traits_of(source).normalisation


def _axis(name: str, records: Sequence[CaseRecord]) -> int:
    if name != "auto":
        return AXES.index(name) - 1
    spacing = np.median([record.spacing_mm for record in records], axis=0)
    coarsest = int(np.argmax(spacing))
    others = [spacing[axis] for axis in range(3) if axis != coarsest]
    return coarsest if spacing[coarsest] > ANISOTROPY * max(others) else 2


def _spacing_mm(
    chosen: Sequence[float], axis: int, records: Sequence[CaseRecord], normalisation: str
) -> tuple[float, float, float]:
    if chosen:
        if len(chosen) != 3 or min(chosen) <= 0:
            raise ValueError(f"proposals.spacing_mm={list(chosen)}: expected three numbers of mm, [slice,row,column]")
        return chosen[0], chosen[1], chosen[2]
    spacing = np.median([record.spacing_mm for record in records], axis=0)
    extent = np.median([np.multiply(record.shape, record.spacing_mm) for record in records], axis=0)
    first, rows, columns = VolumePlan(axis).order
    plane = [spacing[rows], spacing[columns]]
    if MULTIPLES[normalisation][0] == 1:  # slices are enlarged until their patches are small
        finest = max(extent[rows], extent[columns]) / LEAST_PIXELS
        plane = [min(min(plane), finest)] * 2
    return tuple(round(float(value), 3) for value in (spacing[first], *plane))  # type: ignore[return-value]


def _patch(chosen: Sequence[int], plan: VolumePlan, records: Sequence[CaseRecord]) -> list[int]:
    multiples = (1 if MULTIPLES[plan.normalisation][0] == 1 else 16, 16, 16)
    if chosen:
        if len(chosen) != 3 or any(side < step or side % step for side, step in zip(chosen, multiples, strict=False)):
            wanted = " x ".join(map(str, multiples))
            raise ValueError(f"proposals.patch={list(chosen)}: expected [slices,rows,columns] in multiples of {wanted}")
        return list(chosen)
    shapes = [plan.block(record.shape, record.spacing_mm).shape for record in records]
    median = np.median(shapes, axis=0)
    sides = zip(median, LARGEST_PATCH, multiples, strict=True)
    return [int(-(-min(side, most) // step) * step) for side, most, step in sides]
