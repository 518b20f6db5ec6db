"""Small cases on disk, in the folder layouts that `prepare` reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from sam3dseg_training.configs.prepare import PrepareConfig
from sam3dseg_training.data.cache import Cache, open_cache
from sam3dseg_training.data.prepare import prepare

SHAPE = (22, 18, 14)
SPACING_MM = (1.0, 1.2, 2.5)
LPS = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)  # of a RAS+ image


def volume(seed: int = 0, shape=SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """An image (I, J, K) int16 with two touching boxes, and their labels 1 and 2."""
    labels = np.zeros(shape, np.uint8)
    labels[4:11, 5:12, 3:9] = 1
    labels[11:16, 5:12, 3:9] = 2
    noise = np.random.default_rng(seed).normal(0, 10, shape)
    return (300 + 100.0 * labels + noise).astype(np.int16), labels


def write(path: Path, array: np.ndarray, *, spacing_mm=SPACING_MM, direction=LPS, origin=(0.0, 0.0, 0.0)) -> Path:
    """An array (I, J, K) as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing_mm)
    image.SetDirection(direction)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


def write_msd(root: Path, count: int = 3, **geometry) -> Path:
    """A data set as in the Medical Segmentation Decathlon, structures Front (1) and Back (2)."""
    training = []
    for index in range(count):
        image, labels = volume(index)
        name = f"case_{index:03d}.nii.gz"
        write(root / "imagesTr" / name, image, **geometry)
        write(root / "labelsTr" / name, labels, **geometry)
        training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    names = {"0": "background", "1": "Front", "2": "Back"}
    (root / "dataset.json").write_text(json.dumps({"labels": names, "training": training}))
    return root


def cached(root: Path, *data: Path, **settings) -> Cache:
    """A prepared cache below `root` of a data set, three cases where none is given."""
    folders = data or (write_msd(root / "toy"),)
    config = PrepareConfig(data=[str(folder) for folder in folders], out=str(root / "cache"), jobs=1, **settings)
    prepare(config)
    return open_cache(root / "cache")
