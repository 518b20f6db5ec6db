"""What a file that the page saved holds: voxels, and the clicks that made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam3dseg.imageio import read_image, read_mask
from sam3dseg.promptfiles import read_recording


def word(ijk: tuple[int, int, int]) -> str:
    """A foreground click as the command line takes it."""
    return ",".join(map(str, ijk))


def clicks_in(path: Path, image: Path) -> list[str]:
    """The clicks of a .seg.nrrd as the command line takes them, such as "9,9,9-"."""
    prompts = [prompt for request in read_recording(path, read_image(image)).requests for prompt in request.prompts]
    return [word(prompt.ijk) + "-" * (not prompt.is_foreground) for prompt in prompts]


def mask_in(path: Path, image: Path) -> NDArray[np.bool_]:
    """The mask of a file, (I, J, K)."""
    return read_mask(path, read_image(image))


def labels_in(path: Path) -> NDArray[np.int_]:
    """The label map of a file, (I, J, K)."""
    return np.asarray(read_image(path).array_ijk, dtype=int)
