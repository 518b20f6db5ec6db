"""Labels on the sample grid of a plan: what SAM-3D should find, by the same mapping as the slices it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sam3dseg.preprocessing import extract_block
from sam3dseg.proposals.features import VolumePlan
from sam3dseg.windows import Block

REACH = 2  # voxels around an object that its samples may average over

Part = tuple[slice, ...]


def label_map(
    labels: NDArray, spacing_mm: Sequence[float], plan: VolumePlan, block: Block
) -> NDArray[np.uint8] | NDArray[np.int32]:
    """Labels (R, A, S) -> the value that takes most of every sample (D, H, W) of a block of the plan.

    Samples outside the image are 0.
    """
    turned = plan.turned(labels)
    spacing = [spacing_mm[axis] for axis in plan.order]
    result = np.zeros(block.shape, np.uint8 if labels.max(initial=0) < 256 else np.int32)
    most, total = np.zeros(block.shape, np.float32), np.zeros(block.shape, np.float32)
    for value, box in _boxes(turned):
        region, part, piece = _around(box, turned.shape, spacing, block)
        share, _ = extract_block(turned[region] == value, spacing, piece, antialias=True)
        total[part] += share
        is_more = share > most[part]
        result[part][is_more] = value
        most[part][is_more] = share[is_more]
    result[most <= 1 - total] = 0
    return result


def _boxes(labels: NDArray) -> Iterator[tuple[int, Part]]:
    """(value, voxels around it) of every label but 0."""
    for index, box in enumerate(ndimage.find_objects(labels.astype(np.int32, copy=False))):
        if box is not None:
            yield index + 1, box


def _around(box: Part, shape: Sequence[int], spacing: Sequence[float], block: Block) -> tuple[Part, Part, Block]:
    """Where an object can count: its voxels with some around them, the samples (part of the block), and their block."""
    region, part, center = [], [], []
    for axis, voxels in enumerate(box):
        begin, end = max(voxels.start - REACH, 0), min(voxels.stop + REACH, shape[axis])
        step, middle = block.spacing_mm[axis] / spacing[axis], (block.shape[axis] - 1) / 2
        reach = 1 + max(step, 1.0) / 2  # voxels from the object's first and last centre
        low = int(np.floor((voxels.start - reach - block.center[axis]) / step + middle))
        high = int(np.ceil((voxels.stop - 1 + reach - block.center[axis]) / step + middle)) + 1
        low, high = max(low, 0), min(max(high, 0), block.shape[axis])
        region.append(slice(begin, end))
        part.append(slice(low, max(low, high)))
        center.append(block.center[axis] + ((low + high - 1) / 2 - middle) * step - begin)
    piece = Block(tuple(center), block.spacing_mm, tuple(p.stop - p.start for p in part))
    return tuple(region), tuple(part), piece
