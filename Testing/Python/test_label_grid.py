"""Class logits to label maps, slab by slab."""

from __future__ import annotations

import numpy as np
import pytest

from sam3dseg.preprocessing import logits_to_grid
from sam3dseg.proposals.label_grid import LabelGrid, part_of
from sam3dseg.windows import Block


@pytest.mark.parametrize("slabs", [(14,), (1,) * 14, (5, 1, 8)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.4, 0.7, 1.3), (3.1, 1.0, 0.5)])
def test_slabs_give_the_labels_of_the_whole(slabs, spacing):
    logits = np.random.default_rng(0).normal(size=(4, 14, 10, 12)).astype(np.float32)
    shape = tuple(int(n // s) for n, s in zip((13, 9, 11), spacing, strict=True))
    block = Block(tuple((n - 1) / 2 for n in shape), (1.0, 1.0, 1.0), (14, 10, 12))
    grid = LabelGrid(block, spacing, shape)
    begin = 0
    for count in slabs:
        grid.add(logits[:, begin : begin + count])
        begin += count
    whole = np.stack([logits_to_grid(values, block, spacing, shape)[0] for values in logits])
    assert whole.shape[1:] == shape
    np.testing.assert_array_equal(grid.labels, whole.argmax(axis=0))
    assert len(np.unique(grid.labels)) == 4


def test_a_part_lies_where_its_slices_lie():
    block = Block((4.5, 3.0, 2.0), (2.0, 1.0, 1.0), (10, 7, 5))
    part = part_of(block, 2, 5, (0.5, 1, 1))
    assert part.shape == (3, 7, 5)
    assert part.center == (4.5 + (3 - 4.5) * 2 / 0.5, 3.0, 2.0)
