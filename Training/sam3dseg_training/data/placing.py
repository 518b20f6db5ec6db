"""Where a training window lies: as the session would put it around an object, and sometimes a little off."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam3dseg.framing import Framing
from sam3dseg.geometry import Grid
from sam3dseg.windows import Window, ZoomPolicy

from .entries import StructureBox

FIRST_SHARE = 0.5  # of the varied windows; how a click is answered first
FRAMED_SHARE = 0.35  # as after looking closer, or after a box; the rest are widened
FRAMED_RANGE = (0.2, 0.8)  # share of the window's edge that a framed object takes
JITTERED_SHARE = 0.6
ZOOM_JITTER = 0.2  # logarithm of the largest change of spacing
SHIFT_JITTER = 0.1  # of the window's edge


@dataclass(frozen=True, slots=True)
class Extent:
    """First and last canonical voxel (3,) of an object."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @classmethod
    def of(cls, boxes: list[StructureBox]) -> Extent:
        return cls(np.min([box.low for box in boxes], axis=0), np.max([box.high for box in boxes], axis=0))


@dataclass(frozen=True, slots=True)
class Placer:
    """Places windows of `size` samples like a session with such a model; fixed_mm is its only spacing, None for any."""

    size: int
    fixed_mm: float | None
    policy: ZoomPolicy = ZoomPolicy()

    def first(self, grid: Grid, point: NDArray) -> Window:
        """The window in which a session answers a first click at canonical voxel `point` (3,)."""
        return self._framing(grid).first_window(np.asarray(point))

    def varied(self, grid: Grid, point: NDArray, extent: Extent, rng: np.random.Generator) -> Window:
        """A window of any stage of a session that holds `point`: first, looking closer, or widened; with jitter."""
        kind = rng.random()
        window = self.first(grid, point)
        if kind >= FIRST_SHARE + FRAMED_SHARE:
            window = self._wider(grid, window, rng)
        elif kind >= FIRST_SHARE:
            window = self.framed(grid, point, extent, float(rng.uniform(*FRAMED_RANGE)))
        return self._jittered(grid, window, point, rng) if rng.random() < JITTERED_SHARE else window

    def framed(self, grid: Grid, point: NDArray, extent: Extent, fraction: float) -> Window:
        """A window of which the object takes `fraction` of the edge, moved to hold `point`."""
        finest_mm = self._framing(grid).finest_mm
        window = self.policy.framing(
            grid, extent.low, extent.high, fraction=fraction, finest_mm=finest_mm, size=self.size
        )
        return self._holding(window, point, grid)

    def _framing(self, grid: Grid) -> Framing:
        return Framing(self.policy, grid, self.size, self.fixed_mm)

    def _wider(self, grid: Grid, window: Window, rng: np.random.Generator) -> Window:
        hit = rng.integers(0, 2, (3, 2))
        return self.policy.zoom_out(window, grid, hit, int(rng.integers(0, self.policy.out_steps + 1))) or window

    def _jittered(self, grid: Grid, window: Window, point: NDArray, rng: np.random.Generator) -> Window:
        spacing = window.spacing_mm * float(np.exp(rng.uniform(-ZOOM_JITTER, ZOOM_JITTER)))
        shift_mm = rng.uniform(-SHIFT_JITTER, SHIFT_JITTER, 3) * self.size * spacing
        center = np.asarray(window.center) + shift_mm / np.asarray(grid.spacing_mm)
        return self._holding(Window(tuple(center.tolist()), spacing, self.size), point, grid)

    def _holding(self, window: Window, point: NDArray, grid: Grid) -> Window:
        """The window moved by no more than it takes to keep `point` the session's margin away from its faces."""
        sample = window.from_image(point, grid.spacing_mm)
        margin = self.policy.edge_margin
        missing = sample - np.clip(sample, margin, self.size - 1 - margin)
        moved = np.asarray(window.center) + missing * window.spacing_mm / np.asarray(grid.spacing_mm)
        return replace(window, center=tuple(moved.tolist()))
