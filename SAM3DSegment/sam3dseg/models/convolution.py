"""Convolutions of volumes that run fast on a CPU: channels last, in oneDNN, in place where no gradient is wanted.

Memory that is used again costs less than fresh pages, which the system has to clear.
B windows, C channels, V = D·H·W voxels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Convolution(nn.Conv3d):
    """A 3D convolution in the precision of its input, that always runs in oneDNN on a CPU.

    For one small float32 volume PyTorch falls back to a plain loop that takes several times as long.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, C', D, H, W)."""
        device = input.device.type
        if torch.is_grad_enabled() or device == "meta" or torch.is_autocast_enabled(device):
            return super().forward(input)
        weight = self.weight.to(input.dtype)
        bias = None if self.bias is None else self.bias.to(input.dtype)
        if device != "cpu" or not torch.backends.mkldnn.is_available():
            return self._conv_forward(input, weight, bias)
        return torch.mkldnn_convolution(input, weight, bias, self.padding, self.stride, self.dilation, 1)


class ResidualBlock(nn.Module):
    """Two 3³ convolutions around an identity (pre-activation, He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = group_norm(channels), convolution(channels, channels)
        self.norm2, self.conv2 = group_norm(channels), convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) -> the same shape."""
        y = self.conv1(silu(self.norm1(x)))
        return added(self.conv2(silu(self.norm2(y))), x)


def convolution(c_in: int, c_out: int, kernel: int = 3) -> Convolution:
    """A convolution that keeps the size of the grid."""
    return Convolution(c_in, c_out, kernel, padding=kernel // 2)


def matrix_of(layer: nn.Module, channels: int) -> tuple[Tensor, Tensor | None]:
    """Weights (M, C) and bias (M,) of a 1³ convolution of `channels`, or of an adapter around one."""
    if isinstance(layer, nn.Conv3d):
        return layer.weight.flatten(1), layer.bias
    like = next(layer.parameters())
    with torch.autocast(like.device.type, enabled=False):
        units = torch.eye(channels, dtype=like.dtype, device=like.device)[:, :, None, None, None]
        bias = layer(torch.zeros_like(units[:1]))
        return (layer(units) - bias).flatten(1).t(), bias.flatten()


def group_norm(channels: int) -> nn.GroupNorm:
    """The normalisation of the embedded network."""
    return nn.GroupNorm(8, channels)


def silu(x: Tensor) -> Tensor:
    """SiLU of a tensor that nothing else needs: in its memory where no gradient is wanted."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def added(x: Tensor, y: Tensor) -> Tensor:
    """x + y, where nothing else needs x: in its memory where no gradient is wanted."""
    return x + y if torch.is_grad_enabled() or x.dtype != y.dtype else x.add_(y)


def upsample(x: Tensor) -> Tensor:
    """Nearest doubling of the three axes; the convolutions behind it smooth the steps."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def add_upsampled(fine: Tensor, coarse: Tensor) -> Tensor:
    """fine (B, C, 2 D, 2 H, 2 W) plus coarse (B, C, D, H, W) doubled; nothing else needs fine."""
    fine_rows = fine.movedim(1, -1)  # (B, 2 D, 2 H, 2 W, C)
    if torch.is_grad_enabled() or fine.dtype != coarse.dtype or not fine_rows.is_contiguous():
        return fine + upsample(coarse)
    lines = coarse.movedim(1, -1).repeat_interleave(2, dim=3).flatten(3)  # (B, D, H, 2 W · C)
    b, d, h, w = lines.shape
    fine_rows.view(b, d, 2, h, 2, w).add_(lines.view(b, d, 1, h, 1, w))
    return fine


def rows_of(x: Tensor) -> Tensor:
    """(B, C, D, H, W) -> (B, V, C), a view when channels come last."""
    return x.permute(0, 2, 3, 4, 1).flatten(1, 3)


def grid_of(rows: Tensor, grid: torch.Size) -> Tensor:
    """(B, V, C) -> (B, C, *grid), a view with channels last."""
    return rows.unflatten(1, grid).movedim(-1, 1)
