"""Training on slices: a box or clicks first, then clicks where the mask is wrong, all on one encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .click_training import ClickObjective
from .configs.clicks import ClickConfig
from .configs.losses import LossConfig
from .configs.slices import SliceConfig
from .training_user import PATIENT, TrainingUser

JITTER_SIDE = 1024  # pixels of the square that `box_jitter` counts in
STRIDE = 4  # pixels of the square per cell of the logits


class SliceUser(TrainingUser):
    """Draws a box around the object first, where there are boxes (B, 4) in pixels of the square, and clicks later."""

    def __init__(
        self, rngs: Sequence[np.random.Generator], targets: Tensor, config: ClickConfig, boxes: Tensor | None
    ) -> None:
        super().__init__(rngs, targets, config, STRIDE)
        self.boxes = boxes


def pushed_outward(boxes: Tensor, rngs: Sequence[np.random.Generator], *, most: float, side: int) -> Tensor:
    """Boxes (B, 4) with every side moved outward by 0 to `most` pixels, within a square of `side`, as for MedSAM."""
    shifts = np.stack([rng.uniform(0, most, 4) for rng in rngs]) * (-1, -1, 1, 1)
    return (boxes + torch.from_numpy(shifts).to(boxes)).clamp(0, side)


class SliceObjective(ClickObjective):
    """A model of slices together with what it is trained for.

    A batch has image (B, 3, S, S) or features, targets (B, T, S/4, S/4) and boxes (B, T, 4): see `data.slice_samples`.
    """

    def __init__(
        self, network: nn.Module, *, clicks: ClickConfig, loss: LossConfig, slices: SliceConfig, seed: int
    ) -> None:
        super().__init__(network, clicks=clicks, loss=loss, seed=seed, stride=STRIDE)
        self.slices = slices

    def user(
        self, batch: dict[str, Any], index: int, rngs: list[np.random.Generator], shared: np.random.Generator
    ) -> TrainingUser:
        """Who prompts for target `index`; all of the batch start with a box, or none does."""
        target = batch["targets"][:, index : index + 1]
        boxes = None
        if shared.random() < self.slices.boxes:
            side = STRIDE * target.shape[-1]
            most = self.slices.box_jitter * side / JITTER_SIDE
            boxes = pushed_outward(batch["boxes"][:, index], rngs, most=most, side=side)
        return SliceUser(rngs, target, self.clicks, boxes)

    def ask(self, user: TrainingUser, previous: Tensor | None, target: Tensor) -> Any:
        """Points (B, N, 2) as x, y and labels (B, N), None for both with a first box, and boxes (B, 4) or None."""
        boxes = user.boxes if isinstance(user, SliceUser) else None
        if boxes is not None and previous is None:
            return None, None, boxes
        points, labels = super().ask(user, previous, target)
        return points.flip(-1), labels, boxes

    def prompts(self, asked: Any, fed: Tensor | None, target: Tensor) -> tuple[Tensor, Any]:
        """Encode what `ask` gave, and the logits fed back (B, 1, S/4, S/4) or None."""
        points, labels, boxes = asked
        return self.network.encode_prompts(points, labels, boxes, fed)

    def judge(self, embedding: Any, batch: dict[str, Any], rounds: int) -> tuple[Tensor, dict[str, float]]:
        """Dice with a tight box, and after every patient click: of the two, what is trained for."""
        measures, losses = {}, []
        if self.slices.boxes > 0:
            boxed = self.judged(embedding, batch, 1, self._boxing_user)
            measures["dice_box"] = float(boxed[0])
            losses.append((self.slices.boxes, 1 - boxed[0]))
        if self.slices.boxes < 1:
            clicked = self.judged(embedding, batch, rounds, self.patient_user)
            measures |= {f"dice_{turn + 1}": float(value) for turn, value in enumerate(clicked)}
            losses.append((1 - self.slices.boxes, 1 - clicked.mean()))
        return torch.tensor(sum(share * loss for share, loss in losses), dtype=torch.float32), measures

    def _boxing_user(self, batch: dict[str, Any], index: int) -> TrainingUser:
        target = batch["targets"][:, index : index + 1]
        rngs = [np.random.default_rng(0) for _ in target]
        return SliceUser(rngs, target, PATIENT, batch["boxes"][:, index])
