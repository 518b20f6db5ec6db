"""The moving average of the weights, which is what is validated and exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """a <- d a + (1 - d) w after every step, d = min(decay, (1 + step) / (10 + step)) (Polyak and Juditsky, 1992).

    The growing decay lets the first steps, which are far from the end, be forgotten.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.values: dict[str, Tensor] = {name: value.detach().clone() for name, value in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in self.parameters.items():
            self.values[name].lerp_(value.detach(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the network holds the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self.parameters.items():
            held = value.detach().clone()
            value.copy_(self.values[name])
            self.values[name].copy_(held)
