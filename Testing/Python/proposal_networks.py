"""Small SAM-3D networks, and a stand-in whose logits are the picture itself."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam3dseg.checkpoint import Checkpoint
from sam3dseg.models import build

CLASSES = [{"name": "Anterior", "color": [0.9, 0.2, 0.1]}, {"name": "Posterior", "color": [0.1, 0.3, 0.9]}]
SMALL = {
    "architecture": "sam", "variant": "small", "image_size": 32, "dim": 16, "depth": 2, "heads": 2, "window": 2,
    "global_blocks": [1], "out": 16,
}  # fmt: skip
PLAN = {"axis": 2, "spacing_mm": [1.0, 1.0, 1.0], "normalisation": "sam"}
CONFIG = {
    "encoder": SMALL,
    "classes": CLASSES,
    "plan": PLAN,
    "patch": [8, 32, 32],
    "widths": [16, 8, 8, 8],
    "mirror": "RAS",
}


def tiny_sam_3d(seed: int = 0, **changes):
    """A network with random weights that answers everywhere differently."""
    torch.manual_seed(seed)
    network = build("sam_3d", **{**CONFIG, **changes})
    for table in (p for name, p in network.named_parameters() if "pos_embed" in name):
        nn.init.normal_(table)
    return network.eval()


def tiny_checkpoint(seed: int = 0, **changes) -> Checkpoint:
    weights = {name: value.clone() for name, value in tiny_sam_3d(seed, **changes).state_dict().items()}
    return Checkpoint("sam_3d", weights, {**CONFIG, **changes})


class Shuffling(nn.Module):
    """Features are the 16² pixels of a patch; the classes of the logits lie between `thresholds`."""

    encodes_slices, patch_stride, mirror = True, (1, 16, 16), ""

    def __init__(self, thresholds=(0.0,), *, plan=PLAN, patch=(8, 32, 32)) -> None:
        super().__init__()
        self.plan, self.patch, self.thresholds = plan, patch, (*thresholds, 1e6)
        self.nothing = nn.Parameter(torch.zeros(1))
        self.encoded, self.decoded = [], []

    @property
    def decoder(self) -> Shuffling:
        return self

    def encode_slices(self, x: Tensor) -> Tensor:
        self.encoded.append(tuple(x.shape))
        return F.pixel_unshuffle(x[:, :1], 16).transpose(0, 1)  # (D, 256, h, w) -> (256, D, h, w)

    def finest(self, features: Tensor) -> Tensor:
        self.decoded.append(tuple(features.shape[2:]))
        picture = F.pixel_shuffle(features[0].transpose(0, 1), 16)[:, 0]  # (D, H, W)
        edges = [-1e6, *self.thresholds]
        bands = [torch.minimum(picture - a, b - picture) for a, b in zip(edges, edges[1:], strict=False)]
        return torch.stack(bands)[None]


def volume(shape=(20, 24, 18), seed: int = 0):
    """Smooth noise."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).normal(size=shape)
    return (100 + 400 * ndimage.gaussian_filter(noise, 1.5)).astype(np.float32)
