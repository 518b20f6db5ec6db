"""Losses on mask logits, class logits and predicted IoU.  B windows, M masks or K classes, spatial axes last.

Those on masks give one number per mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

FOCUS = 2.0
SURFACE_MM = 5.0


def spatial(values: Tensor) -> tuple[int, ...]:
    """The axes of (B, M, ...) after the first two."""
    return tuple(range(2, values.ndim))


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """1 − (2 Σ p t + s) / (Σ p + Σ t + s), p = sigmoid(logits); (B, M, ...), (B, 1, ...) -> (B, M) (V-Net, 2016)."""
    probability = torch.sigmoid(logits)
    axes = spatial(logits)
    overlap = (probability * target).sum(axes)
    return 1 - (2 * overlap + smooth) / (probability.sum(axes) + target.sum(axes) + smooth)


def dice_ce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Dice plus binary cross-entropy, the latter averaged over a neighbourhood-sized count; -> (B, M).

    The cross-entropy is summed and divided by 4 Σ t + 5 % of the voxels instead of by all of them, so that small
    objects are not drowned by the background.
    """
    target, axes = target.expand_as(logits), spatial(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(axes)
    voxels = logits[0, 0].numel()
    return dice_loss(logits, target) + entropy / (4 * target.sum(axes) + 0.05 * voxels)


def dice_bce_loss(logits: Tensor, target: Tensor, *, smooth: float = 1e-5) -> Tensor:
    """1 − (2 Σ p t + s) / (Σ p² + Σ t² + s) plus the mean binary cross-entropy; -> (B, M) (MedSAM, Ma et al. 2024)."""
    probability, target, axes = torch.sigmoid(logits), target.expand_as(logits), spatial(logits)
    squares = probability.square().sum(axes) + target.square().sum(axes)
    dice = 1 - (2 * (probability * target).sum(axes) + smooth) / (squares + smooth)
    return dice + F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(axes)


def focal_loss(logits: Tensor, target: Tensor, *, focus: float = FOCUS) -> Tensor:
    """Mean of (1 − p_t)^γ · CE, p_t the probability given to the truth; -> (B, M) (Lin et al., arXiv 1708.02002)."""
    from monai.losses import FocalLoss

    target = target.expand_as(logits)
    return FocalLoss(gamma=focus, reduction="none")(logits, target).mean(spatial(logits))


def mask_loss(logits: Tensor, target: Tensor, kind: str) -> Tensor:
    """The loss named by `configs.losses.MASK_LOSSES`; dice_focal is Dice + 20 focal, as in SAM; -> (B, M)."""
    if kind == "dice_ce":
        return dice_ce_loss(logits, target)
    if kind == "dice_bce":
        return dice_bce_loss(logits, target)
    if kind == "dice":
        return dice_loss(logits, target)
    if kind == "focal":
        return focal_loss(logits, target)
    if kind == "dice_focal":
        return dice_loss(logits, target) + 20 * focal_loss(logits, target)
    raise ValueError(f"unknown mask loss {kind!r}: expected dice_ce, dice_bce, dice, focal or dice_focal")


def iou_loss(predicted: Tensor, reached: Tensor, kind: str) -> Tensor:
    """Predicted against reached IoU (B, M) -> (B, M): "mse", or "smooth_l1" (Girshick, arXiv 1504.08083)."""
    if kind == "mse":
        return (predicted - reached).square()
    if kind == "smooth_l1":
        return F.smooth_l1_loss(predicted, reached, reduction="none")
    raise ValueError(f"unknown IoU loss {kind!r}: expected mse or smooth_l1")


def sdf_loss(logits: Tensor, distance_mm: Tensor, *, limit_mm: float = SURFACE_MM) -> Tensor:
    """Mean of |clamp(−logits, ±δ) − clamp(d, ±δ)| / δ: the logits as a signed distance field; -> (B, M).

    The clamped L1 distance of DeepSDF (Park et al., arXiv 1901.05103), one logit standing for one millimetre.
    distance_mm (B, 1, ...): signed distance to the surface in mm, negative inside.
    """
    found, wanted = -logits.clamp(-limit_mm, limit_mm), distance_mm.clamp(-limit_mm, limit_mm)
    return ((found - wanted).abs() / limit_mm).mean(spatial(logits))


def multi_choice_loss(losses: Tensor) -> Tensor:
    """Only the best of several masks is trained: (B, M) -> (B,) (Guzmán-Rivera et al., NeurIPS 2012; SAM 2023)."""
    return losses.min(dim=1).values


def deep_supervision_weights(levels: int) -> tuple[float, ...]:
    """Weights of outputs from the finest to the coarsest, halved each time, summing to one: (8, 4, 2, 1) / 15.

    nnU-Net (Isensee et al., 2021) and SAM-3D (2023).
    """
    return tuple(2.0 ** (levels - 1 - level) / (2**levels - 1) for level in range(levels))


def deep_supervision_loss(outputs: Sequence[Tensor], target: Tensor, weights: Sequence[float]) -> Tensor:
    """Σ w_l · DiceCE(outputs_l, target at the size of output l); outputs (B, 1, ...), finest first -> scalar."""
    total = target.new_zeros(())
    for weight, logits in zip(weights, outputs, strict=True):
        pooled = F.adaptive_avg_pool3d(target, logits.shape[2:])
        total = total + weight * dice_ce_loss(logits.float(), pooled).mean()
    return total


def class_dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """1 − (2 Σ p t + s) / (Σ p² + Σ t² + s), p = softmax(logits), a mean over the classes without the background.

    logits (B, K + 1, ...), target (B, ...) class numbers, 0 background -> (B,) (Milletari et al., V-Net, 2016).
    """
    probability = logits.softmax(dim=1)[:, 1:]
    truth = torch.stack([target == number for number in range(1, logits.shape[1])], dim=1)
    axes = spatial(probability)
    overlap = (probability * truth).sum(axes)
    squares = probability.square().sum(axes) + truth.sum(axes)
    return 1 - ((2 * overlap + smooth) / (squares + smooth)).mean(dim=1)


def class_levels_loss(outputs: Sequence[Tensor], target: Tensor, weights: Sequence[float]) -> Tensor:
    """Σ w_l · (CE + Dice)(outputs_l, target at the size of output l); outputs (B, K + 1, ...), finest first -> scalar.

    target (B, ...) class numbers at full resolution.  SAM-3D (Bui et al., ISBI 2024, section 2.3).
    """
    total = outputs[0].new_zeros((), dtype=torch.float32)
    for weight, logits in zip(weights, outputs, strict=True):
        classes = class_map_at(target, logits.shape[2:])
        logits = logits.float()
        total = total + weight * (F.cross_entropy(logits, classes) + class_dice_loss(logits, classes).mean())
    return total


def class_map_at(target: Tensor, shape: Sequence[int]) -> Tensor:
    """Class numbers (B, ...) -> (B, *shape): of the voxel that the middle of every cell lies in."""
    if tuple(target.shape[1:]) == tuple(shape):
        return target.long()
    resized = F.interpolate(target[:, None].float(), tuple(shape), mode="nearest-exact")  # (B, 1, *shape)
    return resized[:, 0].long()


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of the masks at logit 0 with the target at one half; -> (B, M)."""
    mask, reference, axes = logits > 0, (target > 0.5).expand_as(logits), spatial(logits)
    union = (mask | reference).sum(axes)
    return (mask & reference).sum(axes) / union.clamp(min=1)


def class_dice(found: Tensor, target: Tensor, classes: int) -> Tensor:
    """Dice of every class but the background of two maps of class numbers (B, ...) -> (B, K).

    A class that is neither there nor found agrees fully.
    """
    scores = []
    for number in range(1, classes + 1):
        mask, truth = (found == number).flatten(1), (target == number).flatten(1)
        both = mask.sum(1) + truth.sum(1)
        scores.append(torch.where(both > 0, 2 * (mask & truth).sum(1) / both.clamp(min=1), 1.0))
    return torch.stack(scores, dim=1)


def hard_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Dice of the masks at logit 0 with the target at one half; -> (B, M); two empty masks agree fully."""
    mask, reference, axes = logits > 0, (target > 0.5).expand_as(logits), spatial(logits)
    both = mask.sum(axes) + reference.sum(axes)
    return torch.where(both > 0, 2 * (mask & reference).sum(axes) / both.clamp(min=1), 1.0)
