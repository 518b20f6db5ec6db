"""Which window the next decode looks through, given the prompts and the current result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import Grid
from .masks import CroppedMask, bounding_box
from .prompt_set import Prompts
from .windows import Window, ZoomPolicy


@dataclass(frozen=True, slots=True)
class Framing:
    """Frames prompts and objects in windows of `size` samples; fixed_mm is the model's only spacing, None for any."""

    policy: ZoomPolicy
    grid: Grid
    size: int
    fixed_mm: float | None

    @property
    def start_mm(self) -> float:
        """Spacing of a first window."""
        return self.policy.start_spacing(self.grid, self.size, self.fixed_mm)

    @property
    def finest_mm(self) -> float:
        """Finest spacing of any window."""
        return self.policy.finest_spacing(self.grid, self.fixed_mm)

    def start_window(self, prompts: Prompts, current: Window | None, mask: CroppedMask, *, reframe: bool) -> Window:
        """Window for the next decode: the current one while it holds the prompts, or one that does.

        mask: the current result, which a widened window keeps in view. reframe: a box was just given.
        """
        policy, grid = self.policy, self.grid
        window = current
        if prompts.boxes and (reframe or window is None):
            corners = np.concatenate([np.stack(box) for box in prompts.boxes])
            window = self._around(corners, policy.box_fraction)
        elif window is None and not mask.is_empty:
            window = self._around(_corners(mask), policy.box_fraction)
        elif window is None:
            window = self.first_window(prompts.positive[0])
        needed = prompts.corners()
        if window.contains(needed, grid.spacing_mm).all() and self._clear_of_faces(window, needed):
            return window
        held = needed if mask.is_empty else np.concatenate([needed, _corners(mask)])
        return self._around(held, policy.hold_fraction, at_least_mm=window.spacing_mm)

    def first_window(self, point: NDArray) -> Window:
        """Window for a first click at canonical voxel `point` (3,)."""
        return self.policy.first_window(self.grid, point, self.start_mm, self.size)

    def closer_window(self, prompts: Prompts, window: Window, kept: NDArray[np.bool_]) -> Window | None:
        """Finer window around the prompts and an object that is tiny in `window`; None when it is not worth it.

        kept: the object's cells (n, n, n) over the window's cube.
        """
        box = bounding_box(kept)
        if box is None or self.fixed_mm is not None or filled_fraction(kept) > self.policy.tiny_fraction:
            return None
        cell = window.size / kept.shape[0]
        faces = np.array([[s.start * cell - 0.5, s.stop * cell - 0.5] for s in box]).T  # window samples
        voxels = np.round(window.to_image(faces, self.grid.spacing_mm))
        corners = np.clip(voxels, 0, np.asarray(self.grid.shape) - 1)
        closer = self._around(np.concatenate([prompts.corners(), corners]), self.policy.framed_fraction)
        return closer if closer.spacing_mm * self.policy.min_gain <= window.spacing_mm else None

    def _clear_of_faces(self, window: Window, points: NDArray[np.int64]) -> bool:
        """Whether every point keeps the margin from the faces, or no wider view would help it."""
        samples = window.from_image(points, self.grid.spacing_mm)
        low, high = window.bounds(self.grid.spacing_mm)
        margin = self.policy.edge_margin
        near_low = (samples < margin) & (low > 0)
        near_high = (samples > window.size - 1 - margin) & (high < np.asarray(self.grid.shape) - 1)
        return not (near_low | near_high).any()

    def _around(self, points: NDArray, fraction: float, *, at_least_mm: float = 0.0) -> Window:
        return self.policy.framing(
            self.grid,
            points.min(axis=0),
            points.max(axis=0),
            fraction=fraction,
            finest_mm=max(self.finest_mm, at_least_mm),
            size=self.size,
        )


def filled_fraction(kept: NDArray[np.bool_]) -> float:
    """How much of a window's edge an object (n, n, n) takes along its longest axis; 0 where there is none."""
    box = bounding_box(kept)
    return 0.0 if box is None else max(s.stop - s.start for s in box) / len(kept)


def _corners(mask: CroppedMask) -> NDArray[np.int64]:
    low = np.asarray(mask.offset)
    return np.stack([low, low + mask.shape - 1])
