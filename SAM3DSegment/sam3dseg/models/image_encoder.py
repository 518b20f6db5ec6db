"""The image encoder of SAM-Med3D: a ViT-B over 16³ patches of a 128³ window (arXiv 2310.15161)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import GRID, RelativePositionAttention

PATCH = 16
EPS = 1e-6  # of every layer normalisation in the encoder


class PatchEmbed(nn.Module):
    """Non-overlapping patches as one matrix product."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(1, dim, PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 128, 128, 128) -> (B, 512, C)."""
        cut = x.reshape(x.shape[0], GRID, PATCH, GRID, PATCH, GRID, PATCH)
        patches = cut.permute(0, 1, 3, 5, 2, 4, 6).reshape(x.shape[0], GRID**3, PATCH**3)
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
    """Pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, span: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = RelativePositionAttention(dim, heads, span)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 512, C) -> (B, 512, C)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Neck(nn.Sequential):
    """Channels C -> D: a 1³ and a 3³ convolution, each followed by a normalisation over the channels."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__(
            nn.Conv3d(dim, out, 1, bias=False),
            nn.LayerNorm(out, eps=EPS),
            nn.Conv3d(out, out, 3, padding=1, bias=False),
            nn.LayerNorm(out, eps=EPS),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 512, C) -> (B, D, 8, 8, 8), channels last in memory."""
        layers: Any = self
        squeeze, norm1, mix, norm2 = layers
        x = norm1(F.linear(tokens, squeeze.weight.flatten(1)))  # (B, 512, D)
        x = x.unflatten(1, (GRID, GRID, GRID)).movedim(-1, 1)  # (B, D, 8, 8, 8), a channels-last view
        return norm2(mix(x).movedim(1, -1)).movedim(-1, 1)


class SamMed3DImageEncoder(nn.Module):
    """(B, 1, 128, 128, 128) -> image embedding (B, D, 8, 8, 8)."""

    def __init__(
        self, *, dim: int, depth: int, heads: int, window: int, global_blocks: Sequence[int], out: int
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, GRID, GRID, GRID, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, GRID if i in global_blocks else window) for i in range(depth))
        self.neck = Neck(dim, out)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError when the window has another shape."""
        expected = (1, GRID * PATCH, GRID * PATCH, GRID * PATCH)
        if tuple(x.shape[1:]) != expected:
            raise ValueError(
                f"expected a window of shape (B, {', '.join(map(str, expected))}), received {tuple(x.shape)}; "
                "resample and pad the image to 128³ voxels of one channel"
            )
        x = self.patch_embed(x) + self.pos_embed.flatten(1, 3)  # (B, 512, C)
        for block in self.blocks:
            x = block(x)
        return self.neck(x)
