"""Small random networks of both architectures, and a batch to train them on."""

from __future__ import annotations

import torch
from torch import nn

from sam3dseg.models import build
from sam3dseg.models.image_encoder import SamMed3DImageEncoder
from sam3dseg.models.mask_decoder import SamMed3DMaskDecoder
from sam3dseg.models.prompt_encoder import SamMed3DPromptEncoder
from sam3dseg.models.sam_med3d import SamMed3D

COMPACT = {
    "encoder_widths": [8, 8, 16, 16],
    "encoder_depths": [1, 1, 1, 1],
    "decoder_widths": [8, 8, 16, 16],
    "match_width": 4,
}


def tiny_compact(seed: int = 0):
    torch.manual_seed(seed)
    return build("compact", **COMPACT)


class TinySamMed3D(SamMed3D):
    """The released architecture with two narrow blocks: one of each kind."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        dim = 48
        self.image_encoder = SamMed3DImageEncoder(dim=48, depth=2, heads=4, window=14, global_blocks=(1,), out=dim)
        self.prompt_encoder = SamMed3DPromptEncoder(dim, 2)
        self.mask_decoder = SamMed3DMaskDecoder(dim)


def tiny_sam_med3d(seed: int = 0) -> TinySamMed3D:
    torch.manual_seed(seed)
    return TinySamMed3D()


def ball_batch(size: int = 32, *, stride: int = 2, channels: int = 2, count: int = 2) -> dict[str, torch.Tensor]:
    """Balls of two sizes: image (count, channels, size³), targets (count, 1, (size / stride)³), number (count,)."""
    axis = torch.arange(size) - (size - 1) / 2
    radius = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None] ** 2).sqrt()
    balls = torch.stack([(radius < size * (0.28 + 0.06 * (n % 2))).float() for n in range(count)])[:, None]
    signs = torch.tensor([1.0, -1.0])[:channels, None, None, None]
    targets = torch.nn.functional.avg_pool3d(balls, stride)
    return {"image": balls * signs, "targets": targets, "number": torch.arange(count)}
