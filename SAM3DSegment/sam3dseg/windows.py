"""The cube a model looks at, and the policy that places, widens and narrows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .geometry import Grid


@dataclass(frozen=True, slots=True)
class Block:
    """A physical box in an image grid: canonical voxel coordinates of its middle, sample spacing and samples per axis.

    Sample w of an axis lies at voxel `center + (w - (n - 1) / 2) * spacing_mm / image_spacing_mm`.
    """

    center: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A physical cube in the canonical image grid.

    center: canonical voxel coordinates of its middle. spacing_mm: isotropic sample spacing. size: samples per axis.
    Sample w lies at canonical voxel `center + (w - (size - 1) / 2) * spacing_mm / image_spacing_mm`.
    """

    center: tuple[float, ...]
    spacing_mm: float
    size: int = 128

    @property
    def block(self) -> Block:
        """The cube as a box."""
        return Block(self.center, (self.spacing_mm,) * 3, (self.size,) * 3)

    @property
    def extent_mm(self) -> float:
        """Edge length of the cube, outer sample faces included."""
        return self.size * self.spacing_mm

    def from_image(self, points: ArrayLike, spacing_mm: ArrayLike) -> NDArray[np.float64]:
        """Canonical voxel coordinates (..., 3) -> window sample coordinates (..., 3)."""
        offset_mm = (np.asarray(points, dtype=np.float64) - self.center) * np.asarray(spacing_mm)
        return offset_mm / self.spacing_mm + (self.size - 1) / 2

    def to_image(self, points: ArrayLike, spacing_mm: ArrayLike) -> NDArray[np.float64]:
        """Window sample coordinates (..., 3) -> canonical voxel coordinates (..., 3)."""
        offset_mm = (np.asarray(points, dtype=np.float64) - (self.size - 1) / 2) * self.spacing_mm
        return offset_mm / np.asarray(spacing_mm) + self.center

    def contains(self, points: ArrayLike, spacing_mm: ArrayLike, *, margin: float = 0.0) -> NDArray[np.bool_]:
        """Which canonical voxel coordinates (..., 3) lie in the cube, `margin` samples or more from its faces."""
        inside = self.from_image(points, spacing_mm)
        return np.all((inside >= margin - 0.5) & (inside <= self.size - 0.5 - margin), axis=-1)

    def bounds(self, spacing_mm: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Canonical voxel coordinates (3,), (3,) of the lower and upper faces."""
        half = self.extent_mm / 2 / np.asarray(spacing_mm, dtype=np.float64)
        return np.asarray(self.center) - half, np.asarray(self.center) + half


@dataclass(frozen=True, slots=True)
class ZoomPolicy:
    """Where the window goes and when it widens, narrows or is refined; every threshold can be tuned.

    A fraction without a unit is of the window's edge.
    """

    first_step_fraction: float = 0.125  # first windows are placed on a lattice, so that near clicks share an encoding
    first_finest_divisor: float = 1.5  # a small image is magnified to fill the window, at most this much
    anisotropy_limit: float = 6.0  # the first window is at most this much finer than the coarsest axis
    face_fraction: float = 0.002  # share of a face's cells in the mask that counts as running into it
    out_factor: float = 1.6
    out_steps: int = 2  # then straight to the whole image
    tiny_fraction: float = 0.4  # an object smaller than this is looked at more closely
    framed_fraction: float = 0.6
    in_finest_divisor: float = 3.0
    wide_share: float = 0.5  # of the logits from further away in those of a closer look
    min_gain: float = 1.25  # a finer window must be finer by this factor to be worth an encode
    max_volume_change: float = 4.0  # a finer mask that grows or shrinks more than this is not trusted
    max_correction_change: float = 2.0  # the same, where a click only corrects
    box_fraction: float = 0.6
    hold_fraction: float = 0.8
    edge_margin: float = 2.0  # window samples a new click must keep from the faces
    max_tiles: int = 8  # 0 turns full-resolution refinement off
    tile_overlap: float = 0.25
    tile_agreement: float = 0.5  # a tile whose Dice with the coarse mask is lower is dropped

    def start_spacing(self, grid: Grid, size: int, fixed_mm: float | None) -> float:
        """Spacing of the first window in mm: the model's own, or what shows the image at its best resolution."""
        if fixed_mm is not None:
            return fixed_mm
        largest = max(e for e, n in zip(grid.extent_mm, grid.shape, strict=True) if n > 1 or max(grid.shape) == 1)
        fine = max(grid.finest_mm, grid.coarsest_mm / self.anisotropy_limit)
        if largest < size * fine:
            return float(max(largest / size, grid.finest_mm / self.first_finest_divisor))
        return float(fine)

    def finest_spacing(self, grid: Grid, fixed_mm: float | None) -> float:
        """Finest spacing that zooming in may reach, in mm."""
        return fixed_mm if fixed_mm is not None else grid.finest_mm / self.in_finest_divisor

    def place(self, grid: Grid, center: ArrayLike, spacing_mm: float, size: int) -> Window:
        """Window centred on canonical voxel `center`, shifted into the image; an axis that fits is centred."""
        shape = np.asarray(grid.shape, dtype=np.float64)
        half = spacing_mm * size / 2 / np.asarray(grid.spacing_mm)
        wanted = np.clip(np.asarray(center, dtype=np.float64), half - 0.5, np.maximum(shape - 0.5 - half, half - 0.5))
        middle = np.where(shape > 2 * half, wanted, (shape - 1) / 2)
        return Window(tuple(float(v) for v in middle), float(spacing_mm), size)

    def first_window(self, grid: Grid, point: ArrayLike, spacing_mm: float, size: int) -> Window:
        """Window for a first click at canonical voxel `point`, its centre moved to the nearest place of a lattice."""
        step = self.first_step_fraction * size * spacing_mm / np.asarray(grid.spacing_mm)
        place = np.asarray(point, dtype=np.float64)
        return self.place(grid, np.round(place / step) * step if step.all() else place, spacing_mm, size)

    def framing(
        self, grid: Grid, low: ArrayLike, high: ArrayLike, *, fraction: float, finest_mm: float, size: int
    ) -> Window:
        """Window in which the canonical voxel box low..high (inclusive) takes `fraction`, at `finest_mm` or coarser."""
        low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
        extent = float(((high - low + 1) * grid.spacing_mm).max())
        spacing = min(extent / fraction / size, self.covering_spacing(grid, size))
        return self.place(grid, (low + high) / 2, max(spacing, finest_mm), size)

    def covering_spacing(self, grid: Grid, size: int) -> float:
        """Finest spacing in mm at which one window holds the whole image."""
        return float(grid.extent_mm.max() / size)

    def faces_hit(self, mask: NDArray[np.bool_], window: Window, grid: Grid) -> NDArray[np.int64]:
        """Direction (3, 2) flags: which lower and upper faces the window mask (n, n, n) runs into.

        A face at or beyond the image border does not count.
        """
        low, high = window.bounds(grid.spacing_mm)
        needed = max(1, int(self.face_fraction * mask.shape[0] ** 2))
        hit = np.zeros((3, 2), dtype=np.int64)
        for axis in range(3):
            for side, open_face in enumerate((low[axis] > 0.0, high[axis] < grid.shape[axis] - 1.0)):
                hit[axis, side] = open_face and np.count_nonzero(mask.take(-side, axis=axis)) >= needed
        return hit

    def zoom_out(self, window: Window, grid: Grid, hit: NDArray[np.int64], step: int) -> Window | None:
        """Wider window, moved towards the faces hit and still holding the old cube; None when it holds the image."""
        covering = self.covering_spacing(grid, window.size)
        if window.spacing_mm >= covering * (1 - 1e-9):
            return None
        spacing = covering if step >= self.out_steps else min(window.spacing_mm * self.out_factor, covering)
        slack_mm = (spacing - window.spacing_mm) * window.size / 2
        shift = (hit[:, 1] - hit[:, 0]) * slack_mm / np.asarray(grid.spacing_mm)
        return self.place(grid, np.asarray(window.center) + shift, spacing, window.size)

    def tiles(self, window: Window, grid: Grid, spacing_mm: float) -> list[Window]:
        """Overlapping windows of `spacing_mm` that cover the part of `window` inside the image, on a fixed grid."""
        low, high = window.bounds(grid.spacing_mm)
        low = np.maximum(low, -0.5)
        high = np.minimum(high, np.asarray(grid.shape) - 0.5)
        edge = spacing_mm * window.size / np.asarray(grid.spacing_mm)  # in image voxels
        centers = []
        for axis in range(3):
            spare = high[axis] - low[axis] - edge[axis]
            count = 1 if spare <= 0 else int(np.ceil(spare / (edge[axis] * (1 - self.tile_overlap)) - 1e-9)) + 1
            first, last = low[axis] + edge[axis] / 2, high[axis] - edge[axis] / 2
            centers.append([(low[axis] + high[axis]) / 2] if count == 1 else np.linspace(first, last, count).tolist())
        return [Window((a, b, c), spacing_mm, window.size) for a in centers[0] for b in centers[1] for c in centers[2]]
