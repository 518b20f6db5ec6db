"""Which pixel of a slice view shows a voxel, when the whole volume is fitted into the view, as Slicer fits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The image axis that runs to the right and to the bottom of each view, and the sign in which its index grows.
ACROSS = {"red": ((0, -1), (1, -1)), "green": ((0, -1), (2, -1)), "yellow": ((1, -1), (2, -1))}


@dataclass(frozen=True)
class FittedVolume:
    """A volume whose axes run along R, A and S, as the slice views show it after it was opened."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def mm_per_pixel(self, view: str, size: tuple[float, float]) -> float:
        """The scale at which the volume fits into a view of width and height `size`."""
        return max(
            self.shape[axis] * self.spacing_mm[axis] / pixels
            for (axis, _), pixels in zip(ACROSS[view], size, strict=True)
        )

    def pixel_of(self, view: str, ijk: Sequence[float], size: tuple[float, float]) -> tuple[float, float]:
        """From the view's left upper corner to the middle of a voxel, wherever the slice lies."""
        scale = self.mm_per_pixel(view, size)
        x, y = (
            pixels / 2 + sign * (ijk[axis] - (self.shape[axis] - 1) / 2) * self.spacing_mm[axis] / scale
            for (axis, sign), pixels in zip(ACROSS[view], size, strict=True)
        )
        return x, y
