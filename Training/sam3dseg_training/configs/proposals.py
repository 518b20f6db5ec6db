"""Automatic proposals by SAM-3D: which frozen encoder, how volumes are cut, and how many variants are encoded."""

from __future__ import annotations

from dataclasses import dataclass

from .options import option

AXES = ("auto", "sagittal", "coronal", "axial")


@dataclass(frozen=True, slots=True)
class ProposalConfig:
    """For new:sam_3d.  The features of the frozen encoder are computed once and kept on disk in half precision."""

    backbone: str = option("sam-vit-b", "the frozen encoder: embedded, a weights file, a name of the catalogue, or "
                           "new:ARCHITECTURE with random weights")  # fmt: skip
    axis: str = option("auto", "slices that are encoded; auto: across the coarsest spacing, else axial", choices=AXES)
    spacing_mm: list[float] = option([], "sample spacing of slices, rows and columns; empty: the cases' median, finer "
                                     "in the plane where slices are small")  # fmt: skip
    patch: list[int] = option([], "slices, rows and columns of a training patch, and of a sliding window later; empty: "
                              "the median case, at most 64 x 176 x 176")  # fmt: skip
    variants: int = option(4, "versions of each case that are encoded: itself, and turned, scaled ones with other "
                           "intensities (1: itself only)", least=1)  # fmt: skip
    mirror: str = option("", "axes along which variants may be mirrored, letters of RAS (right, anterior, superior)")
    features: str = option("", "folder of the features, which several runs may share; empty: beside the run")
