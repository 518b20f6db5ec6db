"""The labelled structures of the shared data that the click benchmark segments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam3dseg.imageio import Image, read_image

SETS = ("hippocampus", "total_ct", "flair_lesion")
MIN_VOXELS = 900  # of a structure of total_ct
LESION = 1  # of flair_lesion


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure of one image; label None stands for all labels together."""

    set_name: str
    name: str
    image: Path
    labels: Path
    label: int | None = None

    def load(self) -> tuple[Image, NDArray[np.bool_]]:
        """The image, and the structure as bool (I, J, K)."""
        values = _labels(self.labels)
        return _image(self.image), values > 0 if self.label is None else values == self.label


def structures(data: Path, sets: Iterable[str] = SETS, *, hippocampus_cases: int = 40) -> list[Structure]:
    """The structures of `sets` in the folder `data`: the whole hippocampus of the first cases, every structure of
    total_ct with more than MIN_VOXELS voxels, and the lesion of the FLAIR image.

    Of the FLAIR image's labels only LESION is a structure: 2 and 3 are pen strokes over healthy tissue and over air.

    Raises ValueError for an unknown set and for a folder without these data.
    """
    found: list[Structure] = []
    for name in sets:
        if name not in SETS:
            raise ValueError(f"unknown set {name!r}: expected one of {', '.join(SETS)}")
        folder = Path(data) / name
        if not folder.is_dir():
            raise ValueError(f"expected the folder {folder}, which does not exist; give the data's folder with --data")
        if name == "hippocampus":
            images = sorted(folder.glob("imagesTr/hippocampus_*.nii.gz"))[:hippocampus_cases]
            found += [
                Structure(name, image.name.removesuffix(".nii.gz"), image, folder / "labelsTr" / image.name)
                for image in images
            ]
        elif name == "total_ct":
            image, labels = folder / "image.nii.gz", folder / "labels.nii.gz"
            values, counts = np.unique(_labels(labels), return_counts=True)
            found += [
                Structure(name, f"label {value}", image, labels, int(value))
                for value, count in zip(values, counts, strict=True)
                if value > 0 and count > MIN_VOXELS
            ]
        else:
            found.append(Structure(name, "lesion", folder / "image.nii.gz", folder / "labels.nii.gz", LESION))
    return found


@lru_cache(maxsize=1)
def _image(path: Path) -> Image:
    return read_image(path)


@lru_cache(maxsize=1)
def _labels(path: Path) -> NDArray:
    return read_image(path).array_ijk
