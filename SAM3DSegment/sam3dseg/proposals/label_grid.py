"""Class logits on a block of samples to a label map on the grid of the image, slab by slab."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..preprocessing import logits_to_grid
from ..windows import Block


class LabelGrid:
    """Label map `labels` (I, J, K) uint8 of an image: at every voxel the class of the highest interpolated logit.

    block: where the logits lie, with axes in the image's order; spacing_mm and shape are the image's.  Logits arrive
    along axis 0; no more than one slab of them, and one class of it on the image's grid, is held at a time.
    """

    def __init__(self, block: Block, spacing_mm: Sequence[float], shape: tuple[int, ...]) -> None:
        self.labels = np.zeros(shape, dtype=np.uint8)
        self._block, self._spacing = block, tuple(spacing_mm)
        self._last: NDArray[np.float32] | None = None  # of the slab before, to interpolate from
        self._end, self._filled = 0, 0  # of the block's slices, of the image's

    def add(self, logits: NDArray[np.float32]) -> None:
        """The next slices (classes, n, H, W) of the block; class 0 is the background."""
        if self._last is not None:
            logits = np.concatenate([self._last, logits], axis=1)
            self._end -= 1
        begin, self._end = self._end, self._end + logits.shape[1]
        slab = part_of(self._block, begin, self._end, self._spacing)
        stop = self._reached(slab)
        region = (slice(self._filled, stop), *(slice(0, n) for n in self.labels.shape[1:]))
        best, where = logits_to_grid(logits[0], slab, self._spacing, self.labels.shape, region=region)
        for label in range(1, len(logits)):
            value, _ = logits_to_grid(logits[label], slab, self._spacing, self.labels.shape, region=region)
            higher = value > best
            self.labels[where][higher] = label
            np.maximum(best, value, out=best)
        self._last, self._filled = logits[:, -1:], stop

    def _reached(self, slab: Block) -> int:
        """The first slice of the image that needs more than the slab: the one beyond the slab's last sample."""
        if self._end == self._block.shape[0]:
            return self.labels.shape[0]
        last = slab.center[0] + (slab.shape[0] - 1) / 2 * slab.spacing_mm[0] / self._spacing[0]
        return min(max(int(np.floor(last + 1e-9)) + 1, self._filled), self.labels.shape[0])


def part_of(block: Block, begin: int, end: int, spacing_mm: Sequence[float]) -> Block:
    """Samples begin to end - 1 of a block along axis 0; spacing_mm is that of the image."""
    shift = ((begin + end - 1) / 2 - (block.shape[0] - 1) / 2) * block.spacing_mm[0] / spacing_mm[0]
    first, *others = block.center
    return Block((first + shift, *others), block.spacing_mm, (end - begin, *block.shape[1:]))
