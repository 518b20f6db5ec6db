"""The prompt encoder of SAM-Med3D: points and a coarse mask -> tokens and a dense embedding."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import GRID

WINDOW = 128
MASK_SIZE = 4 * GRID
EPS = 1e-6


class FourierPositions(nn.Module):
    """Random Fourier features of positions in the unit cube (Tancik et al., arXiv 2006.10739)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(3, features))

    def forward(self, unit: Tensor) -> Tensor:
        """(..., 3) in [0, 1] -> (..., 3 F); sin, cos and sin again, as the released weights were trained."""
        angle = 2 * math.pi * ((2 * unit - 1) @ self.positional_encoding_gaussian_matrix)
        sine = angle.sin()
        return torch.cat([sine, angle.cos(), sine], dim=-1)

    def grid(self) -> Tensor:
        """Encoding of the 8³ token centres (1, 512, 3 F), axes in the order 1, 0, 2 of the released weights."""
        centres = (torch.arange(GRID, device=self.positional_encoding_gaussian_matrix.device) + 0.5) / GRID
        axes = torch.meshgrid(centres, centres, centres, indexing="ij")
        unit = torch.stack([axes[1], axes[0], axes[2]], dim=-1).flatten(0, 2)  # (512, 3)
        return self(unit).unsqueeze(0)


class MaskDownscaling(nn.Sequential):
    """Logits (B, 1, 32, 32, 32) -> (B, C, 8, 8, 8); 2³ convolutions of stride 2 as matrix products, channels last."""

    def __init__(self, dim: int) -> None:
        super().__init__(
            nn.Conv3d(1, 4, 2, stride=2),
            nn.LayerNorm(4, eps=EPS),
            nn.GELU(),
            nn.Conv3d(4, 16, 2, stride=2),
            nn.LayerNorm(16, eps=EPS),
            nn.GELU(),
            nn.Conv3d(16, dim, 1),
        )

    def forward(self, logits: Tensor) -> Tensor:
        """Same numbers as the convolutions, without their layout changes."""
        layers: Any = self
        first, norm1, gelu1, second, norm2, gelu2, last = layers
        x = gelu1(norm1(first(logits).movedim(1, -1)))  # (B, 16, 16, 16, 4)
        x = gelu2(norm2(second(x.movedim(-1, 1)).movedim(1, -1)))  # (B, 8, 8, 8, 16)
        return F.linear(x, last.weight.flatten(1), last.bias).movedim(-1, 1)


class SamMed3DPromptEncoder(nn.Module):
    """Prompts -> sparse tokens (B, T, C) and a dense embedding (B, C, 8, 8, 8)."""

    def __init__(self, dim: int, kinds: int) -> None:
        super().__init__()
        self.pe_layer = FourierPositions(dim // 3)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(kinds))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = MaskDownscaling(dim)
        self.no_mask_embed = nn.Embedding(1, dim)

    def forward(
        self, points: Tensor | None, labels: Tensor | None, mask_logits: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """points (B, N, 3) window voxels, labels (B, N), or None for both; mask_logits (B, 1, 32, 32, 32) or None."""
        if points is None or labels is None:
            batch = 1 if mask_logits is None else mask_logits.shape[0]
            sparse = self.no_mask_embed.weight.new_zeros(batch, 0, self.no_mask_embed.embedding_dim)
        else:
            batch = points.shape[0]
            sparse = self._points(points, labels)
        if mask_logits is None:
            dense = self.no_mask_embed.weight[..., None, None, None].expand(batch, -1, GRID, GRID, GRID)
        else:
            dense = self.mask_downscaling(mask_logits)
        return sparse, dense

    def _points(self, points: Tensor, labels: Tensor) -> Tensor:
        """(B, N, 3), (B, N) -> (B, N + 1, C): a padding token follows the points, as without a box in SAM."""
        position = self.pe_layer((points + 0.5) / WINDOW)  # (B, N, C)
        position = position * (labels >= 0).unsqueeze(-1)
        kinds: list[Any] = [self.not_a_point_embed, *self.point_embeddings]
        tokens = position + torch.cat([kind.weight for kind in kinds])[labels.long() + 1]
        padding = self.not_a_point_embed.weight.expand(len(points), 1, -1)
        return torch.cat([tokens, padding], dim=1)
