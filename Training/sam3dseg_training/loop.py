"""The training loop: cosine schedule with warm-up, clipping, weight averaging, atomic checkpoints, resume, curves."""

from __future__ import annotations

import csv
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How long and how hard to train.  The schedule follows `minutes` of training time, or `steps` when that is 0."""

    minutes: float = 60.0
    steps: int = 0
    learning_rate: float = 1e-3
    final_rate: float = 0.02  # share of the learning rate left at the end
    weight_decay: float = 0.02
    warmup: float = 0.02  # share of the schedule
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    precision: str = "bf16"  # or "float32"
    save_minutes: float = 3.0
    log_every: int = 20


class Trainer:
    """Runs `loss_of(batch) -> (loss, measures)` over batches and keeps what is needed to go on after a stop.

    The run folder holds `last.pt` (weights, averaged weights, optimiser, position) and `curve.csv`.
    """

    def __init__(self, network: nn.Module, config: LoopConfig, folder: Path) -> None:
        self.network, self.config, self.folder = network, config, folder
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
        )
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def progress(self) -> float:
        """Share of the schedule that is behind, 0 to 1."""
        if self.config.steps:
            return min(1.0, self.step / self.config.steps)
        return min(1.0, self.seconds / (60 * self.config.minutes))

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine down to the final rate."""
        if self.progress < self.config.warmup:
            return self.config.learning_rate * max(self.progress / self.config.warmup, 0.01)
        share = (self.progress - self.config.warmup) / (1 - self.config.warmup)
        low = self.config.final_rate
        return self.config.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))

    def run(self, batches: Iterator[Any], loss_of: Callable[[Any], tuple[Tensor, dict[str, float]]]) -> None:
        """Train until the schedule ends; raises ValueError when the loss is no longer a number."""
        saved, clock, recent = self.seconds, time.monotonic(), []
        while self.progress < 1:
            batch = next(batches)
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
                loss, measures = loss_of(batch)
            if not torch.isfinite(loss):
                raise ValueError(
                    f"the loss became {loss.item()} at step {self.step}: lower the learning rate and resume"
                )
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
            self.optimiser.step()
            self._update_average()
            self.step += 1
            now = time.monotonic()
            self.seconds, clock = self.seconds + now - clock, now
            recent.append({"loss": float(loss.detach()), "norm": float(norm), **measures})
            if len(recent) == self.config.log_every:
                self._log(recent)
                recent = []
            if self.seconds - saved > 60 * self.config.save_minutes:
                self.save()
                saved = self.seconds
        self.save()

    def _update_average(self) -> None:
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)

    def _log(self, recent: list[dict[str, float]]) -> None:
        row = {"step": self.step, "minutes": round(self.seconds / 60, 2), "rate": f"{self.learning_rate():.2e}"}
        row |= {name: round(sum(r[name] for r in recent) / len(recent), 4) for name in recent[0]}
        logger.info(" ".join(f"{name} {value}" for name, value in row.items()))
        path = self.folder / "curve.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)

    def save(self) -> None:
        """Write last.pt in one step: a stop at any moment leaves the previous or the new file, never half of one."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "random": torch.get_rng_state(),
        }
        temporary = self.folder / "last.pt.part"
        torch.save(state, temporary)
        os.replace(temporary, self.folder / "last.pt")

    def resume(self) -> bool:
        """Take up last.pt where there is one; False when the run is new."""
        path = self.folder / "last.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise ValueError(
                f"{path} was trained with another architecture: give the run another folder "
                f"({str(error).splitlines()[0]})"
            ) from error
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        torch.set_rng_state(state["random"])
        return True
