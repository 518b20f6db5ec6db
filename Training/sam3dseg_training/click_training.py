"""Training by clicks: a simulated user corrects the network's mask, round by round, on one encoding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam3dseg.simulated_user import next_click

from .losses import dice_ce_loss, dice_loss, multi_choice_loss, soft_iou

NOT_A_POINT = -1


@dataclass(frozen=True, slots=True)
class ClickTrainingConfig:
    """How a training user behaves and what the rounds weigh."""

    max_rounds: int = 6
    random_click_share: float = 0.4  # clicks anywhere in the error instead of at its deepest point
    forget_mask_share: float = 0.1  # rounds that do not get the previous logits back
    jitter: float = 0.5  # window voxels
    multi_weight: float = 0.5
    iou_weight: float = 0.2
    match_weight: float = 0.15  # for each stride, once per target
    drop_weight: float = 0.5  # on what a click makes worse than the mask it was meant to correct


class TrainingUser:
    """Keeps one list of clicks per window of a batch and adds to it where the mask is wrong."""

    def __init__(self, rng: np.random.Generator, targets: Tensor, config: ClickTrainingConfig) -> None:
        self.rng, self.config = rng, config
        self.references = (targets[:, 0] > 0.5).numpy()  # (B, d, h, w) at stride 2
        self.points: list[list[np.ndarray]] = [[] for _ in self.references]
        self.labels: list[list[int]] = [[] for _ in self.references]

    def click(self, logits: Tensor | None) -> tuple[Tensor, Tensor]:
        """One more click per window, given the last logits (B, 1, d, h, w) -> points (B, N, 3), labels (B, N)."""
        for b, reference in enumerate(self.references):
            mask = None if logits is None else (logits[b, 0] > 0).numpy()
            loose = self.rng if self.rng.random() < self.config.random_click_share else None
            click = next_click(reference, mask, rng=loose)
            if click is None:
                continue
            jitter = self.rng.uniform(-self.config.jitter, self.config.jitter, 3)
            self.points[b].append(2 * np.array(click.ijk) + 0.5 + jitter)
            self.labels[b].append(int(click.is_foreground))
        longest = max(len(points) for points in self.points)
        points = np.zeros((len(self.points), longest, 3), np.float32)
        labels = np.full((len(self.points), longest), NOT_A_POINT, np.float32)
        for b in range(len(self.points)):
            count = len(self.points[b])
            if count:
                points[b, :count], labels[b, :count] = self.points[b], self.labels[b]
        return torch.from_numpy(points), torch.from_numpy(labels)


def round_loss(logits: Tensor, iou: Tensor, target: Tensor, config: ClickTrainingConfig) -> Tensor:
    """Single mask, best of the alternatives, and predicted IoU: logits (B, 4, ...), iou (B, 4) -> scalar."""
    logits = logits.float()
    masks = dice_ce_loss(logits, target)  # (B, 4)
    reached = soft_iou(logits.detach(), target)
    judged = (iou.float() - reached).square().mean()
    best = multi_choice_loss(masks[:, 1:]).mean()
    return masks[:, 0].mean() + config.multi_weight * best + config.iou_weight * judged


def click_rounds(
    network: nn.Module, batch: dict[str, Tensor], rng: np.random.Generator, config: ClickTrainingConfig
) -> tuple[Tensor, dict[str, float]]:
    """Encode a batch once, click each target for some rounds -> mean loss, Dice after the first and the last click.

    batch: image (B, 2, n, n, n), targets (B, T, n/2, n/2, n/2).
    """
    embedding = network.encode_image(batch["image"])
    total, terms, first, last = batch["image"].new_zeros(()), 0, [], []
    rounds = int(rng.integers(1, config.max_rounds + 1))
    for index in range(batch["targets"].shape[1]):
        target = batch["targets"][:, index : index + 1]
        user = TrainingUser(rng, target, config)
        previous: Tensor | None = None
        reached: Tensor | None = None  # Dice loss of the mask before the click
        for turn in range(rounds):
            points, labels = user.click(previous)
            fed = None if previous is None or rng.random() < config.forget_mask_share else previous
            sparse, dense = network.encode_prompts(points, labels, fed, grid=tuple(target.shape[2:]))
            logits, iou = network.decode_masks(embedding, sparse, dense)
            total = total + round_loss(logits, iou, target, config)
            now = dice_loss(logits[:, :1].float(), target)
            if reached is not None and fed is not None:
                total = total + config.drop_weight * F.relu(now - reached).mean()
            terms, reached = terms + 1, now.detach()
            previous = logits[:, :1].detach().float()
            if turn == 0:
                first.append(mean_dice(previous, target))
        last.append(mean_dice(previous, target))
        total = total + rounds * config.match_weight * match_loss(network.match_masks(embedding, sparse), target)
    return total / terms, {"dice_first": float(np.mean(first)), "dice_last": float(np.mean(last)), "rounds": rounds}


def match_loss(masks: list[Tensor], target: Tensor) -> Tensor:
    """Deep supervision of the click matches: logits (B, 1, ...) per stride, each against the target at its stride."""
    total = target.new_zeros(())
    for logits in masks:
        pooled = F.adaptive_avg_pool3d(target, logits.shape[2:])
        total = total + dice_ce_loss(logits.float(), pooled).mean()
    return total


def mean_dice(logits: Tensor, target: Tensor) -> float:
    """Mean over the batch of the Dice of logits > 0 with target > 0.5."""
    mask, reference = logits > 0, target > 0.5
    overlap = 2 * (mask & reference).sum((1, 2, 3, 4)) / (mask.sum((1, 2, 3, 4)) + reference.sum((1, 2, 3, 4)))
    return float(overlap.mean())
