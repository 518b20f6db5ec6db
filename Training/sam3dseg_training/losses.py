"""Losses on mask logits and predicted IoU.  B windows, M masks, spatial axes last."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SPATIAL = (-3, -2, -1)


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """1 − (2 Σ p t + s) / (Σ p + Σ t + s), p = sigmoid(logits); (B, M, ...), (B, 1, ...) -> (B, M) (V-Net, 2016)."""
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum(SPATIAL)
    return 1 - (2 * overlap + smooth) / (probability.sum(SPATIAL) + target.sum(SPATIAL) + smooth)


def dice_ce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Dice plus binary cross-entropy, the latter averaged over a neighbourhood-sized count; -> (B, M).

    The cross-entropy is summed and divided by 4 Σ t + 5 % of the voxels instead of by all of them, so that small
    objects are not drowned by the background.
    """
    target = target.expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(SPATIAL)
    voxels = logits[0, 0].numel()
    return dice_loss(logits, target) + entropy / (4 * target.sum(SPATIAL) + 0.05 * voxels)


def multi_choice_loss(losses: Tensor) -> Tensor:
    """Only the best of several masks is trained: (B, M) -> (B,) (Guzmán-Rivera et al., NeurIPS 2012; SAM 2023)."""
    return losses.min(dim=1).values


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of the masks at logit 0 with the target at one half; -> (B, M)."""
    mask, reference = logits > 0, (target > 0.5).expand_as(logits)
    union = (mask | reference).sum(SPATIAL)
    return (mask & reference).sum(SPATIAL) / union.clamp(min=1)
