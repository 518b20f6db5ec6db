"""Clicks as maps over a grid: how near the nearest click is, and how alike the most alike one.

B windows, N clicks, C channels of the input, E of the embedding; the grid (D, H, W) has V voxels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .click_memory import ClickMemory, Maps
from .convolution import convolution, rows_of

SMALLEST_EXPONENT = -80.0  # below it exp gives subnormal numbers, which are slow
FARTHEST = 30.0  # scaled intensity difference that counts as no match at all
CACHED_VALUES = 2**17  # size of the tables clicks x voxels: they stay in a CPU's cache


def nearness(points: Tensor, present: Tensor, grid: tuple[int, ...], *, stride: int) -> Tensor:
    """Minus the squared distance in window voxels to the nearest click (B, D, H, W), -inf without one.

    points (B, N, 3) in window voxels, those of present (B, N) count.
    """
    axes = []
    for axis, size in enumerate(grid):
        centres = (torch.arange(size, device=points.device, dtype=points.dtype) + 0.5) * stride - 0.5
        axes.append(-(centres - points[..., axis : axis + 1]).square())  # (B, N, size)
    along = axes[0].masked_fill(~present[..., None], -torch.inf)[..., None, None]  # (B, N, D, 1, 1)
    across = axes[1][..., :, None] + axes[2][..., None, :]  # (B, N, H, W)
    if not points.shape[1]:
        return points.new_full((points.shape[0], *grid), -torch.inf)
    nearest = along[:, 0] + across[:, 0, None]
    for n in range(1, points.shape[1]):
        nearest = torch.maximum(nearest, along[:, n] + across[:, n, None])
    return nearest


def gaussians(nearest: Tensor, sigmas: tuple[float, ...]) -> Maps:
    """Gaussians of several widths, from minus the squared distance (B, D, H, W)."""
    return tuple(torch.exp((nearest * (0.5 / sigma**2)).clamp_(min=SMALLEST_EXPONENT)) for sigma in sigmas)


class ClickMatcher(nn.Module):
    """How much every voxel looks like the clicked ones: by a learned embedding, and by intensity alone."""

    def __init__(self, channels: int, width: int, in_channels: int) -> None:
        super().__init__()
        self.embed = convolution(channels, width, 1)
        self.tolerance = nn.Parameter(torch.zeros(in_channels))  # log of the intensity difference that counts as near
        self.gain, self.bias = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(-2.0))
        self.memory = ClickMemory()

    def prepare(self, features: Tensor) -> Tensor:
        """(B, C, D, H, W) -> unit vectors (B, E, D, H, W); needs no prompts, so it belongs to the encoding.

        Always in float32: how alike two voxels are hangs on the last digits.
        """
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(self.embed(features.float()), dim=1, eps=1e-4)

    def forward(self, embedding: Tensor, tissue: Tensor, points: Tensor, labels: Tensor, *, stride: int) -> Tensor:
        """Match maps (B, 4, D, H, W): embedding and intensity for positive clicks, then both for negative ones.

        embedding: unit vectors (B, E, D, H, W), tissue: pooled input (B, C, D, H, W), points (B, N, 3), labels (B, N).
        Without a click of a sign its embedding match is -1 and its intensity match 0.
        """

        def closest(points: Tensor, present: Tensor) -> Maps:
            alike, similar = self._closest(embedding, tissue, points, present, stride)
            return alike, torch.exp(similar)

        maps: list[Tensor] = []
        for label in (1, 0):
            maps += self._over_clicks(embedding, "match", points, labels, label, closest)
        return torch.stack([m.to(maps[0].dtype) for m in maps], dim=1).unflatten(2, embedding.shape[2:])

    def near(
        self, embedding: Tensor, points: Tensor, labels: Tensor, *, stride: int, sigmas: tuple[float, ...]
    ) -> list[Tensor]:
        """Gaussians (B, D, H, W) of each of `sigmas` for positive clicks, then for negative ones, on this grid."""

        def near(points: Tensor, present: Tensor) -> Maps:
            return gaussians(nearness(points, present, embedding.shape[2:], stride=stride), sigmas)

        maps: list[Tensor] = []
        for label in (1, 0):
            maps += self._over_clicks(embedding, "near", points, labels, label, near)
        return maps

    def mask(self, matches: Tensor) -> Tensor:
        """Match maps -> logits (B, 1, D, H, W) of a mask by embedding alone: supervision for the embedding."""
        return self.gain.exp() * (matches[:, :1] - 0.5 - 0.5 * (matches[:, 2:3] + 1)) + self.bias

    def _over_clicks(
        self,
        source: Tensor,
        kind: str,
        points: Tensor,
        labels: Tensor,
        label: int,
        make: Callable[[Tensor, Tensor], Maps],
    ) -> Maps:
        """What `make` gives for the clicks (B, N, 3) of one label, some of it perhaps from memory."""
        present = labels == label
        used = present.any(dim=0)  # clicks of the other sign and padding cost nothing
        points, present = points[:, used], present[:, used]
        alone = points.shape[0] == 1 and points.shape[1] > 0 and points.device.type == "cpu"
        if not (alone and torch.is_inference_mode_enabled()):
            return make(points, present)
        clicks = [tuple(point) for point in points[0].tolist()]
        return self.memory.highest(
            source, (kind, label), clicks, lambda n: make(points[:, n : n + 1], present[:, n : n + 1])
        )

    def _closest(self, embedding: Tensor, tissue: Tensor, points: Tensor, present: Tensor, stride: int) -> Maps:
        """The highest embedding match (B, V) with the clicks, and minus the least intensity difference (B, V)."""
        grid = embedding.shape[2:]
        index = ((points + 0.5) / stride).floor().long()
        index = torch.minimum(index.clamp(min=0), torch.tensor(grid, device=points.device) - 1)  # (B, N, 3)
        flat = (index[..., 0] * grid[1] + index[..., 1]) * grid[2] + index[..., 2]  # (B, N)
        scaled = tissue.flatten(2) * torch.exp(-self.tolerance)[:, None]  # (B, C, V)
        return closest(rows_of(embedding), scaled, flat, present)


def closest(rows: Tensor, scaled: Tensor, flat: Tensor, present: Tensor) -> Maps:
    """The best match of every voxel with the clicks: by embedding (B, V), and minus the intensity difference (B, V).

    rows (B, V, E), scaled intensities (B, C, V); the clicks lie at voxels flat (B, N), those of present (B, N) count.
    """
    b, voxels, width = rows.shape
    clicks = flat.shape[1]
    if not clicks:
        return rows.new_full((b, voxels), -1.0), scaled.new_full((b, voxels), -FARTHEST)
    keys = rows.gather(1, flat[..., None].expand(-1, -1, width))  # (B, N, E)
    picked = scaled.gather(2, flat[:, None].expand(-1, scaled.shape[1], -1))  # (B, C, N)
    absent = None if present.all() else ~present[..., None]  # (B, N, 1)
    if torch.is_grad_enabled():
        return _alike(keys, rows, absent), _similar(scaled, picked, absent)
    table = CACHED_VALUES if rows.device.type == "cpu" else 128 * CACHED_VALUES
    alike, similar = [], []
    step = max(table // (b * clicks), 1024)
    for part in (slice(begin, begin + step) for begin in range(0, voxels, step)):
        alike.append(_alike(keys, rows[:, part], absent))
        distance = (scaled[:, :, None, part] - picked[..., None]).abs_().sum(dim=1)  # (B, N, v)
        if absent is not None:
            distance.masked_fill_(absent, FARTHEST)
        similar.append(distance.amin(dim=1))
    return torch.cat(alike, dim=1), torch.cat(similar, dim=1).clamp_(max=FARTHEST).neg_()


def _alike(keys: Tensor, rows: Tensor, absent: Tensor | None) -> Tensor:
    """Highest product of the keys (B, N, E) with every row (B, V, E): (B, V)."""
    similarity = keys @ rows.transpose(1, 2)  # (B, N, V)
    if absent is not None:
        similarity = similarity.masked_fill(absent, -1.0)
    return similarity.max(dim=1).values if torch.is_grad_enabled() else similarity.amax(dim=1)


def _similar(scaled: Tensor, picked: Tensor, absent: Tensor | None) -> Tensor:
    """Minus the least difference between intensities (B, C, V) and those of the clicks (B, C, N): (B, V).

    The nearest click is found without gradients, so that one table (B, C, V) is kept for the backward pass, not N.
    """
    nearest, which = torch.full_like(scaled[:, 0], torch.inf), torch.zeros_like(scaled[:, 0], dtype=torch.long)
    with torch.no_grad():
        for n in range(picked.shape[2]):
            distance = (scaled[:, 0] - picked[:, 0, n, None]).abs_()  # (B, V)
            for channel in range(1, scaled.shape[1]):
                distance += (scaled[:, channel] - picked[:, channel, n, None]).abs_()
            if absent is not None:
                distance.masked_fill_(absent[:, n], torch.inf)
            closer = distance < nearest
            nearest = torch.minimum(distance, nearest)
            which.masked_fill_(closer, n)
    chosen = picked.gather(2, which[:, None].expand(-1, scaled.shape[1], -1))  # (B, C, V)
    distance = (scaled - chosen).abs().sum(dim=1)
    return -distance.masked_fill(torch.isinf(nearest), FARTHEST).clamp(max=FARTHEST)
