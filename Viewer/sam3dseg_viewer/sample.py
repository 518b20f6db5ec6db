"""`python -m sam3dseg_viewer.sample FILE` writes the volume of `sam3dseg demo`, to be opened in the page."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import SimpleITK as sitk

from sam3dseg.demo import STRUCTURE, template
from sam3dseg.imageio import LPS_TO_RAS, Image


def write_sample(path: str | os.PathLike[str]) -> Image:
    """Write the ICBM 152 template at 1 mm, in a folder that is made when missing; gives the image."""
    image, _ = template(STRUCTURE)
    volume = sitk.GetImageFromArray(image.array_ijk.T)  # (I, J, K) -> (K, J, I)
    volume.SetSpacing(image.spacing_mm)
    volume.SetOrigin((LPS_TO_RAS @ image.origin_ras).tolist())
    volume.SetDirection((LPS_TO_RAS @ image.direction_ras).ravel().tolist())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(volume, os.fspath(path))
    return image


if __name__ == "__main__":
    write_sample(sys.argv[1])
