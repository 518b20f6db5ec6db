"""SAM, the promptable network for pictures (arXiv 2304.02643), in its three released sizes and a small one.

State-dict keys and shapes are the released ones; MedSAM (arXiv 2304.12306) is "vit_b" with other weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .decomposed_attention import DecomposedAttention
from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder
from .transformer_parts import PATCH, Block, Neck, PatchEmbed

POINT_KINDS = 4  # background, foreground, and the two corners of a box
CHANNELS = 3  # red, green, blue


@dataclass(frozen=True, slots=True)
class Variant:
    """Sizes of one network: image_size in pixels, window in tokens, out channels between the three parts."""

    dim: int
    depth: int
    heads: int
    global_blocks: Sequence[int]
    image_size: int = 1024
    window: int = 14
    out: int = 256


VARIANTS = {
    "vit_b": Variant(dim=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
    "vit_l": Variant(dim=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "vit_h": Variant(dim=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
    "small": Variant(dim=256, depth=6, heads=4, global_blocks=(2, 5), image_size=256, window=7),
}
PREPROCESSINGS = ("sam", "medsam")


def variant_of(variant: str = "vit_b", preprocessing: str = "sam", **sizes: Any) -> Variant:
    """Sizes of the network that a checkpoint's config describes; only "small" takes sizes of its own.

    Raises ValueError for an unknown variant or preprocessing, and for sizes that do not go together.
    """
    if variant not in VARIANTS or preprocessing not in PREPROCESSINGS:
        raise ValueError(
            f"expected a variant of {', '.join(VARIANTS)} and preprocessing of {', '.join(PREPROCESSINGS)}, received "
            f"{variant!r} and {preprocessing!r}"
        )
    if sizes and variant != "small":
        raise ValueError(f"the sizes of {variant!r} are fixed, received {', '.join(sizes)}; use variant 'small'")
    chosen = replace(VARIANTS[variant], **sizes)
    if chosen.image_size % PATCH or chosen.dim % chosen.heads or chosen.out % 16:
        raise ValueError(
            f"expected image_size and out in multiples of 16 and dim of heads, received {chosen.image_size}, "
            f"{chosen.out}, {chosen.dim} and {chosen.heads}"
        )
    return chosen


class SamImageEncoder(nn.Module):
    """(B, 3, H, W) -> image embedding (B, D, H/16, W/16); H = W = `image_size` is what the weights are made for."""

    def __init__(self, sizes: Variant) -> None:
        super().__init__()
        grid = sizes.image_size // PATCH
        self.patch_embed = PatchEmbed(CHANNELS, sizes.dim, axes=2)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, sizes.dim))
        windows = (None if i in sizes.global_blocks else sizes.window for i in range(sizes.depth))
        self.blocks = nn.ModuleList(
            Block(sizes.dim, DecomposedAttention(sizes.dim, sizes.heads, size=grid, window=window))
            for window in windows
        )
        self.neck = Neck(sizes.dim, sizes.out, axes=2)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError when H or W is no multiple of 16; the position tables are resized to other sizes."""
        if x.ndim != 4 or x.shape[1] != CHANNELS or x.shape[2] % PATCH or x.shape[3] % PATCH or not x.numel():
            raise ValueError(
                f"expected pictures of shape (B, {CHANNELS}, H, W) with H and W in multiples of {PATCH}, received "
                f"{tuple(x.shape)}; pad them"
            )
        x = self.patch_embed(x)  # (B, h, w, C)
        x = x + self._positions(x.shape[1:3])
        for block in self.blocks:
            x = block(x)
        return self.neck(x)

    def _positions(self, grid: torch.Size) -> Tensor:
        """(1, h, w, C)."""
        if self.pos_embed.shape[1:3] == grid:
            return self.pos_embed
        table = F.interpolate(self.pos_embed.movedim(-1, 1), grid, mode="bilinear", align_corners=False)
        return table.movedim(1, -1)


class Sam(nn.Module):
    """Image encoder, prompt encoder and mask decoder; options as for `variant_of`.

    Prompts are in pixels of the input square, x = column and y = row.
    """

    def __init__(self, *, variant: str = "vit_b", preprocessing: str = "sam", **sizes: Any) -> None:
        super().__init__()
        chosen = variant_of(variant, preprocessing, **sizes)
        self.image_encoder = SamImageEncoder(chosen)
        self.prompt_encoder = PromptEncoder(chosen.out, POINT_KINDS, axes=2, grid=chosen.image_size // PATCH)
        self.mask_decoder = MaskDecoder(chosen.out, axes=2)

    def encode_image(self, x: Tensor) -> Tensor:
        """Prepared squares (B, 3, S, S) -> embedding (B, D, S/16, S/16)."""
        return self.image_encoder(x)

    def encode_prompts(
        self,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        mask_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """points (B, N, 2), labels (B, N), boxes (B, 4) as x0, y0, x1, y1, mask_logits (B, 1, S/4, S/4), or None.

        -> sparse (B, T, D): the points and a padding token, or the points and two corners; dense (B, D, S/16, S/16).
        """
        return self.prompt_encoder(points, labels, mask_logits, boxes)

    def decode_masks(
        self, embedding: Tensor, sparse: Tensor, dense: Tensor, *, multimask: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """One embedding for all prompt sets, or one each -> logits (B, M, S/4, S/4), iou (B, M).

        multimask None gives all four masks (the single one first), False the single one, True the three alternatives.
        """
        position = self.prompt_encoder.positions()
        return self.mask_decoder(embedding, position, sparse, dense, multimask=multimask)
