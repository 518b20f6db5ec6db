"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sam3dseg.imageio import Image, _to_itk

Result = tuple[int, str, str, list]  # exit code, stdout, stderr, the calls that loaded a model


def refused(result: Result, *words: str) -> None:
    """One readable line on stderr, nothing on stdout, code 2, no model loaded."""
    code, out, err, loads = result
    assert (code, out, loads) == (2, "", [])
    assert err.startswith("sam3dseg") and err.count("\n") == 1 and "Traceback" not in err
    for word in words:
        assert word in err


def write_image(path: Path, array_ijk: np.ndarray, image: Image) -> Path:
    """Write (I, J, K) intensities on the grid of `image`."""
    sitk.WriteImage(_to_itk(array_ijk, image), str(path))
    return path
