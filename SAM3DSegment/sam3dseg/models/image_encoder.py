"""The image encoder of SAM-Med3D: a ViT-B over 16³ patches of a 128³ window (arXiv 2310.15161)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .attention import GRID, RelativePositionAttention
from .transformer_parts import PATCH, Block, Neck, PatchEmbed


class SamMed3DImageEncoder(nn.Module):
    """(B, 1, 128, 128, 128) -> image embedding (B, D, 8, 8, 8)."""

    def __init__(
        self, *, dim: int, depth: int, heads: int, window: int, global_blocks: Sequence[int], out: int
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(1, dim, axes=3)
        self.pos_embed = nn.Parameter(torch.zeros(1, GRID, GRID, GRID, dim))
        spans = (GRID if i in global_blocks else window for i in range(depth))
        self.blocks = nn.ModuleList(Block(dim, RelativePositionAttention(dim, heads, span)) for span in spans)
        self.neck = Neck(dim, out, axes=3)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError when the window has another shape."""
        expected = (1, GRID * PATCH, GRID * PATCH, GRID * PATCH)
        if tuple(x.shape[1:]) != expected:
            raise ValueError(
                f"expected a window of shape (B, {', '.join(map(str, expected))}), received {tuple(x.shape)}; "
                "resample and pad the image to 128³ voxels of one channel"
            )
        x = (self.patch_embed(x) + self.pos_embed).flatten(1, 3)  # (B, 512, C)
        for block in self.blocks:
            x = block(x)
        return self.neck(x.unflatten(1, (GRID, GRID, GRID)))
