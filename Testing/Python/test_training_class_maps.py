"""Labels on the sample grid of a plan, against sampling them one by one."""

from __future__ import annotations

import numpy as np
import pytest
from training_cases import volume

from sam3dseg.proposals.features import SlicedVolume, VolumePlan
from sam3dseg.windows import Block
from sam3dseg_training.data.class_maps import label_map

SPACING = (1.0, 1.2, 2.5)


def nearest(labels, plan, block):
    """The label of the voxel that the middle of every sample lies in, and how far that is from the voxel's faces."""
    turned, spacing = plan.turned(labels), [SPACING[axis] for axis in plan.order]
    index, inside = [], []
    for axis, count in enumerate(block.shape):
        place = block.center[axis] + (np.arange(count) - (count - 1) / 2) * block.spacing_mm[axis] / spacing[axis]
        index.append(np.clip(np.round(place).astype(int), 0, turned.shape[axis] - 1))
        inside.append((place >= -0.5) & (place <= turned.shape[axis] - 0.5))
    found = turned[np.ix_(*index)]
    found[~(inside[0][:, None, None] & inside[1][:, None] & inside[2])] = 0
    return found


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(1.0, 0.4, 0.4), (2.5, 1.0, 0.6)])
def test_labels_lie_where_the_slices_show_them(axis, spacing):
    _, labels = volume()
    plan = VolumePlan(axis, spacing)
    block = plan.block(labels.shape, SPACING)
    found = label_map(labels, SPACING, plan, block)
    expected = nearest(labels, plan, block)
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 1, 2}
    assert (found != expected).mean() < 0.02  # only at faces, where a sample takes parts of two labels
    inside = expected == 1
    assert found.shape == SlicedVolume(labels.astype(np.float32), SPACING, plan).shape and inside.sum() > 100


def test_on_the_image_grid_the_labels_stay_as_they_are():
    _, labels = volume()
    plan = VolumePlan(1, (1.2, 2.5, 1.0))
    turned = plan.turned(labels)
    block = Block(tuple((n - 1) / 2 for n in turned.shape), plan.spacing_mm, turned.shape)
    assert np.array_equal(label_map(labels, SPACING, plan, block), turned)


def test_the_label_that_takes_most_of_a_coarse_sample_wins_and_background_counts():
    labels = np.zeros((4, 4, 4), np.uint16)
    labels[:2] = 300
    labels[2:, :1] = 7
    block = Block((1.5, 1.5, 1.5), (4.0, 4.0, 4.0), (1, 1, 1))
    plan = VolumePlan(0, (4.0, 4.0, 4.0))
    assert label_map(labels, (1, 1, 1), plan, block).item() == 300
    labels[:2, :2] = 0  # a quarter of 300, an eighth of 7
    found = label_map(labels, (1, 1, 1), plan, block)
    assert found.item() == 0 and found.dtype == np.int32
