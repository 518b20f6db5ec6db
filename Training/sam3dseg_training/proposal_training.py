"""The loss of SAM-3D: class logits at four levels, from the features of a frozen encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sam3dseg.proposals.sliding import View, slide

from .losses import class_dice, class_levels_loss, deep_supervision_weights
from .tuning.parts import keep_frozen_in_eval


class ProposalObjective(nn.Module):
    """`objective(batch, numbers, draw=) -> (loss, measures)`; with rounds= it judges whole volumes by their Dice.

    names: of the classes, in order.  patch: features (d, h, w) that are decoded together when a volume is judged.
    """

    def __init__(self, network: nn.Module, *, names: Sequence[str], patch: Sequence[int]) -> None:
        super().__init__()
        self.network: Any = network
        decoder: Any = network.decoder
        self.names, self.patch = tuple(names), tuple(patch)
        self.weights = deep_supervision_weights(len(decoder.heads))

    def train(self, mode: bool = True) -> ProposalObjective:
        """Training mode for the decoder only."""
        super().train(mode)
        if mode:
            keep_frozen_in_eval(self.network)
        return self

    def forward(
        self, batch: dict[str, Any], numbers: Sequence[int], *, draw: int = 0, rounds: int = 0
    ) -> tuple[Tensor, dict[str, float]]:
        """batch: features (B, C, d, h, w), target (B, D, H, W) class numbers -> scalar loss, Dice of the classes."""
        if rounds:
            return self._judge(batch)
        features = batch["features"].contiguous(memory_format=torch.channels_last_3d)
        outputs = self.network(features)
        loss = class_levels_loss(outputs, batch["target"], self.weights)
        with torch.no_grad():
            dice = class_dice(outputs[0].argmax(dim=1), batch["target"], len(self.names)).mean()
        return loss, {"dice": float(dice)}

    def _judge(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """1 - mean Dice of the classes, and each of them, by sliding windows over whole volumes."""
        scores = []
        for features, target in zip(batch["features"], batch["target"], strict=True):
            pieces = slide(
                self.network.decoder.finest,
                [View(features)],
                patch=self.patch,
                stride=self.network.patch_stride,
            )
            found = torch.cat([logits.argmax(dim=0) for logits in pieces])  # (D, H, W)
            scores.append(class_dice(found[None], target[None], len(self.names))[0])
        dice = torch.stack(scores).mean(dim=0)  # (K,)
        measures = {f"dice_{name}": float(value) for name, value in zip(self.names, dice, strict=True)}
        return 1 - dice.mean().cpu(), {"dice": float(dice.mean()), **measures}
