"""A random scanner: fill a label map with tissue, then blur, bend, slice and disturb the picture of it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .shapes import smooth_noise


def random_means(rng: np.random.Generator, count: int) -> np.ndarray:
    """Mean intensities in [0, 1] for `count` tissues; some share a value, some differ by a hair, as in CT."""
    style = rng.random()
    if style < 0.4:
        means = rng.uniform(0, 1, count)
    elif style < 0.75:  # soft tissues close together, air and bone far away
        means = rng.normal(0.5, rng.uniform(0.03, 0.12), count)
        extreme = rng.random(count) < 0.2
        means[extreme] = rng.choice([0.0, 1.0, 1.5], extreme.sum())
    else:  # a few classes only: neighbours of equal intensity are common
        means = rng.choice(rng.uniform(0, 1, int(rng.integers(3, 7))), count)
        means = means + rng.normal(0, 0.02, count)
    means[0] = rng.choice([0.0, means[0], rng.uniform(0, 1)])
    return means.astype(np.float32)


def fade(image: np.ndarray, mask: np.ndarray, sigma: float) -> None:
    """Blur an image (I, J, K), in place, where the border of a mask is near; sigma in voxels."""
    box = ndimage.find_objects(mask.astype(np.int8))
    if not box:
        return
    reach = int(np.ceil(3 * sigma))
    near = tuple(slice(max(s.start - reach, 0), s.stop + reach) for s in box[0])
    inside = ndimage.gaussian_filter(mask[near].astype(np.float32), sigma)
    share = np.minimum(4 * inside * (1 - inside) * 1.5, 1)  # 1 at the border, 0 far from it
    image[near] += share * (ndimage.gaussian_filter(image[near], sigma) - image[near])


def render(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Label map (I, J, K) uint8 -> image (I, J, K) float32 of arbitrary scale."""
    count, size = int(labels.max()) + 1, labels.shape
    cube = max(size)

    def noise(cells: float) -> np.ndarray:
        return smooth_noise(rng, cube, cells)[: size[0], : size[1], : size[2]]

    means = random_means(rng, count)
    image = means[labels]
    if rng.random() < 0.35:  # a few objects fade into what is around them, as lesions and tumours do
        for label in rng.choice(count, min(count, int(rng.integers(1, 5))), replace=False):
            fade(image, labels == label, rng.uniform(1.0, 4.0))
    if rng.random() < 0.6:  # texture inside tissues, of its own strength in each
        strength = np.abs(rng.normal(0, rng.uniform(0.02, 0.12), count)).astype(np.float32)
        image += strength[labels] * noise(np.exp(rng.uniform(np.log(4), np.log(cube / 2.5))))
    if rng.random() < 0.5:  # slow change of one tissue along the body
        strength = rng.normal(0, 0.1, count).astype(np.float32)
        image += strength[labels] * noise(rng.uniform(1, 4))
    if rng.random() < 0.5:  # fine grain of its own strength in each tissue
        grain = np.abs(rng.normal(0, 0.06, count)).astype(np.float32)
        image += grain[labels] * rng.standard_normal(size, dtype=np.float32)
    if rng.random() < 0.75:
        image = ndimage.gaussian_filter(image, rng.uniform(0.2, 1.3))
    if rng.random() < 0.3:  # thick slices
        axis, thick = int(rng.integers(3)), int(rng.integers(2, 6))
        image = ndimage.uniform_filter1d(image, thick, axis=axis)
        index = np.minimum(np.arange(size[axis]) // thick * thick + thick // 2, size[axis] - 1)
        if rng.random() < 0.5:
            image = image.take(index, axis=axis)
        else:
            kept = image.take(index[::thick], axis=axis)
            zoom = [1.0, 1.0, 1.0]
            zoom[axis] = size[axis] / kept.shape[axis]
            image = ndimage.zoom(kept, zoom, order=1, mode="nearest", grid_mode=True)
    if rng.random() < 0.5:  # receive-coil shading
        image = image * np.exp(rng.uniform(0.05, 0.3) * noise(rng.uniform(1, 2.5)))
    if rng.random() < 0.8:
        sigma = np.exp(rng.uniform(np.log(0.005), np.log(0.12)))
        grain = rng.standard_normal(size, dtype=np.float32)
        if rng.random() < 0.4:
            grain = ndimage.gaussian_filter(grain, rng.uniform(0.4, 0.9))
            grain /= grain.std() + 1e-6
        image = image + sigma * grain
        if rng.random() < 0.3:
            image = np.abs(image)  # magnitude images
    if rng.random() < 0.04:  # metal-like streaks
        phase = rng.normal(0, 1, 3)
        axes = [np.arange(s, dtype=np.float32)[tuple(slice(None) if a == b else None for b in range(3))]
                for a, s in enumerate(size)]  # fmt: skip
        image = image + 0.05 * np.sin(sum(p * a for p, a in zip(phase, axes, strict=True)))
    if rng.random() < 0.3:
        low, high = image.min(), image.max()
        image = ((image - low) / (high - low + 1e-6)) ** np.exp(rng.normal(0, 0.4))
    if rng.random() < 0.4:
        image = -image
    return image.astype(np.float32)
