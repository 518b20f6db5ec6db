"""The mask decoder of SAM-Med3D: a two-way transformer between prompt tokens and image, and one mask per mask token.

After SAM's decoder (arXiv 2304.02643).  B prompt sets, N tokens (IoU, four masks, prompts), V = 512 image tokens,
C = 384.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import GRID

MASKS = 4  # one for unambiguous prompts, then three alternatives


class CrossAttention(nn.Module):
    """Multi-head attention with its own width inside.  H heads, E channels per head."""

    def __init__(self, dim: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(dim, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, N, C), (B, M, C), (B, M, C) -> (B, N, C)."""
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))  # (B, H, N or M, E)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, H, N, E)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class ReluMlp(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.lin2(F.relu(self.lin1(x)))


class Head(nn.Module):
    """Three linear layers with ReLU between them."""

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(dim, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, out)])

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., out)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves, then to the image, then the image to the tokens."""

    def __init__(self, dim: int, heads: int, hidden: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = CrossAttention(dim, heads, dim)
        self.cross_attn_token_to_image = CrossAttention(dim, heads, dim // 2)
        self.cross_attn_image_to_token = CrossAttention(dim, heads, dim // 2)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(dim) for _ in range(4))
        self.mlp = ReluMlp(dim, hidden)

    def forward(self, tokens: Tensor, image: Tensor, token_position: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, C), image (B, V, C) and their positions -> both updated."""
        if self.first:  # neither positions nor residual here, as in SAM
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_position
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        placed_image = image + position
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_position, placed_image, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(placed_image, tokens + token_position, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """The blocks and a last attention from the tokens to the image."""

    def __init__(self, dim: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(dim, heads, hidden, first=i == 0) for i in range(depth))
        self.final_attn_token_to_image = CrossAttention(dim, heads, dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, position: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Image (B, V, C), its positions (1, V, C), tokens (B, N, C) -> tokens, image."""
        tokens = prompts
        for layer in self.layers:
            tokens, image = layer(tokens, image, prompts, position)
        attended = self.final_attn_token_to_image(tokens + prompts, image + position, image)
        return self.norm_final_attn(tokens + attended), image


class Upscaling(nn.Sequential):
    """Image tokens (B, V, C) -> features at 4 times the resolution, channels last.

    A transposed convolution with kernel = stride = 2 is a matrix product whose output channels spread over 2³ voxels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(
            nn.ConvTranspose3d(dim, dim // 4, 2, stride=2),
            nn.LayerNorm(dim // 4, eps=1e-6),
            nn.GELU(),
            nn.ConvTranspose3d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 512, C) -> (B, 8³, 2³, 2³, C/8): coarse voxel, its octant, the octant's octant."""
        layers: Any = self
        first, norm, gelu1, second, gelu2 = layers
        return gelu2(_spread(second, gelu1(norm(_spread(first, tokens)))))


def _spread(conv: nn.ConvTranspose3d, x: Tensor) -> Tensor:
    """(..., C_in) -> (..., 8, C_out), the 8 octants in index order."""
    weight = conv.weight.flatten(2).permute(2, 1, 0).flatten(0, 1)  # (8 C_out, C_in)
    return F.linear(x, weight).unflatten(-1, (8, -1)) + conv.bias


def _to_volume(x: Tensor) -> Tensor:
    """(B, M, 8³ * 2³ * 2³) in octant order -> (B, M, 32, 32, 32)."""
    nested = x.unflatten(2, (GRID, GRID, GRID, 2, 2, 2, 2, 2, 2))
    size = 4 * GRID
    return nested.permute(0, 1, 2, 5, 8, 3, 6, 9, 4, 7, 10).reshape(*x.shape[:2], size, size, size)


class SamMed3DMaskDecoder(nn.Module):
    """Image embedding and prompt embeddings -> mask logits (B, M, 32, 32, 32) and predicted IoU (B, M)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(dim, depth=2, heads=8, hidden=2048)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(MASKS, dim)
        self.output_upscaling = Upscaling(dim)
        self.output_hypernetworks_mlps = nn.ModuleList(Head(dim, dim, dim // 8) for _ in range(MASKS))
        self.iou_prediction_head = Head(dim, 256, MASKS)

    def forward(
        self, embedding: Tensor, position: Tensor, sparse: Tensor, dense: Tensor, *, masks: slice
    ) -> tuple[Tensor, Tensor]:
        """embedding (1 or B, C, 8, 8, 8), position (1, 512, C), sparse (B, T, C), dense (B, C, 8, 8, 8)."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (5, C)
        prompts = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)  # (B, N, C)
        image = (embedding + dense).flatten(2).transpose(1, 2)  # (B, 512, C)
        tokens, image = self.transformer(image, position, prompts)
        features = self.output_upscaling(image).flatten(1, 3)  # (B, 32768, C/8)
        wanted = range(MASKS)[masks]
        weights = torch.stack([self.output_hypernetworks_mlps[m](tokens[:, 1 + m]) for m in wanted], dim=1)
        logits = weights @ features.transpose(1, 2)  # (B, M, 32768)
        return _to_volume(logits), self.iou_prediction_head(tokens[:, 0])[:, masks]
