"""How the terms of a loss are balanced: by fixed weights, or by weights that are learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FixedWeights(nn.Module):
    """Σ w_i L_i."""

    def __init__(self, weights: dict[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)

    def forward(self, terms: dict[str, Tensor]) -> Tensor:
        """Terms by name, scalars -> scalar; terms of weight 0 may be absent."""
        parts = [self.weights[name] * term for name, term in terms.items()]
        return torch.stack(parts).sum()


class AdaptiveWeights(nn.Module):
    """Σ w_i (exp(−s_i) L_i + s_i), s_i learned: homoscedastic uncertainty (Kendall et al., CVPR 2018, eq. 10).

    exp keeps every learned weight positive, and + s_i keeps it from vanishing; at first s_i = 0.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        super().__init__()
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.log_variance = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in self.weights})

    def forward(self, terms: dict[str, Tensor]) -> Tensor:
        """Terms by name, scalars -> scalar; a term that is absent leaves its weight as it is."""
        parts = []
        for name, weight in self.weights.items():
            s = self.log_variance[name]
            present = name in terms
            parts.append(weight * (torch.exp(-s) * terms[name] + s) if present else 0.0 * s)  # every s has a gradient
        return torch.stack(parts).sum()

    def current(self) -> dict[str, float]:
        """The weights as they are now: w_i exp(−s_i)."""
        return {
            name: weight * float(torch.exp(-self.log_variance[name].detach())) for name, weight in self.weights.items()
        }
