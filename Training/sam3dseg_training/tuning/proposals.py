"""Training of SAM-3D: a volume decoder on the features of a frozen encoder, which are computed once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from sam3dseg.checkpoint import Checkpoint
from sam3dseg.proposals.features import VolumePlan

from ..configs.fit import FitConfig
from ..configs.options import refuse_changed
from ..data.cache import Cache
from ..data.feature_cache import FeatureCache, FeatureRecipe, mirrored_axes
from ..data.feature_patches import ClassTables, FeaturePatches, HeldOutFeatures
from ..data.splits import Objects, evenly, objects_in, objects_of, split_cases
from ..data.variants import AXES
from ..data.windows import loader
from ..proposal_training import ProposalObjective
from .new_models import is_new_proposals
from .parts import prepare_network
from .proposal_models import read_settings, write_settings
from .regimen import Regimen, about_data, held_out_batches, refuse_unread

logger = logging.getLogger(__name__)

FEATURES = "features"  # folder beside the run
UNREAD = ("lora", "embeddings", "clicks", "loss", "data.targets", "data.augment", "validate.clicks", "optim.decoder")
FROM_MODEL = ("proposals.backbone", "proposals.axis", "proposals.spacing_mm", "proposals.patch")


def build(config: FitConfig, checkpoint: Checkpoint, network: nn.Module, cache: Cache, fabric: Fabric) -> Regimen:
    """All classes at once on patches of kept features.  Raises ValueError for settings or data that do not fit."""
    _refuse(config)
    data, settings = config.data, checkpoint.config
    objects = _objects(config, settings, cache)
    _check_unbroken(config, settings, cache)
    training, held_out = split_cases(cache.records, fold=data.fold, folds=data.folds, limit=data.cases)
    training, held_out = ([r for r in part if objects_in(r, objects)] for part in (training, held_out))
    if not training:
        raise ValueError(f"no training case holds {', '.join(objects)}: choose other labels, or more cases")
    judged = evenly(held_out, config.validate.windows) if config.validate.every else []
    groups = prepare_network(network, "decoder", config.lora)
    decoder: Any = network.decoder
    decoder.to(memory_format=torch.channels_last_3d)
    mirror, plan = mirrored_axes(config.proposals.mirror), VolumePlan.from_config(settings["plan"])
    free = AXES[plan.axis] if network.encodes_slices else ""  # mirrored features are those of the mirrored volume
    recipe = FeatureRecipe(plan, tuple(settings["patch"]), mirror.replace(free, ""), config.seed)
    features = FeatureCache(_folder(config), recipe, config.proposals.variants)
    tables, stride = ClassTables(cache, objects), network.patch_stride
    patches = FeaturePatches(
        features, training, tables,
        patch=recipe.patch, stride=stride, seed=config.seed, mirror_slices=bool(free) and free in mirror,
    )  # fmt: skip
    if max(patches.size) < 2:
        raise ValueError(f"a patch of {list(recipe.patch)} samples is one feature only: give a larger proposals.patch")
    objective = ProposalObjective(network, names=list(objects), patch=patches.size)

    def batches(first: int) -> Iterator[dict[str, Any]]:
        return loader(patches, config.batch, config.compute.workers, first, fabric.global_rank, fabric.world_size)

    def begin() -> None:
        if fabric.is_global_zero:
            write_settings(Path(config.out), settings)
            made = features.make(network, cache, training, judged)
            logger.info(
                "features of %d cases in %s, %d volumes new", len(training) + len(judged), features.folder, made
            )
        fabric.barrier()

    return Regimen(
        objective=objective,
        groups=groups,
        balance=((), 0.0),
        batches=batches,
        validation=held_out_batches(config, HeldOutFeatures(features, judged, tables), len(judged), batch=1)
        if judged
        else None,
        about=about_data(
            cache,
            labels=list(objects),
            training=[record.key for record in training],
            validation=[record.key for record in held_out],
        ),
        begin=begin,
    )


def _refuse(config: FitConfig) -> None:
    """Raise ValueError for a changed setting that this training does not read."""
    refuse_unread(config, reads=("proposals",), model="SAM-3D")
    refuse_changed(config, UNREAD, "has no effect on SAM-3D: leave it out")
    if not is_new_proposals(config):
        refuse_changed(config, FROM_MODEL, "has no effect on a model that is trained on, which has its own")
    if config.tune in ("full", "encoder"):
        raise ValueError(f"tune={config.tune}: the encoder of SAM-3D is frozen; leave tune= out, or give tune=decoder")


def _objects(config: FitConfig, settings: dict[str, Any], cache: Cache) -> Objects:
    """The classes of the model as objects of the cache; raises ValueError naming both lists when they differ."""
    names = [entry["name"] for entry in settings["classes"]]
    missing = [name for name in names for member in name.split("+") if member not in cache.structure_names]
    chosen = list(objects_of(cache, config.data.labels)) if config.data.labels else names
    if missing or chosen != names:
        there = ", ".join(chosen if config.data.labels else cache.structure_names)
        raise ValueError(
            f"the model has the classes {', '.join(names)}, but {cache.folder} has {there}: give cases with the "
            "model's classes, or start a new model with model=new:sam_3d"
        )
    return objects_of(cache, names)


def _check_unbroken(config: FitConfig, settings: dict[str, Any], cache: Cache) -> None:
    """Raise ValueError when a run that goes on would go on with another model."""
    before = read_settings(Path(config.out))
    if before is None:
        return
    changed = [name for name in ("encoder", "classes", "plan", "patch") if before[name] != settings[name]]
    if changed:
        name = changed[0]
        raise ValueError(
            f"{config.out} began with {name} {before[name]}, received {settings[name]}: give the run another folder"
        )


def _folder(config: FitConfig) -> Path:
    return Path(config.proposals.features or Path(config.out) / FEATURES)
