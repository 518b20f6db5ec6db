"""Small random networks of every architecture, and batches to train them on."""

from __future__ import annotations

import torch
from torch import nn

from sam3dseg.models import build
from sam3dseg.models.image_encoder import SamMed3DImageEncoder
from sam3dseg.models.mask_decoder import MaskDecoder
from sam3dseg.models.prompt_encoder import PromptEncoder
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


SMALL_SAM = {
    "variant": "small",
    "preprocessing": "medsam",
    "image_size": 64,
    "dim": 32,
    "depth": 2,
    "heads": 2,
    "window": 3,
    "global_blocks": [1],
    "out": 32,
}


class TinySamMed3D(SamMed3D):
    """The released architecture with two narrow blocks: one of each kind."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        dim = 48
        self.image_encoder = SamMed3DImageEncoder(dim=48, depth=2, heads=4, window=14, global_blocks=(1,), out=dim)
        self.prompt_encoder = PromptEncoder(dim, 2, axes=3, grid=8)
        self.mask_decoder = MaskDecoder(dim, axes=3)


def tiny_sam_med3d(seed: int = 0) -> TinySamMed3D:
    torch.manual_seed(seed)
    return TinySamMed3D()


def tiny_sam(seed: int = 0):
    torch.manual_seed(seed)
    return build("sam", **SMALL_SAM)


def disk_batch(size: int = 64, *, count: int = 2) -> dict[str, torch.Tensor]:
    """Disks off the middle: image (count, 3, size²), targets (count, 1, (size / 4)²), boxes (count, 1, 4), number."""
    axis = torch.arange(size) - (size - 1) / 2
    disks, boxes = [], []
    for n in range(count):
        x, y, radius = axis - 2 * n, axis + 6, size * (0.2 + 0.05 * (n % 2))
        disks.append((x[None] ** 2 + y[:, None] ** 2 < radius**2).float())
        rows, columns = (torch.nonzero(disks[-1].any(dim=d)).flatten() for d in (1, 0))
        boxes.append([columns[0], rows[0], columns[-1], rows[-1]])
    stack = torch.stack(disks)[:, None]
    return {
        "image": stack.repeat(1, 3, 1, 1),
        "targets": torch.nn.functional.avg_pool2d(stack, 4),
        "boxes": torch.tensor(boxes, dtype=torch.float32)[:, None],
        "number": torch.arange(count),
    }


def ball_batch(size: int = 32, *, stride: int = 2, channels: int = 2, count: int = 2) -> dict[str, torch.Tensor]:
    """Balls of two sizes: image (count, channels, size³), targets (count, 1, (size / stride)³), number (count,)."""
    axis = torch.arange(size) - (size - 1) / 2
    radius = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None] ** 2).sqrt()
    balls = torch.stack([(radius < size * (0.28 + 0.06 * (n % 2))).float() for n in range(count)])[:, None]
    signs = torch.tensor([1.0, -1.0])[:channels, None, None, None]
    targets = torch.nn.functional.avg_pool3d(balls, stride)
    return {"image": balls * signs, "targets": targets, "number": torch.arange(count)}
