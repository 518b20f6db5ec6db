"""A tiny objective that draws random numbers of every kind, and a training of it that can be run as a program."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sam3dseg_training.configs.optim import ComputeConfig, OptimConfig, RecordConfig, ValidationConfig
from sam3dseg_training.curves import read_rows
from sam3dseg_training.loop import LoopConfig, Trainer

NOISE = 0.1
CLOCK = ("minutes", "steps_per_s", "waiting")  # columns that tell of this computer


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The curve of a run, without what hangs on the computer's speed."""
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in read_rows(folder)]


class ToyObjective(nn.Module):
    """Fits a plane; with `noise` the loss depends on the global random numbers of torch, numpy and python."""

    def __init__(self, *, noise: float = 0.0, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))
        self.log_variance = nn.Parameter(torch.zeros(1))
        self.noise = noise

    def forward(self, batch, numbers, *, draw=0, rounds=0):
        x = batch["x"]
        assert numbers == batch["number"].tolist()
        error = (self.network(x).squeeze(1) - x.sum(dim=1)).square().mean()
        if rounds:
            return error, {"dice_1": float(1 - error)}
        drawn = float(torch.rand(())) + float(np.random.rand()) + random.random() if self.noise else 0.0
        loss = error * torch.exp(-self.log_variance).sum() + self.log_variance.sum()
        return loss * (1 + self.noise * drawn), {"error": float(error.detach())}


def toy_batches(batch: int, rank: int = 0, world: int = 1, pause: float = 0.0):
    """Batches that follow from the sample numbers alone."""

    def start(first: int) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            number = first + rank + world * torch.arange(batch)
            yield {"x": torch.sin(number[:, None] * torch.tensor([[1.0, 2.0, 3.0]])), "number": number}
            first += batch * world
            time.sleep(pause)

    return start


def toy_validation(rank: int, world: int):
    """Five batches, shared by the processes."""
    batches = toy_batches(2)(1000)
    return [batch for index, batch in zip(range(5), batches, strict=False) if index % world == rank]


def settings(steps: int = 12, **sections) -> LoopConfig:
    """A quick training in float32 on the CPU that writes down every step; sections replace whole parts."""
    given = {
        "compute": ComputeConfig(accelerator="cpu", precision="float32"),
        "record": RecordConfig(every=1, tensorboard=False),
        "validate": ValidationConfig(every=4),
        "optim": OptimConfig(rate=0.02),
    }
    return LoopConfig(steps=steps, **{**given, **sections})


def toy_trainer(folder: Path, config: LoopConfig | None = None, **options) -> Trainer:
    """Layers in two groups, and a learned weight of the loss."""
    objective = ToyObjective(**options)
    layers = objective.network
    groups = {"encoder": list(layers[0].parameters()), "decoder": list(layers[2].parameters())}
    return Trainer(objective, groups, config or settings(), folder, balance=([objective.log_variance], 0.01))


def train(folder: Path, config: LoopConfig | None = None, *, batch: int = 4, pause: float = 0.0, **options) -> Trainer:
    """Run or resume a training in `folder`."""
    trainer = toy_trainer(folder, config, **options)
    trainer.resume()
    fabric = trainer.fabric
    stream = toy_batches(batch // fabric.world_size, fabric.global_rank, fabric.world_size, pause)
    trainer.run(stream, toy_validation)
    return trainer


if __name__ == "__main__":
    run, devices, strategy, seconds, noise = sys.argv[1:]
    compute = ComputeConfig(accelerator="cpu", precision="float32", devices=int(devices), strategy=strategy)
    record = RecordConfig(every=1, save_steps=3, tensorboard=False)
    train(Path(run), settings(compute=compute, record=record), pause=float(seconds), noise=float(noise))
