"""What the session asks of a segmentation model: encode an image, decode prompts. No network library here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .weighing import Judge


@dataclass(frozen=True, slots=True)
class Prediction:
    """Masks of one window or slice: raw logits (M, n, n[, n]) float32 over it, and predicted IoU (M,) float32.

    Candidate 0 is the default; the others are alternatives. n is the model's own resolution.
    """

    logits: NDArray[np.float32]
    iou: NDArray[np.float32]


def checked_points(
    points: NDArray[np.float64], labels: NDArray[np.int64], *, axes: int
) -> tuple[NDArray[np.float32], NDArray]:
    """Points (N, axes) and labels (N,) as a decoder takes them.  Raises ValueError when they are none."""
    places, kinds = np.asarray(points, np.float32).reshape(-1, axes), np.asarray(labels).reshape(-1)
    if len(places) != len(kinds):
        raise ValueError(f"expected one label per point, received {len(places)} points and {len(kinds)} labels")
    if not np.isin(kinds, (0, 1)).all():
        raise ValueError(f"expected labels 1 (foreground) or 0 (background), received {sorted(set(kinds.tolist()))}")
    return places, kinds


class Segmenter(Protocol):
    """A model promptable in cubic windows, on one device."""

    name: str
    architecture: str
    window_size: int
    logits_size: int  # n of the raw logits, both ways
    fixed_spacing_mm: float | None
    normalisation: str
    antialias: bool
    judge: Judge | None  # which changes after a correcting click to believe; None: all, and no mask is cut at edges

    @property
    def device_line(self) -> str:
        """The device and precision in words."""

    def encode(self, image: NDArray[np.float32]) -> Any:
        """Normalised window (C, n, n, n) -> opaque embedding, kept on the device."""

    def decode(
        self,
        embedding: Any,
        points: NDArray[np.float64],
        labels: NDArray[np.int64],
        previous: NDArray[np.float32] | None,
    ) -> Prediction:
        """Points (N, 3) in window voxels, labels (N,) 1 or 0, raw logits (n, n, n) of the last answer or None."""

    def memory_bytes(self) -> int:
        """Bytes the model and its work take on the device."""


class SliceSegmenter(Protocol):
    """A model promptable in square pictures of slices, on one device."""

    name: str
    architecture: str
    image_size: int  # S, side of the input square in pixels
    logits_size: int  # n of the raw logits, both ways
    preprocessing: str  # a method of `slice_preprocessing.slice_input`

    @property
    def device_line(self) -> str:
        """The device and precision in words."""

    def encode(self, values: NDArray[np.float32]) -> Any:
        """Prepared slice (3, S, S) -> opaque embedding with its size `nbytes`, kept on the device."""

    def decode(
        self,
        embedding: Any,
        *,
        points: NDArray[np.float64],
        labels: NDArray[np.int64],
        box: NDArray[np.float64] | None = None,
        previous: NDArray[np.float32] | None = None,
    ) -> Prediction:
        """Points (N, 2) as (x, y) in pixels of the square, labels (N,) 1 or 0, box (x0, y0, x1, y1), logits (n, n)."""

    def memory_bytes(self) -> int:
        """Bytes the model and its work take on the device."""
