"""What the vision transformers of SAM (2D) and SAM-Med3D share, for any number of spatial axes.

B images, A axes, P pixels per side of a patch, C channels of a token.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

PATCH = 16
EPS = 1e-6  # of every layer normalisation in the encoder


class PatchEmbed(nn.Module):
    """Non-overlapping patches as one matrix product."""

    def __init__(self, channels: int, dim: int, *, axes: int) -> None:
        super().__init__()
        conv: Any = (nn.Conv2d, nn.Conv3d)[axes - 2]
        self.proj = conv(channels, dim, PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, *sizes) -> (B, *sizes / P, C)."""
        axes = x.ndim - 2
        for axis in range(2, 2 + axes):
            x = x.unflatten(2 * axis - 2, (-1, PATCH))  # (B, channels, g, P, g, P, ...)
        grid = [2 + 2 * axis for axis in range(axes)]
        patches = x.permute(0, *grid, 1, *(axis + 1 for axis in grid)).flatten(1 + axes)  # (B, *grid, channels · P^A)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.lin2(F.gelu(self.lin1(x)))


class Block(nn.Module):
    """Pre-norm transformer block around `attention`."""

    def __init__(self, dim: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = attention
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, ..., C) -> the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Neck(nn.Sequential):
    """Channels C -> D: convolutions of 1 and of 3 voxels per axis, each followed by a normalisation over channels."""

    def __init__(self, dim: int, out: int, *, axes: int) -> None:
        conv: Any = (nn.Conv2d, nn.Conv3d)[axes - 2]
        super().__init__(
            conv(dim, out, 1, bias=False),
            nn.LayerNorm(out, eps=EPS),
            conv(out, out, 3, padding=1, bias=False),
            nn.LayerNorm(out, eps=EPS),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, *grid, C) -> (B, D, *grid), channels last in memory."""
        layers: Any = self
        squeeze, norm1, mix, norm2 = layers
        x = norm1(F.linear(tokens, squeeze.weight.flatten(1)))  # (B, *grid, D)
        return norm2(mix(x.movedim(-1, 1)).movedim(1, -1)).movedim(-1, 1)


class FoldedWeights:
    """What is made of weights alone: made once while they stay as they are, and anew where gradients are wanted."""

    def __init__(self) -> None:
        self._made: Any = WeakIdKeyDictionary()  # weight -> {kind: (state of the weight, what was made of it)}

    def of(self, weight: Tensor, kind: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gives, perhaps from before; it is not to be changed."""
        if not torch.is_inference_mode_enabled() or weight.is_inference():
            return make()
        state = weight._version, weight.data_ptr(), weight.device, weight.dtype
        known = self._made.setdefault(weight, {})
        if kind not in known or known[kind][0] != state:
            known[kind] = state, make()
        return known[kind][1]

    def __deepcopy__(self, memo: dict[int, Any]) -> FoldedWeights:
        return FoldedWeights()  # another network has weights of its own

    def __reduce__(self) -> tuple[type[FoldedWeights], tuple[()]]:
        return FoldedWeights, ()
