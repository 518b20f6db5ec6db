"""How well a mask fits a reference: overlap by voxels, distances in mm.

Dice, IoU, HD95 and Surface Dice are MONAI's (https://docs.monai.io, monai.metrics); the surface of a mask is the set of
its voxels with a face neighbour outside it, as there. Where a mask is empty, every measure still has a finite value, so
that a failure lowers a mean instead of dropping out of it: two empty masks fit perfectly; an empty one against another
overlaps nowhere and is as far away as the image is long.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou, compute_surface_dice
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from sam3dseg.masks import bounding_box


@dataclass(frozen=True, slots=True)
class Scores:
    """Dice, IoU and Surface Dice from 0 to 1; distances in mm."""

    dice: float
    iou: float
    surface_dice: float
    hd95_mm: float
    chamfer_mm: float


@dataclass(frozen=True, slots=True)
class Measure:
    """What people are told of a field of Scores."""

    key: str
    title: str
    explanation: str
    is_distance: bool = False


MEASURES = (
    Measure("dice", "Dice", "twice the common voxels over the voxels of both masks"),
    Measure("iou", "IoU", "common voxels over the voxels of either mask"),
    Measure("surface_dice", "Surface Dice", "share of both surfaces that lies within the tolerance of the other"),
    Measure("hd95_mm", "HD95 (mm)", "95th percentile of the distances from one surface to the other, the larger of "
            "both directions", is_distance=True),
    Measure("chamfer_mm", "Chamfer (mm)", "mean distance from one surface to the other, mean of both directions",
            is_distance=True),
)  # fmt: skip


def scores_of(
    mask: NDArray[np.bool_], reference: NDArray[np.bool_], *, spacing_mm: Sequence[float], tolerance_mm: float = 1.0
) -> Scores:
    """All measures of a bool mask (I, J, K) against a reference of the same shape on a grid of this spacing.

    Raises ValueError when the shapes differ.
    """
    if mask.shape != reference.shape:
        raise ValueError(f"expected a mask of the reference's shape {reference.shape}, received {mask.shape}")
    box = bounding_box(mask | reference)
    if box is None:
        return Scores(1.0, 1.0, 1.0, 0.0, 0.0)
    if not (mask.any() and reference.any()):
        longest = float(np.linalg.norm((np.array(mask.shape) - 1) * spacing_mm))
        return Scores(0.0, 0.0, 0.0, longest, longest)
    near, target = np.pad(mask[box], 1), np.pad(reference[box], 1)  # beyond the image counts as outside
    pair = {"y_pred": _batch(near), "y": _batch(target), "include_background": True}
    spacing = [float(value) for value in spacing_mm]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of MONAI about itself
        return Scores(
            dice=float(compute_dice(**pair, ignore_empty=False)),
            iou=float(compute_iou(**pair, ignore_empty=False)),
            surface_dice=float(compute_surface_dice(**pair, class_thresholds=[float(tolerance_mm)], spacing=spacing)),
            hd95_mm=float(compute_hausdorff_distance(**pair, percentile=95, spacing=spacing)),
            chamfer_mm=chamfer(surface_points(near, spacing), surface_points(target, spacing)),
        )


def surface_points(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Centres (N, 3) in mm of the voxels with a face neighbour outside the mask."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.asarray(spacing_mm, dtype=np.float64)


def chamfer(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Mean of both directions' mean distance to the nearest point of the other set, (N, 3) and (M, 3), not empty.

    Barrow et al. 1977 (Parametric correspondence and chamfer matching), with distances, not their squares.
    """
    there, _ = cKDTree(second).query(first)
    back, _ = cKDTree(first).query(second)
    return float(there.mean() + back.mean()) / 2


def _batch(mask: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(mask)[None, None].float()  # (1, 1, I, J, K)
