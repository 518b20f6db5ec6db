"""Losses against values worked out by hand or by a second computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sam3dseg_training.configs.losses import IOU_LOSSES, MASK_LOSSES
from sam3dseg_training.losses import (
    class_dice,
    class_dice_loss,
    class_levels_loss,
    class_map_at,
    deep_supervision_loss,
    deep_supervision_weights,
    dice_ce_loss,
    dice_loss,
    focal_loss,
    hard_dice,
    iou_loss,
    mask_loss,
    multi_choice_loss,
    sdf_loss,
    soft_iou,
)


@pytest.fixture(params=[(4, 4, 4), (6, 5)], ids=["volumes", "pictures"])
def pair(request):
    """Logits (2, 3, ...) and a soft target (2, 1, ...)."""
    noise = torch.Generator().manual_seed(0)
    return 2 * torch.randn(2, 3, *request.param, generator=noise), torch.rand(2, 1, *request.param, generator=noise)


def per_mask(logits, target, formula):
    """formula(p, t), on flat float64 arrays of every mask -> (B, M)."""
    probability = 1 / (1 + np.exp(-logits.double().numpy()))
    truth = np.broadcast_to(target.double().numpy(), probability.shape)
    rows = [
        [formula(p.ravel(), t.ravel()) for p, t in zip(ps, ts, strict=True)]
        for ps, ts in zip(probability, truth, strict=True)
    ]
    return np.array(rows)


def cross_entropy(p, t):
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


FORMULAS = {
    "dice": lambda p, t: 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1),
    "focal": lambda p, t: (np.abs(t - p) ** 2 * cross_entropy(p, t)).mean(),
}
FORMULAS["dice_ce"] = lambda p, t: FORMULAS["dice"](p, t) + cross_entropy(p, t).sum() / (4 * t.sum() + 0.05 * len(t))
FORMULAS["dice_bce"] = lambda p, t: (
    1 - (2 * (p * t).sum() + 1e-5) / ((p**2).sum() + (t**2).sum() + 1e-5) + cross_entropy(p, t).mean()
)
FORMULAS["dice_focal"] = lambda p, t: FORMULAS["dice"](p, t) + 20 * FORMULAS["focal"](p, t)


@pytest.mark.parametrize("kind", MASK_LOSSES)
def test_every_mask_loss_follows_its_formula(pair, kind):
    logits, target = pair
    if kind in ("focal", "dice_focal"):  # p_t is the probability of the truth only for a target of zeros and ones
        target = (target > 0.5).float()
    found = mask_loss(logits, target, kind)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found.numpy(), per_mask(logits, target, FORMULAS[kind]), rtol=1e-5)


@pytest.mark.parametrize("kind", MASK_LOSSES)
def test_a_right_mask_costs_next_to_nothing_and_stays_finite(kind):
    target = torch.zeros(1, 1, 4, 4, 4)
    target[..., :2] = 1
    assert mask_loss(200 * (target - 0.5), target, kind).item() == pytest.approx(0, abs=1e-6)
    assert math.isfinite(mask_loss(-1e4 * (target - 0.5), target, kind).item())
    assert math.isfinite(mask_loss(torch.zeros_like(target), torch.zeros_like(target), kind).item())


def test_focal_loss_without_focus_is_cross_entropy(pair):
    logits, target = pair
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
    torch.testing.assert_close(focal_loss(logits, target, focus=0.0), expected.flatten(2).mean(2))


def test_dice_of_undecided_logits():
    logits, target = torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2)
    target[0, 0, 0] = 1  # four of eight voxels; p = 1/2 everywhere: overlap 2, sums 4 and 4
    assert dice_loss(logits, target, smooth=0.0).item() == pytest.approx(0.5)
    assert dice_loss(logits, target, smooth=1.0).item() == pytest.approx(1 - 5 / 9)


def test_cross_entropy_is_divided_by_the_object_not_the_window():
    logits, target = torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2)
    target[0, 0, 0] = 1
    expected = 1 - 5 / 9 + 8 * math.log(2) / (4 * 4 + 0.05 * 8)
    assert dice_ce_loss(logits, target).item() == pytest.approx(expected)


def test_iou_regression():
    predicted, reached = torch.tensor([[0.9, 0.2, 3.0]]), torch.tensor([[0.5, 0.4, 1.0]])
    torch.testing.assert_close(iou_loss(predicted, reached, "mse"), torch.tensor([[0.16, 0.04, 4.0]]))
    torch.testing.assert_close(iou_loss(predicted, reached, "smooth_l1"), torch.tensor([[0.08, 0.02, 1.5]]))


def test_sdf_loss_reads_a_logit_as_a_millimetre():
    distance = torch.tensor([-9.0, -2.0, 0.0, 1.0, 3.0, 40.0]).reshape(1, 1, 1, 1, 6)
    assert sdf_loss(-distance, distance).item() == 0
    assert sdf_loss(-5 * distance.sign(), distance.clamp(-5, 5)).item() == pytest.approx((3 + 4 + 2) / 5 / 6)
    logits = torch.zeros(1, 1, 1, 1, 6, requires_grad=True)
    loss = sdf_loss(logits, distance)
    assert loss.item() == pytest.approx((5 + 2 + 0 + 1 + 3 + 5) / 5 / 6)
    loss.sum().backward()
    assert logits.grad.flatten().sign().tolist() == [-1, -1, 0, 1, 1, 1]  # up inside, down outside


def test_only_the_best_of_several_masks_gets_a_gradient(pair):
    logits, target = pair
    logits.requires_grad_(True)
    losses = dice_ce_loss(logits, target)
    best = losses.argmin(dim=1)
    multi_choice_loss(losses).sum().backward()
    reached = logits.grad.abs().flatten(2).sum(2) > 0
    assert reached.tolist() == [[index == mask for index in range(3)] for mask in best.tolist()]


def test_deep_supervision_halves_the_weight_of_every_coarser_output():
    assert deep_supervision_weights(4) == pytest.approx((8 / 15, 4 / 15, 2 / 15, 1 / 15))
    assert deep_supervision_weights(1) == (1.0,)


def test_deep_supervision_compares_each_output_with_the_pooled_target():
    torch.manual_seed(0)
    target = (torch.rand(2, 1, 8, 8, 8) > 0.6).float()
    outputs = [torch.randn(2, 1, size, size, size) for size in (8, 4, 2)]
    pooled = [torch.nn.functional.avg_pool3d(target, 8 // size) for size in (8, 4, 2)]
    expected = sum(w * dice_ce_loss(o, t).mean() for w, o, t in zip((0.5, 0.3, 0.2), outputs, pooled, strict=True))
    torch.testing.assert_close(deep_supervision_loss(outputs, target, (0.5, 0.3, 0.2)), expected)


def test_iou_and_dice_count_voxels():
    logits = torch.full((1, 2, 1, 1, 4), -1.0)
    logits[0, 0, 0, 0, :3] = 1
    target = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 1, 1, 4)
    assert soft_iou(logits, target).tolist() == [[pytest.approx(2 / 3), 0.0]]
    assert hard_dice(logits, target).tolist() == [[pytest.approx(0.8), 0.0]]
    assert hard_dice(logits[:, 1:], torch.zeros_like(target)).tolist() == [[1.0]]


@pytest.mark.parametrize(("function", "names"), [(mask_loss, MASK_LOSSES), (iou_loss, IOU_LOSSES)])
def test_unknown_names_are_refused(function, names):
    with pytest.raises(ValueError, match=f"'other': expected {names[0]}"):
        function(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2), "other")


@pytest.fixture
def classes():
    """Logits (2, 3, 2, 4, 4) of background and two classes, and class numbers (2, 2, 4, 4)."""
    noise = torch.Generator().manual_seed(1)
    return 2 * torch.randn(2, 3, 2, 4, 4, generator=noise), torch.randint(0, 3, (2, 2, 4, 4), generator=noise)


def test_class_dice_has_squared_denominators_and_leaves_the_background_out(classes):
    logits, target = classes
    probability = np.exp(logits.double().numpy())
    probability /= probability.sum(axis=1, keepdims=True)
    truth = np.stack([target.numpy() == number for number in range(3)], axis=1).astype(float)
    rows = []
    for p, t in zip(probability, truth, strict=True):
        terms = [(2 * (p[k] * t[k]).sum() + 1) / ((p[k] ** 2).sum() + (t[k] ** 2).sum() + 1) for k in (1, 2)]
        rows.append(1 - np.mean(terms))
    assert class_dice_loss(logits, target).tolist() == pytest.approx(rows, rel=1e-5)


def test_the_loss_of_levels_is_the_weighted_sum_of_cross_entropy_and_dice(classes):
    logits, target = classes
    coarse = logits[..., 1::2, 1::2].clone()
    weights = deep_supervision_weights(2)
    expected = 0.0
    for weight, level, truth in zip(weights, (logits, coarse), (target, target[..., 1::2, 1::2]), strict=True):
        entropy = -level.log_softmax(1).gather(1, truth[:, None]).mean()
        expected += weight * float(entropy + class_dice_loss(level, truth).mean())
    assert float(class_levels_loss([logits, coarse], target, weights)) == pytest.approx(expected, rel=1e-5)


def test_every_level_of_class_logits_gets_a_gradient_in_proportion_to_its_weight(classes):
    logits, target = classes
    levels = [logits.clone().requires_grad_() for _ in range(4)]
    weights = deep_supervision_weights(4)
    assert weights == pytest.approx([8 / 15, 4 / 15, 2 / 15, 1 / 15])
    class_levels_loss(levels, target, weights).backward()
    norms = [float(level.grad.norm()) for level in levels]
    assert norms == pytest.approx([norms[0] / 2**n for n in range(4)], rel=1e-5) and norms[3] > 0


def test_class_maps_take_the_middle_of_coarse_cells():
    target = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    assert class_map_at(target, (1, 2, 2))[0, 0].tolist() == [[5, 7], [13, 15]]
    assert class_map_at(target, (1, 4, 4)).dtype == torch.long


def test_dice_of_class_maps_by_hand():
    truth = torch.tensor([[[[1, 1, 2, 0]]], [[[0, 0, 0, 0]]]])
    found = torch.tensor([[[[1, 0, 1, 0]]], [[[0, 0, 0, 2]]]])
    assert class_dice(found, truth, 2).numpy() == pytest.approx(np.array([[0.5, 0.0], [1.0, 0.0]]))
