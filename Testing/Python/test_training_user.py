"""The user of a training: where it clicks, and how its prompts become tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam3dseg.prompts import Click
from sam3dseg.simulated_user import next_click
from sam3dseg_training.configs.clicks import ClickConfig
from sam3dseg_training.training_user import NOT_A_POINT, PATIENT, TrainingUser

EXACT = {"forget_share": 0.0, "jitter": 0.0, "extra": 0.0, "box_share": 0.0}


def block(low, high, size=8):
    target = torch.zeros(1, 1, size, size, size)
    target[0, 0, low[0] : high[0], low[1] : high[1], low[2] : high[2]] = 1
    return target


def user_of(targets, stride=2, seed=0, **settings):
    rngs = [np.random.default_rng((seed, b)) for b in range(len(targets))]
    return TrainingUser(rngs, targets, ClickConfig(**{**EXACT, **settings}), stride)


def cells(points, stride):
    return ((points.numpy() - (stride - 1) / 2) / stride).round().astype(int)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_patient_first_click_is_at_the_deepest_point_in_window_voxels(stride):
    points, labels = user_of(block((1, 2, 3), (6, 7, 8)), stride, random_share=0).click(None)
    deepest = np.array([3, 4, 5])
    assert labels.tolist() == [[1]]
    np.testing.assert_allclose(points.numpy(), [[stride * deepest + (stride - 1) / 2]])


def test_a_random_first_click_is_anywhere_in_the_object():
    target = block((1, 2, 3), (5, 4, 6))
    found = {tuple(cells(user_of(target, seed=s, random_share=1).click(None)[0], 2)[0, 0]) for s in range(60)}
    assert len(found) > 12
    assert all(target[0, 0][place] == 1 for place in found)


@pytest.mark.parametrize(("grown", "sign"), [((2, 3, 8), 0), ((2, 3, 2), 1)])
@pytest.mark.parametrize("random_share", [0, 1])
def test_later_clicks_lie_in_the_error_and_bear_its_sign(grown, sign, random_share):
    target = block((1, 1, 1), (4, 5, 5))
    logits = 2 * block((1, 1, 1), (4, 5, grown[2])) - 1  # spills over, or misses a part
    user = user_of(target, random_share=random_share)
    points, labels = user.click(None)
    points, labels = user.click(logits)
    i, j, k = cells(points, 2)[0, 1]
    assert labels[0].tolist() == [1, sign]
    assert bool(target[0, 0, i, j, k]) == bool(sign)
    assert (logits[0, 0, i, j, k] > 0) != bool(sign)


def test_patient_corrections_are_those_of_the_evaluation():
    target, logits = block((1, 1, 1), (5, 6, 7)), 2 * block((1, 1, 3), (7, 6, 7)) - 1
    user = TrainingUser([np.random.default_rng(0)], target, PATIENT, 2)
    user.click(None)
    points, labels = user.click(logits)
    expected = next_click(target[0, 0].numpy() > 0.5, logits[0, 0].numpy() > 0)
    assert isinstance(expected, Click)
    assert tuple(cells(points, 2)[0, 1]) == expected.ijk and bool(labels[0, 1]) == expected.is_foreground


def test_a_perfect_mask_gets_no_click_and_is_padded_with_not_a_point():
    targets = torch.cat([block((2, 2, 2), (6, 6, 6))] * 2)
    user = user_of(targets, random_share=0)
    user.click(None)
    logits = 2 * targets - 1
    logits[1] = 1  # the second mask covers everything
    points, labels = user.click(logits)
    assert labels.tolist() == [[1, NOT_A_POINT], [1, 0]]
    assert points.shape == (2, 2, 3) and points[0, 1].tolist() == [0, 0, 0]


def test_one_or_two_extra_positives_come_with_the_first_click():
    target = block((1, 2, 3), (5, 6, 8))
    counts = set()
    for seed in range(20):
        points, labels = user_of(target, seed=seed, extra=1).click(None)
        assert set(labels[0].tolist()) == {1}
        assert all(target[0, 0][tuple(place)] == 1 for place in cells(points, 2)[0])
        counts.add(points.shape[1])
    assert counts == {2, 3}


def test_jitter_stays_within_its_bound():
    target = block((2, 2, 2), (6, 6, 6))
    exact = user_of(target, random_share=0).click(None)[0]
    moved = torch.stack([user_of(target, seed=s, random_share=0, jitter=0.75).click(None)[0] for s in range(40)])
    off = (moved - exact).abs()
    assert off.max() <= 0.75 and off.max() > 0.5 and off.min() < 0.2


@pytest.mark.parametrize("looseness", [0.0, 0.1])
def test_the_middle_of_a_loose_box_is_within_its_slack(looseness):
    target = block((2, 1, 4), (8, 9, 10), size=16)
    low, high = np.array([2, 1, 4]), np.array([7, 8, 9])
    middles = [
        user_of(target, stride=1, seed=s, box_share=1, looseness=looseness).click(None)[0].numpy()[0, 0]
        for s in range(40)
    ]
    off = np.abs(np.array(middles) - (low + high) / 2) / (high - low + 1)
    assert off.max() <= looseness + 1e-6
    assert off.max() >= 0.5 * looseness


def test_a_share_of_the_first_prompts_are_boxes():
    target = block((0, 0, 0), (8, 1, 1))  # a box's middle is not the voxel that a patient user takes
    patient = user_of(target, random_share=0).click(None)[0]
    different = sum(
        not torch.equal(user_of(target, seed=s, random_share=0, box_share=0.1, looseness=0.1).click(None)[0], patient)
        for s in range(300)
    )
    assert 12 <= different <= 54


def test_a_window_without_an_object_gets_a_background_click_in_its_middle():
    points, labels = user_of(torch.zeros(1, 1, 8, 8, 8)).click(None)
    assert labels.tolist() == [[0]] and points.tolist() == [[[7.5, 7.5, 7.5]]]


def test_an_object_finer_than_a_cell_is_clicked_where_it_is_densest():
    target = torch.zeros(1, 1, 8, 8, 8)
    target[0, 0, 3, 4, 5], target[0, 0, 3, 4, 6] = 0.3, 0.1
    points, labels = user_of(target, random_share=0).click(None)
    assert labels.tolist() == [[1]] and cells(points, 2).tolist() == [[[3, 4, 5]]]


def test_a_sample_is_clicked_alike_in_whatever_batch_it_comes():
    targets = torch.cat([block((1, 1, 1), (7, 6, 5)), block((0, 2, 1), (3, 7, 6)), block((4, 4, 4), (8, 8, 8))])
    settings = {"random_share": 0.5, "extra": 0.5, "box_share": 0.3, "looseness": 0.1, "jitter": 0.5}
    logits = 2 * torch.roll(targets, 1, dims=2) - 1
    together = user_of(targets, **settings)
    together.click(None)
    points, labels = together.click(logits)
    for b in range(3):
        config = ClickConfig(**{**EXACT, **settings})
        alone = TrainingUser([np.random.default_rng((0, b))], targets[b : b + 1], config, 2)
        alone.click(None)
        own, own_labels = alone.click(logits[b : b + 1])
        count = own.shape[1]
        assert torch.equal(points[b, :count], own[0]) and torch.equal(labels[b, :count], own_labels[0])
        assert (labels[b, count:] == NOT_A_POINT).all()


def test_in_a_picture_points_have_two_coordinates_in_index_order():
    target = torch.zeros(1, 1, 8, 10)
    target[0, 0, 1:6, 3:8] = 1
    user = user_of(target, stride=4, random_share=0, jitter=0)
    points, labels = user.click(None)
    assert labels.tolist() == [[1]] and points.tolist() == [[[4 * 3 + 1.5, 4 * 5 + 1.5]]]
    logits = -torch.ones_like(target)
    logits[0, 0, :, 9] = 1
    logits[target > 0] = 1
    points, labels = user.click(logits)
    assert labels.tolist() == [[1, 0]] and cells(points, 4)[0, 1, 1] == 9


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_latest_click_is_told_by_its_cell(stride):
    target = torch.cat([block((1, 1, 1), (6, 6, 6)), block((0, 0, 0), (1, 1, 1))])
    user = user_of(target, stride, random_share=0)
    user.click(None)
    assert [(tuple(cell), adds) for cell, adds, _ in user.latest()] == [((3, 3, 3), True), ((0, 0, 0), True)]
    user.click(torch.ones(2, 1, 8, 8, 8))
    points, labels = user.click(torch.ones(2, 1, 8, 8, 8))
    latest = user.latest()
    assert [tuple(cell) for cell, _, _ in latest] == [tuple(place) for place in cells(points, stride)[:, -1]]
    assert [adds for _, adds, _ in latest] == [False, False] == (labels[:, -1] == 1).tolist()
    assert [count for *_, count in latest] == [2, 2]


def test_a_latest_click_past_the_border_belongs_to_the_outermost_cell():
    user = user_of(block((0, 0, 0), (1, 1, 1)), 1, random_share=0)
    user.click(None)
    user.points[0].append(np.array([-0.9, 7.9, 3.0]))
    user.labels[0].append(1)
    assert tuple(user.latest()[0][0]) == (0, 7, 3)
