"""What the session asks of a segmentation model: encode a window, decode prompts. No network library here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Prediction:
    """Masks of one window: raw logits (M, n, n, n) float32 over the window's cube and predicted IoU (M,) float32.

    Candidate 0 is the default; the others are alternatives. n is the model's own resolution, at most window_size.
    """

    logits: NDArray[np.float32]
    iou: NDArray[np.float32]


class Segmenter(Protocol):
    """A promptable model on one device."""

    name: str
    architecture: str
    window_size: int
    logits_size: int  # n of the raw logits, both ways
    fixed_spacing_mm: float | None
    normalisation: str
    antialias: bool

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
