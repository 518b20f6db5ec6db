"""Training of the models that answer boxes and clicks in slices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from sam3dseg.checkpoint import Checkpoint
from sam3dseg.models.sam import variant_of

from ..configs.fit import FitConfig
from ..data.cache import Cache
from ..data.slice_samples import CaseSlices, HeldOutSlices
from ..data.splits import split_cases
from ..data.windows import loader
from ..slice_training import SliceObjective
from .embeddings import ENCODINGS, EncodedWindows, encode_once
from .parts import prepare_network
from .regimen import Regimen, about_data, held_out_batches, refuse_unread

PROMPT_ENCODER = "prompt_encoder."


def build(config: FitConfig, checkpoint: Checkpoint, network: nn.Module, cache: Cache, fabric: Fabric) -> Regimen:
    """Boxes and clicks on slices that show an object.  Raises ValueError for settings or data that do not fit."""
    refuse_unread(config, reads=("slices",), model=f"{checkpoint.architecture}, which is prompted in slices")
    data, facts = config.data, variant_of(**checkpoint.config)
    how = {"image_size": facts.image_size, "preprocessing": checkpoint.config.get("preprocessing", "sam")}
    training, held_out = split_cases(cache.keys, fold=data.fold, folds=data.folds, limit=data.cases)
    samples = CaseSlices(cache, training, data, config.slices, **how, seed=config.seed)
    is_judged = held_out and config.validate.every
    judged = HeldOutSlices(cache, held_out, data, config.slices, **how) if is_judged else None
    torch.manual_seed(config.seed)  # of fresh adapters
    frozen = (PROMPT_ENCODER,) if config.slices.freeze_prompts else ()
    groups = prepare_network(network, config.tune, config.lora, frozen=frozen)
    objective = SliceObjective(network, clicks=config.clicks, loss=config.loss, slices=config.slices, seed=config.seed)
    folder = Path(config.out) / ENCODINGS
    about = {**how, "axis": config.slices.axis, "modality": config.slices.modality, "smallest": config.slices.smallest}

    def batches(first: int) -> Iterator[dict[str, Any]]:
        kept = EncodedWindows(folder, config.seed) if config.embeddings.windows else samples
        return loader(kept, config.batch, config.compute.workers, first, fabric.global_rank, fabric.world_size)

    return Regimen(
        objective=objective,
        groups=groups,
        balance=(list(objective.weighting.parameters()), config.loss.adaptive_rate),
        batches=batches,
        validation=None if judged is None else held_out_batches(config, judged, len(judged)),
        about=about_data(
            cache, labels=list(samples.objects), training=samples.keys, validation=judged.keys if judged else ()
        ),
        begin=lambda: encode_once(config, network, samples, about=about, fabric=fabric),
    )
