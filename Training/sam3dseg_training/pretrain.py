"""Train the embedded model on made-up volumes alone: `sam3dseg-train synthetic out=runs/embedded`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from sam3dseg.models import build

from .click_training import ClickObjective
from .configs.resolve import changed_settings, save
from .configs.synthetic import ALL, JUDGE, SyntheticConfig
from .devices import check_window, launch
from .loop import LoopConfig, Trainer
from .memory import explained
from .stopping import leave_to_parent
from .synthesis.dataset import SynthesisConfig, SyntheticWindows
from .tuning.parts import keep_frozen_in_eval
from .tuning.runs import read_run, synthetic_weights

logger = logging.getLogger(__name__)

ARCHITECTURE = "compact"
AHEAD = 8  # batches that a worker has ready


def pretrain(config: SyntheticConfig) -> Trainer:
    """Run or resume a training; returns the trainer when its schedule is over.

    Raises ValueError for label maps that are not there, a judge without a run, and a run folder that does not fit.
    """
    if config.label_maps and not Path(config.label_maps).is_dir():
        raise ValueError(f"label_maps must be a folder of NIfTI label maps; there is none at {config.label_maps}")
    if config.part == JUDGE and not config.init:
        raise ValueError("part=judge judges the corrections of a trained network: name its run with init=")
    started_from = synthetic_weights(read_run(config.init, "last")) if config.init else None
    fabric = launch(config.compute)
    check_window(fabric, config.compute, "window", config.window)
    torch.manual_seed(config.seed)
    network = build(ARCHITECTURE).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if started_from is not None:
        network.load_state_dict(started_from)
    trained = network if config.part == ALL else network.mask_decoder.change_judge
    network.requires_grad_(False)
    trained.requires_grad_(True)
    keep_frozen_in_eval(network)
    objective = ClickObjective(network, clicks=config.clicks, loss=config.loss, seed=config.seed)
    loop = LoopConfig(config.minutes, config.steps, config.seed, config.optim, config.compute, record=config.record)
    balance = list(objective.weighting.parameters()), config.loss.adaptive_rate
    folder = Path(config.out)
    with explained(config):
        trainer = Trainer(objective, {"all": list(trained.parameters())}, loop, folder, fabric=fabric, balance=balance)
        if trainer.resume():
            logger.info("going on at step %d, %.1f minutes", trainer.step, trainer.seconds / 60)
        if fabric.is_global_zero:
            changed = changed_settings(config, folder)
            if changed:
                logger.warning("going on with other settings than before: %s", ", ".join(changed))
            save(config, folder)
        trainer.run(lambda first: _batches(config, first, fabric.global_rank, fabric.world_size))
    return trainer


def _batches(config: SyntheticConfig, first: int, rank: int, world: int) -> Iterator[dict[str, Any]]:
    """Endless batches of this process; a resumed run draws new volumes instead of the ones it has seen."""
    synthesis = SynthesisConfig(
        window=config.window, label_maps=config.label_maps or None, seed=config.seed + first * world + rank
    )
    workers = config.compute.workers
    loader = DataLoader(
        SyntheticWindows(synthesis),
        batch_size=config.batch,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        worker_init_fn=leave_to_parent,
    )
    for batch in loader:
        count = len(batch["image"])
        numbers = first + rank + world * torch.arange(count)
        first += world * count
        yield {**batch, "number": numbers}
