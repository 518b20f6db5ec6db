"""Volumes and clicks for a check of a model: a made-up body, a brain template, or one's own images."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .agreement import Case, Structure
from .imageio import Image
from .prompts import Click
from .simulated_user import next_click

STARTS = 4  # structures clicked in an image of one's own
FINEST = 64  # voxels per axis in which their places are sought
ORGANS = (  # level, centre and radii, in parts of the volume's sides
    (40.0, (0.5, 0.5, 0.5), (0.42, 0.36, 0.46)),
    (110.0, (0.38, 0.45, 0.5), (0.14, 0.17, 0.15)),
    (160.0, (0.66, 0.42, 0.56), (0.07, 0.1, 0.1)),
    (230.0, (0.5, 0.7, 0.5), (0.06, 0.06, 0.45)),
)


def phantom(shape: tuple[int, int, int] = (120, 112, 60), spacing_mm: tuple[float, float, float] = (2, 2, 4)) -> Case:
    """A made-up body with three organs, always the same; its truth is known."""
    rng = np.random.default_rng(0)
    values, truths = np.full(shape, -800.0, np.float32), []
    for level, centre, radii in ORGANS:
        inside = _ellipsoid(shape, centre, radii)
        values[inside] = level
        truths.append(inside)
    values = ndimage.gaussian_filter(values, 0.7)
    texture = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 2.0) * 150
    values += texture + rng.normal(0, 8, shape).astype(np.float32)
    image = Image(np.round(values).astype(np.int16), spacing_mm, np.eye(3), np.zeros(3), "made-up body")
    return Case(image, tuple(_structure(truth) for truth in truths[1:]))


def template() -> Case | None:
    """The brain template of the demonstration, where its package is installed."""
    if find_spec("nilearn") is None:
        return None
    from . import demo

    image, ventricle = demo.template(demo.STRUCTURE)
    _, white = demo.template("white matter")
    return Case(image, (_structure(ventricle), _structure(white)))


def case_of(image: Image, *, starts: int = STARTS) -> Case:
    """An image of which no structure is known: clicks into its thickest bright regions, far from each other."""
    return Case(image, tuple(Structure(Click(voxel)) for voxel in thick_places(image.array_ijk, starts)))


def thick_places(array: NDArray, count: int) -> list[tuple[int, int, int]]:
    """Up to `count` voxels of (I, J, K), each deepest in what is brighter than the mean, outside others' balls."""
    step = [max(1, -(-size // FINEST)) for size in array.shape]
    coarse = np.nan_to_num(array[:: step[0], :: step[1], :: step[2]].astype(np.float32))
    bright = coarse >= coarse.mean()
    depth = ndimage.distance_transform_edt(np.pad(bright, 1))[1:-1, 1:-1, 1:-1]
    grid = np.indices(coarse.shape)
    places = []
    for _ in range(count):
        deepest = np.unravel_index(np.argmax(depth), depth.shape)
        radius = depth[deepest]
        if radius <= 0:
            break
        i, j, k = (int(index) * factor for index, factor in zip(deepest, step, strict=True))
        places.append((i, j, k))
        apart = sum((axis - index) ** 2 for axis, index in zip(grid, deepest, strict=True))
        depth[apart <= radius**2] = 0
    return places


def _structure(truth: NDArray[np.bool_]) -> Structure:
    start = next_click(truth)
    if start is None:
        raise ValueError("expected a structure with voxels, received an empty mask; give another one")
    return Structure(start, truth)


def _ellipsoid(shape: tuple[int, int, int], centre: tuple[float, ...], radii: tuple[float, ...]) -> NDArray[np.bool_]:
    axes = np.ogrid[tuple(slice(size) for size in shape)]
    terms = zip(axes, shape, centre, radii, strict=True)
    return np.asarray(sum(((axis / size - c) / r) ** 2 for axis, size, c, r in terms) <= 1)
