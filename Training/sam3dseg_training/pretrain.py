"""Train the embedded model on made-up volumes alone: `sam3dseg-train synthetic --out runs/embedded`."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from sam3dseg.checkpoint import save_checkpoint
from sam3dseg.models import build

from .click_training import ClickTrainingConfig, click_rounds
from .loop import LoopConfig, Trainer
from .synthesis.dataset import SynthesisConfig, SyntheticWindows

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """One run: what is drawn, how it is clicked, how long it trains, and where the result goes."""

    out: Path
    init: Path | None = None  # a run folder whose averaged weights to start from
    batch: int = 4
    workers: int = 1
    threads: int = 0  # 0: as many as torch chooses
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    clicks: ClickTrainingConfig = field(default_factory=ClickTrainingConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


def pretrain(config: PretrainConfig) -> Trainer:
    """Run or resume a training; returns the trainer when its schedule is over."""
    torch.manual_seed(config.synthesis.seed)
    if config.threads:
        torch.set_num_threads(config.threads)
    network = build("compact").to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if config.init is not None:
        network.load_state_dict(torch.load(config.init / "last.pt", weights_only=True)["average"])
    trainer = Trainer(network, config.loop, config.out)
    if trainer.resume():
        logger.info("going on at step %d, %.1f minutes", trainer.step, trainer.seconds / 60)
    # a resumed run draws new volumes instead of the ones it has seen
    synthesis = SynthesisConfig(**{**asdict(config.synthesis), "seed": config.synthesis.seed + trainer.step})
    loader = DataLoader(
        SyntheticWindows(synthesis),
        batch_size=config.batch,
        num_workers=config.workers,
        prefetch_factor=8 if config.workers else None,
    )
    rng = np.random.default_rng((config.synthesis.seed, trainer.step))
    trainer.run(iter(loader), lambda batch: click_rounds(network, batch, rng, config.clicks))
    return trainer


def export(runs: list[Path], path: Path, *, data: list[dict[str, str]], command: str, commit: str) -> None:
    """Write the averaged weights of the last run as a half-precision checkpoint that `load_segmenter` takes.

    runs: the folders in the order they were trained, for the provenance.
    Raises ValueError when the last has no weights.
    """
    last = runs[-1] / "last.pt"
    if not last.exists():
        raise ValueError(
            f"expected a training state at {last}: train first with `sam3dseg-train synthetic --out {runs[-1]}`"
        )
    steps = [torch.load(run / "last.pt", weights_only=True) for run in runs if (run / "last.pt").exists()]
    provenance = {
        "commit": commit,
        "command": command,
        "steps": [state["step"] for state in steps],
        "minutes": [round(state["seconds"] / 60, 1) for state in steps],
        "data": data,
    }
    weights = {name: value.half().contiguous() for name, value in steps[-1]["average"].items()}
    save_checkpoint(path, architecture="compact", config={}, weights=weights, provenance=provenance)
