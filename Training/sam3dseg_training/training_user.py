"""The user of a training: clicks where the mask is wrong, less patiently than the one that evaluates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sam3dseg.simulated_user import next_place

from .configs.clicks import ClickConfig

NOT_A_POINT = -1
PATIENT = ClickConfig(random_share=0.0, forget_share=0.0, jitter=0.0)


def visible(target: np.ndarray) -> np.ndarray:
    """Where the object is, bool: the cells that it fills by more than half; of a finer object those it fills most."""
    reference = target > 0.5
    return reference if reference.any() or not target.any() else target == target.max()


class TrainingUser:
    """Keeps one list of clicks per window of a batch and adds to it where the mask is wrong.

    Every window has its own random numbers, so that a sample is clicked alike in whatever batch it comes.
    stride: window voxels per cell of the targets (B, 1, m, ...), of any number of dimensions.
    """

    def __init__(self, rngs: Sequence[np.random.Generator], targets: Tensor, config: ClickConfig, stride: int) -> None:
        self.rngs, self.config, self.stride = rngs, config, stride
        self.references = [visible(target) for target in targets[:, 0].cpu().numpy()]  # (m, ...) each
        self.points: list[list[np.ndarray]] = [[] for _ in self.references]
        self.labels: list[list[int]] = [[] for _ in self.references]

    def click(self, logits: Tensor | None) -> tuple[Tensor, Tensor]:
        """One more click per window, given the last logits (B, 1, m, ...) -> points (B, N, D), labels (B, N).

        Points are window voxels in index order; lists of different lengths are filled up with "not a point".
        """
        masks = None if logits is None else (logits[:, 0] > 0).cpu().numpy()
        for b in range(len(self.references)):
            if masks is None:
                self._first(b)
            else:
                self._correct(b, masks[b])
        longest = max(1, *(len(points) for points in self.points))
        points = np.zeros((len(self.points), longest, self.references[0].ndim), np.float32)
        labels = np.full((len(self.points), longest), NOT_A_POINT, np.float32)
        for b in range(len(self.points)):
            count = len(self.points[b])
            if count:
                points[b, :count], labels[b, :count] = self.points[b], self.labels[b]
        return torch.from_numpy(points), torch.from_numpy(labels)

    def latest(self) -> list[tuple[np.ndarray, bool, int]]:
        """The last click of every window: the cell (3,) where it is, whether it is foreground, which correction."""
        most = np.array(self.references[0].shape) - 1
        cells = [np.clip((points[-1] + 0.5) // self.stride, 0, most).astype(np.int64) for points in self.points]
        return [(c, k[-1] == 1, max(len(k) - 1, 1)) for c, k in zip(cells, self.labels, strict=True)]

    def _first(self, b: int) -> None:
        """A click in the object, maybe the middle of a loose box around it, maybe more; else the default prompt."""
        rng, reference = self.rngs[b], self.references[b]
        if not reference.any():
            self._default(b)
            return
        if rng.random() < self.config.box_share:
            self._add(b, self._box_middle(rng, reference), is_foreground=True)
        else:
            self._correct(b, None)
        if rng.random() < self.config.extra:
            inside = np.argwhere(reference)
            for place in inside[rng.integers(len(inside), size=int(rng.integers(1, 3)))]:
                self._add(b, place, is_foreground=True)

    def _default(self, b: int) -> None:
        """Nothing to click in this window: say that its middle is background."""
        middle = (np.array(self.references[b].shape) - 1) / 2
        self._add(b, middle, is_foreground=False)

    def _correct(self, b: int, mask: np.ndarray | None) -> None:
        loose = self.rngs[b] if self.rngs[b].random() < self.config.random_share else None
        place = next_place(self.references[b], mask, rng=loose)
        if place is not None:
            self._add(b, np.array(place[0]), is_foreground=place[1])

    def _box_middle(self, rng: np.random.Generator, reference: np.ndarray) -> np.ndarray:
        """The middle of a box drawn loosely around the object: the point that the session makes of a box."""
        inside = np.argwhere(reference)
        low, high = inside.min(axis=0), inside.max(axis=0)
        slack = self.config.looseness * (high - low + 1)
        return (low + high + rng.uniform(-slack, slack) + rng.uniform(-slack, slack)) / 2

    def _add(self, b: int, place: np.ndarray, *, is_foreground: bool) -> None:
        jitter = self.rngs[b].uniform(-self.config.jitter, self.config.jitter, len(place))
        self.points[b].append(self.stride * place + (self.stride - 1) / 2 + jitter)
        self.labels[b].append(int(is_foreground))
