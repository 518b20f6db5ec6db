"""Training of the models that answer clicks in windows of a volume."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from sam3dseg.checkpoint import Checkpoint
from sam3dseg.segmenter import Traits, traits_of

from ..click_training import ClickObjective
from ..configs.fit import FitConfig
from ..data.cache import Cache
from ..data.splits import split_cases
from ..data.windows import CaseWindows, HeldOutWindows, loader
from ..devices import check_window
from .embeddings import ENCODINGS, EncodedWindows, encode_once
from .parts import prepare_network
from .regimen import Regimen, about_data, held_out_batches, refuse_unread


def build(config: FitConfig, checkpoint: Checkpoint, network: nn.Module, cache: Cache, fabric: Fabric) -> Regimen:
    """Clicks on windows around objects.  Raises ValueError for settings or data that do not fit."""
    refuse_unread(
        config,
        reads=("data.crop", "loss.sdf", "clicks.box_share", "clicks.looseness"),
        model=f"{checkpoint.architecture}, which is clicked in 3D windows",
    )
    data, traits = config.data, traits_of(checkpoint)
    training, held_out = split_cases(cache.keys, fold=data.fold, folds=data.folds, limit=data.cases)
    _check_crop(config, network, traits)
    check_window(fabric, config.compute, "data.crop", data.crop)
    if traits.channels_last:
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    windows = CaseWindows(cache, training, data, traits, config.seed, with_sdf=config.loss.sdf > 0)
    judged = HeldOutWindows(cache, held_out, data, traits) if held_out and config.validate.every else None
    torch.manual_seed(config.seed)  # of fresh adapters
    groups = prepare_network(network, config.tune, config.lora)
    objective = ClickObjective(
        network,
        clicks=config.clicks,
        loss=config.loss,
        seed=config.seed,
        stride=traits.window_size // traits.logits_size,
        starts_from_zeros=traits.starts_from_zeros,
    )
    folder = Path(config.out) / ENCODINGS
    about = {"size": windows.size, "sdf": windows.with_sdf}

    def batches(first: int) -> Iterator[dict[str, Any]]:
        samples = EncodedWindows(folder, config.seed) if config.embeddings.windows else windows
        return loader(samples, config.batch, config.compute.workers, first, fabric.global_rank, fabric.world_size)

    return Regimen(
        objective=objective,
        groups=groups,
        balance=(list(objective.weighting.parameters()), config.loss.adaptive_rate),
        batches=batches,
        validation=None if judged is None else held_out_batches(config, judged, len(judged)),
        about=about_data(
            cache, labels=list(windows.objects), training=windows.keys, validation=judged.keys if judged else ()
        ),
        begin=lambda: encode_once(config, network, windows, about=about, fabric=fabric),
    )


def _check_crop(config: FitConfig, network: nn.Module, traits: Traits) -> None:
    fixed = hasattr(network.image_encoder, "pos_embed")  # learned for every place of the window
    if fixed and config.data.crop not in (0, traits.window_size):
        raise ValueError(f"data.crop={config.data.crop}: this network takes windows of {traits.window_size} only")
