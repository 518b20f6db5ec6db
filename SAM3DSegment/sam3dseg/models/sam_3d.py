"""SAM-3D: a frozen encoder of slices and a light 3D decoder over their stacked features (Bui et al., ISBI 2024).

K classes and a background, B volumes of C features, D slices of H x W pixels in h x w patches.  The cost of the decoder
grows linearly with D·H·W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import Convolution

SLOPE = 0.01  # of the leaky rectifier, σ
WIDTHS = (128, 64, 32, 16)
SLICES, VOLUMES = (1, 2, 2), (2, 2, 2)  # growth per level: features of slices lack detail in the plane only
FIXED_WINDOW = 128  # of the SAM-Med3D encoder


class Normalised(nn.Sequential):
    """W∗x, instance-normalised with a learned scale and offset."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        convolution = Convolution(c_in, c_out, kernel, padding=kernel // 2, bias=False)
        super().__init__(convolution, nn.InstanceNorm3d(c_out, affine=True))


class ResidualBlock(nn.Module):
    """r1 = IN(W2∗σ(IN(W1∗g))), r2 = IN(W0∗g), g' = up(σ(r1 + r2))."""

    def __init__(self, c_in: int, c_out: int, scale: Sequence[int]) -> None:
        super().__init__()
        self.first, self.second = Normalised(c_in, c_out, 3), Normalised(c_out, c_out, 3)
        self.shortcut = Normalised(c_in, c_out, 1)
        self.scale = tuple(float(factor) for factor in scale)

    def forward(self, g: Tensor) -> Tensor:
        """(B, C, D, h, w) -> (B, C', D, 2 h, 2 w) for a scale of (1, 2, 2)."""
        r1 = self.second(F.leaky_relu(self.first(g), SLOPE))
        r2 = self.shortcut(g)
        return F.interpolate(F.leaky_relu(r1 + r2, SLOPE), scale_factor=list(self.scale), mode="nearest")


def _head(width: int, classes: int) -> nn.Sequential:
    """Logits of K + 1 classes; its 3³ convolution smooths the steps of the enlargement."""
    half = width // 2
    return nn.Sequential(Normalised(width, half, 3), nn.LeakyReLU(SLOPE), nn.Conv3d(half, classes + 1, 1))


class VolumeDecoder(nn.Module):
    """Four residual blocks from features to class logits, and a head after each for deep supervision.

    The coarsest head is a plain 1³ convolution.
    """

    def __init__(
        self, in_channels: int, classes: int, widths: Sequence[int] = WIDTHS, scale: Sequence[int] = SLICES
    ) -> None:
        super().__init__()
        pairs = zip((in_channels, *widths), widths, strict=False)
        self.blocks = nn.ModuleList(ResidualBlock(c_in, c_out, scale) for c_in, c_out in pairs)
        self.heads = nn.ModuleList(_head(width, classes) for width in widths[1:])
        self.heads.insert(0, nn.Conv3d(widths[0], classes + 1, 1))

    def forward(self, features: Tensor) -> list[Tensor]:
        """(B, C, D, h, w) -> logits (B, K + 1, ...) of every level, finest first; the finest has D, 16 h, 16 w."""
        outputs, g = [], features
        for block, head in zip(self.blocks, self.heads, strict=True):
            g = block(g)
            outputs.append(head(g))
        return outputs[::-1]

    def finest(self, features: Tensor) -> Tensor:
        """The first of the logits that `forward` gives, without making the others."""
        g = features
        for block in self.blocks:
            g = block(g)
        return self.heads[-1](g)


class Sam3D(nn.Module):
    """The frozen image encoder of another architecture, and a volume decoder over its features.

    classes: one entry per class, {"name": ..., "color": [r, g, b]}; encoder: {"architecture": "sam" (default),
    "compact" or "sam_med3d_vit_b_ori", and its configuration}.  Kept with the weights: plan and patch, how volumes are
    cut into slices and into windows of D x H x W samples (volume_features.VolumePlan, sliding), and mirror, the axes
    along which volumes were mirrored in training, letters of RAS.
    """

    def __init__(
        self,
        *,
        classes: Sequence[Mapping[str, Any]],
        encoder: Mapping[str, Any],
        plan: Mapping[str, Any] | None = None,
        patch: Sequence[int] = (16, 160, 160),
        mirror: str = "",
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        super().__init__()
        if len(patch) != 3 or not all(isinstance(side, int) and side > 0 for side in patch):
            raise ValueError(f"patch must be three numbers of samples (slices, rows, columns), got {patch!r}")
        if set(mirror) - set("RAS"):
            raise ValueError(f"mirror must be letters of RAS, or none, got {mirror!r}")
        self.classes, self.plan, self.patch, self.mirror = tuple(classes), dict(plan or {}), tuple(patch), mirror
        options = dict(encoder)
        self.encoder_architecture = str(options.pop("architecture", "sam"))
        self.image_encoder = _image_encoder(self.encoder_architecture, options).requires_grad_(False)
        self.scale = SLICES if self.encodes_slices else VOLUMES
        self.decoder = VolumeDecoder(_channels(self.image_encoder), len(self.classes), widths, self.scale)

    @property
    def encodes_slices(self) -> bool:
        """Whether every slice is encoded by itself; otherwise all of them at once, as a volume."""
        return self.encoder_architecture == "sam"

    @property
    def patch_stride(self) -> tuple[int, int, int]:
        """Samples per feature along D, H and W."""
        depth, height, width = (factor ** len(self.decoder.blocks) for factor in self.scale)
        return depth, height, width

    @torch.no_grad()
    def encode_slices(self, x: Tensor) -> Tensor:
        """(D, 3, H, W), H and W multiples of 16 -> features (C, D, H/16, W/16).

        Encoders of volumes take (D, 1 or 2, H, W), all axes multiples of 16 (SAM-Med3D: 128), -> (C, D/16, H/16, W/16).
        """
        if self.encodes_slices:
            return self.image_encoder(x).transpose(0, 1)  # (D, C, h, w) -> (C, D, h, w)
        volume = x.transpose(0, 1)[None]  # (1, C, D, H, W)
        if self.encoder_architecture == "sam_med3d_vit_b_ori":
            return _in_windows(self.image_encoder, volume)[0]
        return self.image_encoder(volume)[-1][0]  # the coarsest of the pyramid

    def forward(self, features: Tensor) -> list[Tensor]:
        """Features (B, C, D, h, w) -> logits of every level, finest first."""
        return self.decoder(features)


def _image_encoder(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    from . import build

    if architecture == "sam_3d":
        raise ValueError("the encoder of 'sam_3d' must be another architecture: expected sam or a 3D network")
    return build(architecture, **options).image_encoder


def _channels(encoder: nn.Module) -> int:
    """Features per position that an encoder gives: by its neck, or by the last step of its pyramid."""
    network: Any = encoder
    return int(network.neck[-1].weight.numel() if hasattr(network, "neck") else network.down[-1].out_channels)


def _in_windows(encoder: nn.Module, volume: Tensor) -> Tensor:
    """Encode (B, C, D, H, W) cube by cube and put the features together again."""
    for axis in (2, 3, 4):
        if volume.shape[axis] > FIXED_WINDOW:
            return torch.cat([_in_windows(encoder, part) for part in volume.split(FIXED_WINDOW, axis)], axis)
    return encoder(volume)
