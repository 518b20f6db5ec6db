"""Label maps of made-up anatomy: packed organs, nested shells, tubes, sheets and blobs in a body."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

SIZE = 112  # voxels along each axis of a map in the bank
WARP_MARGIN = 0.3  # how far bending may push a surface, in half sides of the map


@lru_cache(maxsize=256)
def _spline(size: int, coarse: int) -> np.ndarray:
    """(size, coarse) matrix that evaluates a uniform cubic B-spline of `coarse` knots at `size` places."""
    places = np.linspace(1, coarse - 2, size)[:, None] - np.arange(coarse)[None]
    distance = np.abs(places)
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, inner, outer).astype(np.float32)


def smooth_noise(rng: np.random.Generator, size: int, cells: float) -> np.ndarray:
    """(size,)³ float32 noise with about `cells` bumps along each axis, zero mean, unit spread."""
    coarse = max(2, round(cells)) + 3
    noise = rng.standard_normal((coarse,) * 3, dtype=np.float32)
    matrix = _spline(size, coarse)
    for _ in range(3):  # each turn stretches the first axis and moves it to the end
        noise = np.tensordot(noise, matrix, axes=(0, 1))
    noise -= noise.mean()
    return noise / (noise.std() + 1e-6)


def warped_grid(rng: np.random.Generator, size: int, strength: float) -> np.ndarray:
    """(3, size, size, size) coordinates in [-1, 1], bent by smooth noise."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    if strength > 0:
        cells = rng.uniform(1.5, 5)
        grid = grid + strength * np.stack([smooth_noise(rng, size, cells) for _ in range(3)])
    return grid


def partition(rng: np.random.Generator, size: int) -> np.ndarray:
    """Touching organs without gaps: the arg-max of several noise fields."""
    count = int(rng.integers(2, 9))
    cells = np.exp(rng.uniform(np.log(1.5), np.log(9)))
    fields = [smooth_noise(rng, size, cells * rng.uniform(0.7, 1.4)) + rng.normal(0, 0.4) for _ in range(count)]
    return np.argmax(fields, axis=0).astype(np.int16) + 1


def rotated_radius(
    rng: np.random.Generator, grid: np.ndarray, *, largest: float
) -> tuple[tuple[slice, slice, slice], np.ndarray]:
    """The box around a random ellipsoid, and in it the distance from its centre in its own metric (1: surface)."""
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    radii = np.exp(rng.uniform(np.log(0.05), np.log(largest))) * np.exp(rng.normal(0, 0.35, 3))
    radii = np.maximum(radii, 0.03)
    centre = rng.uniform(-0.85, 0.85, 3)
    boxy = rng.random() < 0.25  # boxier bodies such as vertebrae
    reach = np.abs(rotation.T) @ radii if boxy else radii.max()  # half the side of a box that surely holds it
    size = grid.shape[1]
    low = np.clip(((centre - reach - WARP_MARGIN + 1) / 2 * size).astype(int), 0, size - 1)
    high = np.clip(((centre + reach + WARP_MARGIN + 1) / 2 * size).astype(int) + 2, 1, size)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    offset = grid[(slice(None), *box)] - centre[:, None, None, None].astype(np.float32)
    metric = np.tensordot((rotation / radii[:, None]).astype(np.float32), offset, axes=1)
    squares = np.square(metric, out=metric)
    return box, np.sqrt(squares.max(0) if boxy else squares.sum(0))


