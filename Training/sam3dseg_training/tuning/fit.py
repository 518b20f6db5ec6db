"""`sam3dseg-train fit`: from prepared cases and a model to a run folder that `export` makes a model of."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader, Dataset

from sam3dseg.atomic import replacing
from sam3dseg.checkpoint import build_network
from sam3dseg.segmenter import Traits, traits_of

from ..click_training import ClickObjective
from ..configs.fit import FitConfig
from ..configs.resolve import changed_settings, save
from ..data.cache import Cache, CaseRecord, open_cache
from ..data.splits import split_cases
from ..data.windows import CaseWindows, HeldOutWindows, loader
from ..devices import check_window, launch
from ..judging import Validation
from ..loop import LoopConfig, Trainer
from ..memory import explained
from ..stopping import leave_to_parent
from .embeddings import EncodedWindows, keep_encodings
from .export import DATA_FILE
from .parts import prepare_network
from .runs import starting_checkpoint

logger = logging.getLogger(__name__)

ENCODINGS = "encodings"  # folder beside the run


def fit(config: FitConfig) -> Trainer:
    """Run or resume a fine-tuning; returns the trainer when it is over.

    Raises ValueError for settings, data or a run folder that do not fit each other, before anything is written there.
    """
    _check(config)
    fabric = launch(config.compute)
    cache = open_cache(config.data.path)
    data = config.data
    training, held_out = split_cases(cache.keys, fold=data.fold, folds=data.folds, limit=data.cases)
    checkpoint = starting_checkpoint(config)
    traits = traits_of(checkpoint)
    network = build_network(checkpoint)
    _check_crop(config, network, traits)
    check_window(fabric, config.compute, "data.crop", config.data.crop)
    if traits.channels_last:
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    with_sdf = config.loss.sdf > 0
    windows = CaseWindows(cache, training, config.data, traits, config.seed, with_sdf=with_sdf)
    judged = HeldOutWindows(cache, held_out, config.data, traits) if held_out and config.validate.every else None
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
    loop = LoopConfig(
        config.minutes, config.steps, config.seed, config.optim, config.compute, config.validate, config.record
    )
    balance = list(objective.weighting.parameters()), config.loss.adaptive_rate
    folder = Path(config.out)
    with explained(config):
        trainer = Trainer(objective, groups, loop, folder, fabric=fabric, balance=balance)
        if trainer.resume():
            logger.info("going on at step %d, %.1f minutes", trainer.step, trainer.seconds / 60)
        if fabric.is_global_zero:
            _describe(config, cache, windows, judged)
        samples = _encoded(config, network, windows, fabric) if config.embeddings.windows else windows
        workers, rank, world = config.compute.workers, fabric.global_rank, fabric.world_size
        trainer.run(
            lambda first: loader(samples, config.batch, workers, first, rank, world),
            None if judged is None else _validation(config, judged),
        )
    logger.info(
        "the run is complete: sam3dseg-train export %s out=%s",
        shlex.quote(config.out), shlex.quote(f"{folder.resolve().name}.safetensors"),
    )  # fmt: skip
    return trainer


def _check(config: FitConfig) -> None:
    """Refuse settings that would be without effect."""
    if config.embeddings.windows and config.tune != "decoder":
        raise ValueError(f"embeddings.windows needs tune=decoder: tune={config.tune} changes the encodings")
    if config.optim.encoder_first and config.tune not in ("full", "lora"):
        raise ValueError(f"optim.encoder_first needs tune=full or tune=lora, not tune={config.tune}")


def _check_crop(config: FitConfig, network: nn.Module, traits: Traits) -> None:
    fixed = hasattr(network.image_encoder, "pos_embed")  # learned for every place of the window
    if fixed and config.data.crop not in (0, traits.window_size):
        raise ValueError(f"data.crop={config.data.crop}: this network takes windows of {traits.window_size} only")


def _describe(config: FitConfig, cache: Cache, windows: CaseWindows, judged: HeldOutWindows | None) -> None:
    """Write config.yaml and data.json beside the run, and say which settings have changed since it began."""
    folder = Path(config.out)
    changed = changed_settings(config, folder)
    if changed:
        logger.warning("going on with other settings than before: %s", ", ".join(changed))
    save(config, folder)
    records = {record.key: record for record in cache.records}
    content = {
        "dataset": ", ".join(dict.fromkeys(key.partition("/")[0] for key in cache.keys)),
        "cache": config.data.path,
        "labels": list(windows.objects),
        "training": _cases(windows.keys, records),
        "validation": _cases(judged.keys if judged else (), records),
    }
    with replacing(folder / DATA_FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    logger.info("training on %d cases, validating on %d", len(windows.keys), len(judged.keys) if judged else 0)


def _cases(keys: Sequence[str], records: dict[str, CaseRecord]) -> list[dict[str, str]]:
    return [{"case": key, "digest": records[key].digest} for key in keys]


def _encoded(config: FitConfig, network: nn.Module, windows: CaseWindows, fabric: Fabric) -> Dataset:
    """The encodings of some windows of every case, made once by the first process."""
    folder = Path(config.out) / ENCODINGS
    count = config.embeddings.windows * len(windows.keys)
    about = {
        "cases": list(windows.keys),
        "objects": list(windows.objects),
        "size": windows.size,
        "augment": config.data.augment,
        "targets": config.data.targets,
        "sdf": windows.with_sdf,
        "seed": config.seed,
    }
    if fabric.is_global_zero:
        made = keep_encodings(network, windows, count, folder, about=about, workers=config.compute.workers)
        logger.info("%d encodings in %s, %d of them new", count, folder, made)
    fabric.barrier()
    return EncodedWindows(folder, config.seed)


def _validation(config: FitConfig, judged: HeldOutWindows) -> Validation:
    """Batches of held-out windows, spread over the cases; each process gets every world-th."""
    count = min(config.validate.windows, len(judged))
    chosen = [index * len(judged) // count for index in range(count)]

    def share(rank: int, world: int) -> Iterable[dict[str, Any]]:
        return DataLoader(
            judged,
            batch_size=config.batch,
            sampler=chosen[rank::world],
            num_workers=config.compute.workers,
            worker_init_fn=leave_to_parent,
            generator=torch.Generator(),  # the training's own random numbers stay where they are
        )

    return share
