"""SAM-Med3D ViT-B ("vit_b_ori"), the network of every released SAM-Med3D checkpoint (arXiv 2310.15161).

State-dict keys and shapes are the released ones; window 128³ at 1.5 mm, mask logits 32³.
"""

from __future__ import annotations

from torch import Tensor, nn

from .attention import GRID
from .image_encoder import SamMed3DImageEncoder
from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder

DIM = 384  # channels between the three parts
POINT_KINDS = 2  # background, foreground


class SamMed3D(nn.Module):
    """Image encoder, prompt encoder and mask decoder; `point_kinds` is 4 in the challenge variants."""

    def __init__(self, *, point_kinds: int = POINT_KINDS) -> None:
        super().__init__()
        self.image_encoder = SamMed3DImageEncoder(
            dim=768, depth=12, heads=12, window=14, global_blocks=(2, 5, 8, 11), out=DIM
        )
        self.prompt_encoder = PromptEncoder(DIM, point_kinds, axes=3, grid=GRID)
        self.mask_decoder = MaskDecoder(DIM, axes=3)

    def encode_image(self, x: Tensor) -> Tensor:
        """Normalised window (B, 1, 128, 128, 128) -> embedding (B, 384, 8, 8, 8)."""
        return self.image_encoder(x)

    def encode_prompts(
        self, points: Tensor | None, labels: Tensor | None, mask_logits: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """points (B, N, 3) window voxels, labels (B, N), mask_logits (B, 1, 32, 32, 32), each or None.

        -> sparse (B, N + 1, 384), the last token being the padding (no tokens without points), dense (B, 384, 8, 8, 8).
        """
        return self.prompt_encoder(points, labels, mask_logits)

    def decode_masks(
        self, embedding: Tensor, sparse: Tensor, dense: Tensor, *, multimask: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """One embedding for all prompt sets, or one each -> logits (B, M, 32, 32, 32), iou (B, M).

        multimask None gives all four masks (the single one first), False the single one, True the three alternatives.
        """
        position = self.prompt_encoder.positions()
        return self.mask_decoder(embedding, position, sparse, dense, multimask=multimask)
