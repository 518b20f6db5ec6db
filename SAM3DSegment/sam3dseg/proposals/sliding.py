"""Sliding-window decoding of large feature volumes with Gaussian weights, slab by slab (as in nnU-Net, Isensee 2021).

Patches lie on a regular grid, so the weights are products of one-dimensional ones, scaled to sum to one everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

OVERLAP = 0.5
DEVIATIONS = 8.0  # standard deviations of the Gaussian in a patch
SMALLEST_WEIGHT = 1e-3


@dataclass(frozen=True)
class View:
    """Features (C, d, h, w) in their place, and the axes along which they are mirrored before they are decoded."""

    features: Tensor
    mirrored: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tiling:
    """Patches along one axis: their first cells, and the weights (patches, samples) of their samples."""

    starts: tuple[int, ...]
    cells: int
    stride: int
    weights: Tensor

    @classmethod
    def of(cls, length: int, patch: int, stride: int, *, overlap: float = OVERLAP) -> Tiling:
        """Patches of `patch` cells, or of `length` where that is less; `stride` samples per cell."""
        patch = min(patch, length)
        spare = length - patch
        count = 1 if not spare else ceil(spare / max(1.0, patch * (1 - overlap))) + 1
        starts = tuple(round(n * spare / max(count - 1, 1)) for n in range(count))
        offset = torch.arange(patch * stride, dtype=torch.float64) - (patch * stride - 1) / 2
        bell = torch.exp(-0.5 * (offset * DEVIATIONS / (patch * stride)).square()).clamp(min=SMALLEST_WEIGHT)
        total = torch.zeros(length * stride, dtype=torch.float64)
        for start in starts:
            total[start * stride : (start + patch) * stride] += bell
        weights = torch.stack([bell / total[start * stride : (start + patch) * stride] for start in starts])
        return cls(starts, patch, stride, weights.float())

    def place(self, number: int) -> slice:
        """The cells of a patch."""
        return slice(self.starts[number], self.starts[number] + self.cells)

    def samples(self, number: int) -> slice:
        """The samples of a patch."""
        return slice(self.starts[number] * self.stride, (self.starts[number] + self.cells) * self.stride)

    @property
    def length(self) -> int:
        """Samples of the axis."""
        return self.samples(len(self) - 1).stop

    def __len__(self) -> int:
        return len(self.starts)


def slide(
    decode: Callable[[Tensor], Tensor],
    views: Sequence[View],
    *,
    patch: Sequence[int],
    stride: Sequence[int],
    overlap: float = OVERLAP,
    check: Callable[[], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Tensor]:
    """Logits of a whole volume, averaged over `views`: slab after slab (K, n, H, W) along the first axis.

    decode: (1, C, d, h, w) -> (1, K, d · stride, ...); patch: cells (d, h, w); stride: samples per cell.  No more than
    the slices of one patch are held at a time.  check is called before every patch and may raise; on_progress gets
    patches done and in all.
    """
    cells = views[0].features.shape[1:]
    tilings = [Tiling.of(n, p, s, overlap=overlap) for n, p, s in zip(cells, patch, stride, strict=True)]
    depth, height, width = tilings
    in_plane = [(row, column) for row in range(len(height)) for column in range(len(width))]
    rest: Tensor | None = None
    for layer in range(len(depth)):
        slab = torch.empty(0)
        for number, (row, column) in enumerate(in_plane):
            if check:
                check()
            logits = _weighted(_decoded(decode, views, tilings, (layer, row, column)), tilings, (layer, row, column))
            if not slab.numel():
                slab = logits.new_zeros((*logits.shape[:2], height.length, width.length))
            slab[:, :, height.samples(row), width.samples(column)] += logits
            if on_progress:
                on_progress(layer * len(in_plane) + number + 1, len(depth) * len(in_plane))
        if rest is not None:
            slab[:, : rest.shape[1]] += rest
        end = depth.samples(layer + 1).start if layer + 1 < len(depth) else depth.length
        complete = end - depth.samples(layer).start
        rest = slab[:, complete:]
        yield slab[:, :complete]


def _decoded(
    decode: Callable[[Tensor], Tensor], views: Sequence[View], tilings: Sequence[Tiling], numbers: Sequence[int]
) -> Tensor:
    """Mean over the views of one patch's logits (K, D, H, W)."""
    answers = []
    place = [tiling.place(number) for tiling, number in zip(tilings, numbers, strict=True)]
    for view in views:
        patch = view.features[(slice(None), *place)]
        mirrored = [axis + 1 for axis in view.mirrored]
        answers.append(decode(patch.flip(mirrored)[None])[0].float().flip(mirrored))
    return torch.stack(answers).mean(dim=0)


def _weighted(logits: Tensor, tilings: Sequence[Tiling], numbers: Sequence[int]) -> Tensor:
    for axis, (tiling, number) in enumerate(zip(tilings, numbers, strict=True)):
        shape = [-1 if other == axis else 1 for other in range(3)]
        logits = logits * tiling.weights[number].to(logits).reshape(shape)
    return logits
