"""Losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sam3dseg_training.losses import dice_ce_loss, dice_loss, multi_choice_loss, soft_iou


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


def test_only_the_best_of_several_masks_gets_a_gradient():
    losses = torch.tensor([[3.0, 1.0, 2.0]], requires_grad=True)
    multi_choice_loss(losses).sum().backward()
    assert losses.grad.tolist() == [[0.0, 1.0, 0.0]]


def test_iou_counts_voxels():
    logits = torch.full((1, 2, 1, 1, 4), -1.0)
    logits[0, 0, 0, 0, :3] = 1
    target = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 1, 1, 4)
    assert soft_iou(logits, target).tolist() == [[pytest.approx(2 / 3), 0.0]]
