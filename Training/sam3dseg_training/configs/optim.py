"""Schedule, optimiser and hardware of a training."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option

STRATEGIES = ("auto", "ddp", "fsdp")
PRECISIONS = ("float32", "bf16", "fp16")
OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "poly")


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """AdamW or SGD with linear warm-up, then a cosine or a power down to the final rate."""

    kind: str = option("adamw", "adamw, or sgd with Nesterov momentum", choices=OPTIMISERS)
    schedule: str = option("cosine", "how the rate falls: cosine, or poly, (1 - share of the schedule)^0.9",
                           choices=SCHEDULES)  # fmt: skip
    rate: float = option(1e-3, "highest learning rate", above=0)
    final: float = option(0.02, "share of the learning rate left at the end", least=0, most=1)
    decoder: float = option(1.0, "learning rate of prompt encoder and decoder, relative to the encoder's", least=0)
    encoder_first: float = option(0.0, "share of the schedule that trains the encoder alone, at first", least=0, most=1)
    decay: float = option(0.02, "weight decay", least=0)
    beta: float = option(0.98, "decay of AdamW's second moment", least=0, most=1)
    momentum: float = option(0.99, "momentum of SGD", above=0, most=1)
    warmup: float = option(0.02, "share of the schedule with a rising rate", least=0, most=1)
    clip: float = option(1.0, "largest norm of the gradient", above=0)
    accumulate: int = option(1, "batches per step of the optimiser", least=1)
    average: float = option(0.998, "decay of the averaged weights, which are what is validated and exported", least=0,
                            most=1)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ComputeConfig:
    """Where it runs.  Under torchrun or SLURM, `devices` and `nodes` say what was asked for there."""

    accelerator: str = option("auto", "auto, cpu, cuda or mps", choices=("auto", "cpu", "cuda", "mps"))
    devices: int = option(1, "processes per node, one per GPU", least=1)
    nodes: int = option(1, "computers", least=1)
    strategy: str = option("auto", "ddp copies the network to every process, fsdp splits it", choices=STRATEGIES)
    precision: str = option("bf16", "arithmetic of the network", choices=PRECISIONS)
    workers: int = option(1, "processes that make samples", least=0)
    threads: int = option(0, "threads of the training process (0: torch's choice)", least=0)


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """Clicks on cases held out of the training, with the averaged weights."""

    every: int = option(200, "steps between two validations (0: none, best.pt is then never written)", least=0)
    clicks: int = option(5, "simulated clicks per object", least=1)
    windows: int = option(32, "objects looked at, spread over the held-out cases", least=1)
    patience: int = option(0, "validations without a better one before the training stops (0: never)", least=0)


@dataclass(frozen=True, slots=True)
class RecordConfig:
    """What is written down, and how often."""

    every: int = option(20, "steps between two rows of the curves", least=1)
    save_minutes: float = option(3.0, "minutes between two saves of last.pt", above=0)
    save_steps: int = option(0, "steps between two saves of last.pt, instead of minutes", least=0)
    tensorboard: bool = option(True, "curves for TensorBoard too")