def tube_distance(rng: np.random.Generator, size: int) -> np.ndarray:
    """Distance in voxels from a random winding curve, measured on a grid of half the resolution."""
    points = np.cumsum(rng.normal(0, 1, (int(rng.integers(4, 9)), 3)), axis=0)
    points = points / (np.abs(points).max() + 1e-6) * rng.uniform(0.4, 1.1) + rng.uniform(-0.4, 0.4, 3)
    dense = ndimage.zoom(points, (40, 1), order=3)
    half = size // 2
    index = np.round((dense + 1) / 2 * (half - 1)).astype(int)
    index = index[((index >= 0) & (index < half)).all(1)]
    seeds = np.ones((half,) * 3, bool)
    if len(index) == 0:
        index = np.array([[half // 2] * 3])
    seeds[tuple(index.T)] = False
    distance = ndimage.distance_transform_edt(seeds).astype(np.float32) * 2
    return ndimage.zoom(distance, size / half, order=1, mode="nearest", grid_mode=True)


def add_objects(rng: np.random.Generator, labels: np.ndarray, first_label: int) -> np.ndarray:
    """Paint single bodies, nested shells, tubes and sheets over a label map."""
    size, label = labels.shape[0], first_label
    grid = warped_grid(rng, size, rng.uniform(0.0, 0.12))
    for _ in range(int(rng.integers(6, 34))):
        kind = rng.choice(["body", "shell", "tube", "sheet", "copies"], p=[0.4, 0.2, 0.17, 0.08, 0.15])
        if kind == "body":
            box, radius = rotated_radius(rng, grid, largest=0.6)
            if rng.random() < 0.25:  # ragged, such as a tumour
                radius = radius + rng.uniform(0.1, 0.4) * smooth_noise(rng, size, rng.uniform(8, 24))[box]
            labels[box][radius < 1] = label
        elif kind == "shell":
            box, radius = rotated_radius(rng, grid, largest=0.8)
            levels = np.sort(rng.uniform(0.35, 1, int(rng.integers(1, 4))))
            labels[box][radius < 1] = label
            for level in levels[::-1]:
                label += 1
                labels[box][radius < level] = label
        elif kind == "tube":
            distance = tube_distance(rng, size)
            width = np.exp(rng.uniform(np.log(1.2), np.log(9)))
            bumpy = width * (1 + 0.2 * smooth_noise(rng, size, 6))
            labels[distance < bumpy] = label
            if rng.random() < 0.4:  # a wall around a lumen
                label += 1
                labels[distance < bumpy * rng.uniform(0.5, 0.8)] = label
        elif kind == "sheet":
            field = smooth_noise(rng, size, rng.uniform(1.5, 4))
            box, radius = rotated_radius(rng, grid, largest=0.9)
            thin = np.abs(field[box] - rng.normal(0, 0.3)) < rng.uniform(0.03, 0.15)
            labels[box][thin & (radius < 1)] = label
        else:  # several small copies that look alike but are separate objects, such as nodes, vessels or vertebrae
            for _ in range(int(rng.integers(2, 6))):
                box, radius = rotated_radius(rng, grid, largest=0.15)
                labels[box][radius < 1] = label
        label += 1
    return labels


def made_up_map(rng: np.random.Generator) -> np.ndarray:
    """One (112, 112, 112) uint8 label map; 0 is air or background."""
    labels = partition(rng, SIZE) if rng.random() < 0.75 else np.ones((SIZE,) * 3, np.int16)
    if rng.random() < 0.3:  # a second, finer partition inside one organ of the first
        inside = labels == rng.integers(1, labels.max() + 1)
        labels[inside] = partition(rng, SIZE)[inside] + labels.max()
    labels = add_objects(rng, labels, int(labels.max()) + 1)
    if rng.random() < 0.35:  # the body ends somewhere, with a skin around it
        body = np.linalg.norm(warped_grid(rng, SIZE, 0.06) * rng.uniform(0.6, 1.4, 3)[:, None, None, None], axis=0)
        edge = np.quantile(body[::4, ::4, ::4], rng.uniform(0.5, 0.95))
        labels[body > edge * 0.95] = int(labels.max()) + 1
        labels[body > edge] = 0
    values, dense = np.unique(labels, return_inverse=True)
    return np.minimum(dense.reshape(labels.shape) + (values[0] != 0), 255).astype(np.uint8)


def crop_of_real_map(rng: np.random.Generator, volume: np.ndarray) -> np.ndarray:
    """A random (112, 112, 112) piece of a real label map, bent, sometimes with made-up objects on top."""
    scale = rng.uniform(0.6, 1.4)
    grid = warped_grid(rng, SIZE, rng.uniform(0, 0.06)) * (SIZE / 2) * scale
    low = np.minimum(SIZE / 2 * scale, np.array(volume.shape) / 2)
    centre = rng.uniform(low, np.array(volume.shape) - low)
    coordinates = grid + centre[:, None, None, None].astype(np.float32)
    labels = ndimage.map_coordinates(volume, coordinates, order=0, mode="constant", cval=0).astype(np.int16)
    if rng.random() < 0.5:
        labels = add_objects(rng, labels, int(labels.max()) + 1)
    _, dense = np.unique(labels, return_inverse=True)
    return np.minimum(dense.reshape(labels.shape), 255).astype(np.uint8)
