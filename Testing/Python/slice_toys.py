"""A deterministic stand-in for a slice model, and phantoms for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sam3dseg.protocol import Prediction


@dataclass
class ThresholdSliceSegmenter:
    """Segments what is as bright as the foreground clicks, the middle of the box, or the deepest of the previous mask.

    Background clicks carve a disk. Counts its calls; `wait` is called by every encoding.
    """

    name: str = "slices"
    architecture: str = "sam"
    image_size: int = 64
    logits_size: int = 16
    preprocessing: str = "sam"
    device_line: str = "CPU"
    tolerance: float = 0.4
    encoded: list[NDArray[np.float32]] = field(default_factory=list)
    decoded: list[dict] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    wait: object = None

    def encode(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        self.threads.add(threading.current_thread().name)
        self.encoded.append(values)
        if self.wait:
            self.wait()
        return values[0]

    def decode(self, embedding, *, points, labels, box=None, previous=None) -> Prediction:
        self.decoded.append({"points": points, "labels": labels, "box": box, "previous": previous})
        step = self.image_size // self.logits_size
        cells = np.clip(np.floor((points + 0.5) / step).astype(int), 0, self.logits_size - 1)
        n = self.logits_size
        picture = embedding.reshape(n, step, n, step).mean(axis=(1, 3))  # (n, n)
        if (labels == 1).any():
            levels = [picture[y, x] for x, y in cells[labels == 1]]
        elif previous is not None and (previous > 0).any():
            depth = ndimage.distance_transform_edt(previous > 0)
            y, x = np.unravel_index(np.argmax(depth), depth.shape)
            levels = [np.median(picture[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2])]
        elif box is not None:
            x, y = (int(c) for c in np.clip((box[:2] + box[2:]) / 2 / step, 0, n - 1))
            levels = [picture[y, x]]
        else:
            levels = []
        likeness = np.full((n, n), -1.0, np.float32)
        for level in levels:
            likeness = np.maximum(likeness, self.tolerance - np.abs(picture - level))
        grid = np.indices((n, n))
        for x, y in cells[labels == 0]:
            near = (grid[0] - y) ** 2 + (grid[1] - x) ** 2 <= 4
            likeness = np.where(near, np.minimum(likeness, -0.5), likeness)
        likeness = np.clip(likeness * 20, -3, 3)
        iou = np.array([0.9, 0.8, 0.7, 0.6], np.float32) if (likeness > 0).any() else np.full(4, 0.3, np.float32)
        return Prediction(np.stack([likeness, likeness - 2, likeness + 1, likeness]), iou)

    def memory_bytes(self) -> int:
        return 123


def brightness(*masks: NDArray[np.bool_], levels=(100.0, 60.0, 30.0)) -> NDArray[np.float32]:
    """An image (I, J, K) in which each mask has its own level, the first on top, with a little noise."""
    image = np.zeros(masks[0].shape, np.float32)
    for mask, level in reversed(list(zip(masks, levels, strict=False))):
        image[mask] = level
    return image + np.random.default_rng(0).normal(0, 1, image.shape).astype(np.float32)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1))
