"""What the tests of evaluation share: a small model on disk, and results made up by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tiny_networks

from sam3dseg.checkpoint import save_checkpoint
from sam3dseg.masks import CroppedMask
from sam3dseg.prompts import Click
from sam3dseg_training.evaluation.metrics import MEASURES
from sam3dseg_training.evaluation.results import ObjectResult


def model_file(path: Path, seed: int = 0, **provenance) -> Path:
    """A tiny random network as a weights file."""
    network = tiny_networks.tiny_compact(seed)
    save_checkpoint(
        path,
        architecture="compact",
        config=tiny_networks.COMPACT,
        weights=network.state_dict(),
        provenance=provenance,
    )
    return path


def result(case: str, label: str, *dice: float, mask=None, **scores) -> ObjectResult:
    """An object with these Dice values after every click; other measures as given, or zero."""
    values = {measure.key: (0.0,) * len(dice) for measure in MEASURES} | {"dice": dice} | scores
    box = np.zeros((6, 6, 6), bool) if mask is None else mask
    return ObjectResult(
        case=case,
        label=label,
        voxels=8,
        clicks=(Click((2, 2, 2)), Click((1, 1, 1), is_foreground=False)),
        seconds=(0.5,) + (0.1,) * (len(dice) - 1),
        scores=values,
        mask=CroppedMask.from_crop(box, (0, 0, 0)),
    )
