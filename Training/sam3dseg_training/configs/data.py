"""Which cases a training sees, and through which windows."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Prepared cases, sorted by name, split into training and validation."""

    path: str = option("", "folder written by `sam3dseg-train prepare`", required=True)
    labels: list[str] = option([], "labels to train on, by name; several joined by + are one object; empty: each label")
    fold: int = option(0, "which part of the cases is held out", least=0)
    folds: int = option(5, "parts: every folds-th case is held out (1: none is, and all are trained on)", least=1)
    cases: int = option(0, "use only so many of the training cases, evenly spread (0: all)", least=0)
    crop: int = option(
        0, "window size in voxels, a multiple of 16, now and for later clicks (0: the network's)", least=0
    )
    targets: int = option(2, "objects per window", least=1)
    augment: bool = option(True, "flips, affine maps, intensity, gamma, noise, anisotropy")
