"""The prompt encoder of SAM and SAM-Med3D: points, boxes and a coarse mask -> tokens and a dense embedding.

A = 2 axes for pictures, 3 for volumes; B prompt sets, N points, C channels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .transformer_parts import EPS, PATCH

LOWER_CORNER = 2  # kind of the first corner of a box, after background and foreground points; the second follows


class FourierPositions(nn.Module):
    """Random Fourier features of positions in the unit square or cube (Tancik et al., arXiv 2006.10739)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, dim: int, *, axes: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(axes, dim // axes))

    def forward(self, unit: Tensor) -> Tensor:
        """(..., A) in [0, 1] -> (..., C): sine, cosine and, in 3D, sine again, as the released weights were trained."""
        angle = 2 * math.pi * ((2 * unit - 1) @ self.positional_encoding_gaussian_matrix)
        sine = angle.sin()
        return torch.cat([sine, angle.cos(), sine][: unit.shape[-1]], dim=-1)

    def grid(self, size: int) -> Tensor:
        """Encoding of the token centres (1, size^A, C), the first two axes swapped: (x, y) of rows and columns.

        The volumes of SAM-Med3D inherited that order, where points are in index order.
        """
        matrix = self.positional_encoding_gaussian_matrix
        centres = (torch.arange(size, device=matrix.device) + 0.5) / size
        first, second, *others = torch.meshgrid(*[centres] * len(matrix), indexing="ij")
        unit = torch.stack([second, first, *others], dim=-1).flatten(0, -2)  # (size^A, A)
        return self(unit).unsqueeze(0)


class MaskDownscaling(nn.Sequential):
    """Logits (B, 1, *4 grid) -> (B, C, *grid); the convolutions of stride 2 and 1 with channels last."""

    def __init__(self, dim: int, *, axes: int) -> None:
        conv: Any = (nn.Conv2d, nn.Conv3d)[axes - 2]
        super().__init__(
            conv(1, 4, 2, stride=2),
            nn.LayerNorm(4, eps=EPS),
            nn.GELU(),
            conv(4, 16, 2, stride=2),
            nn.LayerNorm(16, eps=EPS),
            nn.GELU(),
            conv(16, dim, 1),
        )

    def forward(self, logits: Tensor) -> Tensor:
        """Same numbers as the convolutions, without their layout changes."""
        layers: Any = self
        first, norm1, gelu1, second, norm2, gelu2, last = layers
        x = gelu1(norm1(first(logits).movedim(1, -1)))  # (B, *2 grid, 4)
        x = gelu2(norm2(second(x.movedim(-1, 1)).movedim(1, -1)))  # (B, *grid, 16)
        return F.linear(x, last.weight.flatten(1), last.bias).movedim(-1, 1)


class PromptEncoder(nn.Module):
    """Prompts -> sparse tokens (B, T, C) and a dense embedding (B, C, *grid).

    grid: tokens per axis of the image embedding; kinds: point embeddings, 2 without boxes and 4 with them.
    """

    def __init__(self, dim: int, kinds: int, *, axes: int, grid: int) -> None:
        super().__init__()
        self.grid, self.axes = grid, axes
        self.pe_layer = FourierPositions(dim, axes=axes)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(kinds))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = MaskDownscaling(dim, axes=axes)
        self.no_mask_embed = nn.Embedding(1, dim)

    def positions(self) -> Tensor:
        """Encoding of the image tokens' places (1, V, C)."""
        return self.pe_layer.grid(self.grid)

    def forward(
        self, points: Tensor | None, labels: Tensor | None, mask_logits: Tensor | None, boxes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Each may be None: points (B, N, A) in voxels with labels (B, N), mask_logits (B, 1, *4 grid), boxes (B, 2 A).

        Without a box, a padding token follows the points; without either there are no tokens.
        """
        tokens = []
        if points is not None and labels is not None:
            tokens.append(self._tokens(points, labels))
            if boxes is None:
                tokens.append(self.not_a_point_embed.weight.expand(len(points), 1, -1))
        if boxes is not None:
            corners = boxes.unflatten(1, (2, self.axes))  # (B, 2, A)
            kinds = torch.arange(LOWER_CORNER, LOWER_CORNER + 2, device=boxes.device)
            tokens.append(self._tokens(corners, kinds.expand(len(boxes), -1)))
        empty = self.no_mask_embed.weight
        batch = next((len(given) for given in (points, boxes, mask_logits) if given is not None), 1)
        sparse = torch.cat(tokens, dim=1) if tokens else empty.new_zeros(batch, 0, empty.shape[1])
        if mask_logits is None:
            dense = empty.unflatten(1, (-1, *(1,) * self.axes)).expand(batch, -1, *(self.grid,) * self.axes)
        else:
            dense = self.mask_downscaling(mask_logits)
        return sparse, dense

    def _tokens(self, points: Tensor, labels: Tensor) -> Tensor:
        """(B, N, A), (B, N) -> (B, N, C): the place, unless the label is -1, and the embedding of the label."""
        position = self.pe_layer((points + 0.5) / (self.grid * PATCH))  # (B, N, C)
        position = position * (labels >= 0).unsqueeze(-1)
        kinds: list[Any] = [self.not_a_point_embed, *self.point_embeddings]
        return position + torch.cat([kind.weight for kind in kinds])[labels.long() + 1]
