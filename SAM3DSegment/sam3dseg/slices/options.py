"""How a volume is worked through slice by slice: orientation, direction, region, and what is cleaned afterwards."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..geometry import Grid

STEPS = {"both": (1, -1), "forward": (1,), "backward": (-1,), "none": ()}  # forward leads to R, A or S
CHOICES = {
    "orientation": ("auto", "axial", "coronal", "sagittal"),
    "direction": tuple(STEPS),
    "roi": ("follow", "fixed"),
    "modality": ("auto", "ct", "other"),
}
COARSE_RATIO = 1.3  # spacing along an axis, against the next coarsest, from which slices are taken to lie across it


@dataclass(frozen=True, slots=True)
class SliceOptions:
    """Choices of a slice model.

    orientation: of the slices; auto is across an axis of clearly coarsest spacing, else axial.
    direction: where masks are carried on to from a prompted slice; none does the prompted slices only.
    roi: follow carries the mask from slice to slice inside a box; fixed prompts every slice of it with the box itself.
    modality: of the intensities. smallest_part: parts smaller than this share of the largest are removed.
    fill_holes: fill what a slice's contours enclose. smooth_mm: contours lose detail smaller than this.
    Raises ValueError for any other value.
    """

    orientation: str = "auto"
    direction: str = "both"
    roi: str = "follow"
    modality: str = "auto"
    smallest_part: float = 0.0
    fill_holes: bool = False
    smooth_mm: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if not 0 <= self.smallest_part <= 1:
            raise ValueError(f"smallest_part must be a share from 0 to 1, got {self.smallest_part}")
        if not (isfinite(self.smooth_mm) and self.smooth_mm >= 0):
            raise ValueError(f"smooth_mm must be a finite length from 0 mm up, got {self.smooth_mm}")

    @property
    def cleans(self) -> bool:
        """Whether anything is done to masks afterwards."""
        return self.fill_holes or self.smooth_mm > 0 or self.smallest_part > 0

    def axis(self, grid: Grid) -> int:
        """The canonical axis that the slices of a grid lie across. auto: never one that leaves them a single row."""
        from .view import ORIENTATIONS  # here, so that the choices can be read without NumPy

        if self.orientation != "auto":
            return ORIENTATIONS[self.orientation]
        if 1 in grid.shape:
            return grid.shape.index(1)
        coarsest = max(range(3), key=lambda axis: grid.spacing_mm[axis])
        others = max(grid.spacing_mm[axis] for axis in range(3) if axis != coarsest)
        return coarsest if grid.spacing_mm[coarsest] > COARSE_RATIO * others else ORIENTATIONS["axial"]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all options."""
        return tuple(field.name for field in fields(cls))
