"""What counts as a good mask, and how much."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option

MASK_LOSSES = ("dice_ce", "dice_bce", "dice", "focal", "dice_focal")
IOU_LOSSES = ("mse", "smooth_l1")


@dataclass(frozen=True, slots=True)
class LossConfig:
    """The terms of the loss and their weights; formulas and sources are in losses.py."""

    kind: str = option("dice_ce", "loss of a mask", choices=MASK_LOSSES)
    mask: float = option(1.0, "weight of the single mask", least=0)
    multi: float = option(0.5, "weight of the best of the alternative masks", least=0)
    iou: float = option(0.2, "weight of the predicted IoU", least=0)
    iou_kind: str = option("mse", "loss of the predicted IoU", choices=IOU_LOSSES)
    match: float = option(0.15, "weight of the click matches (compact network only)", least=0)
    match_levels: str = option("equal", "click matches at strides 2 to 16 count alike, or each half of the finer one",
                               choices=("equal", "halving"))  # fmt: skip
    changes: float = option(1.0, "weight of which changes after a correcting click to believe (compact network only)",
                            least=0)  # fmt: skip
    drop: float = option(0.5, "weight on what a click makes worse than the mask it corrects", least=0)
    sdf: float = option(0.0, "weight of the signed distance of the mask's surface; needs data prepared with sdf=true",
                        least=0)  # fmt: skip
    adaptive: bool = option(False, "learn the balance of the terms (Kendall et al. 2018) on top of these weights")
    adaptive_rate: float = option(1e-2, "learning rate of that balance", above=0)
