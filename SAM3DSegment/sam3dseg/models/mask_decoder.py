"""The mask decoder of SAM and SAM-Med3D: a two-way transformer between prompts and image, one mask per mask token.

After SAM's decoder (arXiv 2304.02643), for pictures (A = 2 axes) and volumes (A = 3).  B prompt sets, N tokens (IoU,
four masks, prompts), V image tokens in a grid, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .two_way import Head, TwoWayTransformer

MASKS = 4  # one for unambiguous prompts, then three alternatives


class Upscaling(nn.Sequential):
    """Image tokens (B, V, C) -> features at 4 times the resolution, channels last.

    A transposed convolution with kernel = stride = 2 is a matrix product whose output channels spread over 2^A voxels.
    """

    def __init__(self, dim: int, *, axes: int) -> None:
        conv: Any = (nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 2]
        super().__init__(
            conv(dim, dim // 4, 2, stride=2),
            nn.LayerNorm(dim // 4, eps=1e-6),
            nn.GELU(),
            conv(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, V, C) -> (B, V, 2^A, 2^A, C/8): coarse voxel, its part, the part's part."""
        layers: Any = self
        first, norm, gelu1, second, gelu2 = layers
        return gelu2(_spread(second, gelu1(norm(_spread(first, tokens)))))


def _spread(conv: Any, x: Tensor) -> Tensor:
    """(..., C_in) -> (..., 2^A, C_out), the parts of a voxel in index order."""
    weight = conv.weight.flatten(2).permute(2, 1, 0)  # (2^A, C_out, C_in)
    return F.linear(x, weight.flatten(0, 1), conv.bias.repeat(len(weight))).unflatten(-1, (len(weight), -1))


def _to_grid(x: Tensor, grid: Sequence[int]) -> Tensor:
    """(B, M, V · 2^A · 2^A) in the order of `Upscaling` -> (B, M, *4 grid)."""
    axes = len(grid)
    nested = x.unflatten(2, (*grid, *(2,) * (2 * axes)))
    order = [2 + axis + level * axes for axis in range(axes) for level in range(3)]
    return nested.permute(0, 1, *order).reshape(*x.shape[:2], *(4 * size for size in grid))


class MaskDecoder(nn.Module):
    """Image embedding and prompt embeddings -> mask logits (B, M, *4 grid) and predicted IoU (B, M)."""

    def __init__(self, dim: int, *, axes: int) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(dim, depth=2, heads=8, hidden=2048)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(MASKS, dim)
        self.output_upscaling = Upscaling(dim, axes=axes)
        self.output_hypernetworks_mlps = nn.ModuleList(Head(dim, dim, dim // 8) for _ in range(MASKS))
        self.iou_prediction_head = Head(dim, 256, MASKS)

    def forward(
        self, embedding: Tensor, position: Tensor, sparse: Tensor, dense: Tensor, *, multimask: bool | None
    ) -> tuple[Tensor, Tensor]:
        """embedding (1 or B, C, *grid), position (1, V, C), sparse (B, T, C), dense (B, C, *grid).

        multimask None gives all four masks (the single one first), False the single one, True the three alternatives.
        """
        masks = slice(None) if multimask is None else slice(1, None) if multimask else slice(0, 1)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (5, C)
        prompts = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)  # (B, N, C)
        image = (embedding + dense).flatten(2).transpose(1, 2).contiguous()  # (B, V, C)
        tokens, image = self.transformer(image, position, prompts)
        features = self.output_upscaling(image).flatten(1, 3)  # (B, V · 2^A · 2^A, C/8)
        wanted = range(MASKS)[masks]
        weights = torch.stack([self.output_hypernetworks_mlps[m](tokens[:, 1 + m]) for m in wanted], dim=1)
        logits = weights @ features.transpose(1, 2)  # (B, M, V · 2^A · 2^A)
        return _to_grid(logits, embedding.shape[2:]), self.iou_prediction_head(tokens[:, 0])[:, masks]
