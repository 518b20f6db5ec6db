"""How far a training is, and how fast it may go there: warm-up, then a cosine or a power."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .configs.optim import OptimConfig

ENCODER = "encoder"  # the group of parameters that `encoder_first` trains alone
POWER = 0.9  # of poly (Chen et al., DeepLab, arXiv 1606.00915)
SLOWEST_START = 0.01  # share of the highest rate at the very first step


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule of `minutes` of training, or of `steps` when that is not 0."""

    minutes: float = 60.0
    steps: int = 0
    optim: OptimConfig = field(default_factory=OptimConfig)

    def progress(self, step: int, seconds: float) -> float:
        """Share of the schedule that is behind, 0 to 1."""
        return min(1.0, step / self.steps if self.steps else seconds / (60 * self.minutes))

    def rate(self, progress: float) -> float:
        """Linear warm-up, then down to the final rate by a cosine (Loshchilov and Hutter, arXiv 1608.03983) or poly."""
        optim = self.optim
        if progress < optim.warmup or optim.warmup == 1:
            return optim.rate * max(progress / optim.warmup, SLOWEST_START)
        share = (progress - optim.warmup) / (1 - optim.warmup)
        fall = (1 - share) ** POWER if optim.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * share))
        return optim.rate * (optim.final + (1 - optim.final) * fall)

    def rate_of(self, group: str, progress: float) -> float:
        """The learning rate of a group of parameters; 0 for all but the encoder while it trains alone."""
        if group == ENCODER:
            return self.rate(progress)
        return 0.0 if progress < self.optim.encoder_first else self.optim.decoder * self.rate(progress)
