"""An endless stream of made-up windows with targets to click, ready for the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage
from torch.utils.data import IterableDataset, get_worker_info

from sam3dseg.preprocessing import extract_window, normalise
from sam3dseg.windows import Window

from .appearance import render
from .shapes import SIZE, crop_of_real_map, made_up_map, smooth_noise

MAPS_KEPT = 24  # label maps that a worker draws from
NEW_MAP_EVERY = 5  # samples between two new maps
CUT_SHARE = 0.15  # of targets end where nothing can be seen, as do parts of vessels, muscles and brains
LARGEST_SHARE = 0.35  # of a window that a target may fill
REAL_MAP_SHARE = 0.5  # of the maps, when real label maps are given


@dataclass(frozen=True, slots=True)
class SynthesisConfig:
    """What a stream draws: window size in voxels, targets per window, folder of real label maps (no images) or None."""

    window: int = 64
    targets: int = 2
    label_maps: str | None = None
    seed: int = 0


def read_label_maps(folder: str | None) -> list[np.ndarray]:
    """Label maps (I, J, K) uint8, labels renumbered, from all NIfTI files below `folder`; large ones thinned by 2."""
    maps = []
    for path in sorted(Path(folder).rglob("*.nii.gz")) if folder else ():
        image = sitk.ReadImage(str(path))
        labels = sitk.GetArrayViewFromImage(image).T
        step = [2 if length > 1.5 * SIZE and spacing < 1.2 else 1
                for length, spacing in zip(labels.shape, image.GetSpacing(), strict=True)]  # fmt: skip
        labels = labels[:: step[0], :: step[1], :: step[2]]
        _, dense = np.unique(labels, return_inverse=True)
        maps.append(dense.reshape(labels.shape).astype(np.uint8))
    return maps


def choose_target(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray | None:
    """One object of a window's label map as bool (I, J, K), or None when the draw found nothing worth a click."""
    present, counts = np.unique(labels, return_counts=True)
    fits = (counts >= 40) & (counts < LARGEST_SHARE * labels.size)
    if rng.random() < 0.95:
        fits &= present > 0
    if not fits.any():
        return None
    weights = counts[fits] ** (1 / 3)  # a thumb on the scale for what is large enough to show a shape
    label = rng.choice(present[fits], p=weights / weights.sum())
    mask = labels == label
    if rng.random() < 0.12:  # a whole made of two parts, such as a shell with what it holds
        ring = ndimage.binary_dilation(mask) & ~mask
        around = labels[ring]
        if around.size:
            mask |= labels == rng.choice(around)
    elif rng.random() < 0.9:
        parts, count = ndimage.label(mask)
        if count > 1:
            sizes = np.bincount(parts.ravel())[1:]
            mask = parts == rng.choice(count, p=sizes**0.5 / (sizes**0.5).sum()) + 1
    if rng.random() < CUT_SHARE:
        mask &= one_side(rng, mask)
    return mask if 40 <= mask.sum() < LARGEST_SHARE * labels.size else None


def one_side(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """All that lies on one side of a bent plane through a mask, bool (I, J, K); it divides it 1 : 4 to 4 : 1."""
    normal = rng.standard_normal(3)
    axes = [
        np.arange(n, dtype=np.float32) * v for n, v in zip(mask.shape, normal / np.linalg.norm(normal), strict=True)
    ]
    height = axes[0][:, None, None] + axes[1][:, None] + axes[2]
    bend = 0.03 * max(mask.shape) * smooth_noise(rng, max(mask.shape), rng.uniform(1, 4))
    height = height + bend[tuple(slice(n) for n in mask.shape)]
    return height < np.quantile(height[mask], rng.uniform(0.2, 0.8))


def _leaves_window(mask: np.ndarray) -> bool:
    """Whether a good part of a mask (m, m, m) in [0, 1] lies at the window's faces: clicks find a wider one then."""
    inner = mask[1:-1, 1:-1, 1:-1].sum()
    return bool(mask.sum() - inner > 0.04 * mask.sum())


def make_sample(rng: np.random.Generator, labels: np.ndarray, config: SynthesisConfig) -> dict[str, np.ndarray] | None:
    """A window of a rendered label map: image (2, n, n, n) float32, targets (T, n/2, n/2, n/2) float32 in [0, 1]."""
    n = config.window
    side = int(np.exp(rng.uniform(np.log(max(30, n * 0.45)), np.log(SIZE))))
    shape = np.minimum(np.round(side * np.exp(rng.normal(0, 0.15, 3))), SIZE).astype(int)
    low = [int(rng.integers(0, SIZE - length + 1)) for length in shape]
    labels = labels[tuple(slice(a, a + length) for a, length in zip(low, shape, strict=True))]
    labels = labels.transpose(rng.permutation(3))
    labels = labels[tuple(slice(None, None, int(rng.choice([1, -1]))) for _ in range(3))]
    spacing = np.exp(rng.normal(0, 0.12, 3))
    extent = np.array(labels.shape) * spacing
    overhang = rng.uniform(1.0, 1.5) if rng.random() < 0.35 else rng.uniform(0.85, 1.0)  # past the borders, or inside
    slack = extent.mean() * abs(overhang - 1) / 2
    centre = (np.array(labels.shape) - 1) / 2 + rng.uniform(-slack, slack, 3) / spacing
    window = Window(tuple(map(float, centre)), float(extent.mean() * overhang / n), n)
    masks = []
    for _ in range(6):
        target = choose_target(rng, labels)
        if target is None:
            continue
        mask, _ = extract_window(target.astype(np.float32), spacing, window, antialias=True)
        if mask.sum() < 60:
            continue
        half = n // 2
        masks.append(mask.reshape(half, 2, half, 2, half, 2).mean(axis=(1, 3, 5)))
        if (masks[-1] > 0.5).sum() < 6 or (_leaves_window(masks[-1]) and rng.random() < 0.5):
            masks.pop()
        if len(masks) == config.targets:
            break
    if not masks:
        return None
    masks += [masks[0]] * (config.targets - len(masks))
    image, valid = extract_window(render(rng, labels), spacing, window, antialias=bool(rng.random() < 0.8))
    return {"image": normalise(image, valid, "robust_rank"), "targets": np.stack(masks).astype(np.float32)}


class SyntheticWindows(IterableDataset):
    """Endless samples; every worker has its own seed and its own changing set of label maps."""

    def __init__(self, config: SynthesisConfig) -> None:
        self.config = config

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        if worker:
            torch.set_num_threads(1)  # the cores belong to the network
        rng = np.random.default_rng((self.config.seed, worker.id if worker else 0))
        real = read_label_maps(self.config.label_maps)
        maps: list[np.ndarray] = []
        count = 0
        while True:
            if len(maps) < 4 or count % NEW_MAP_EVERY == 0:
                if real and rng.random() < REAL_MAP_SHARE:
                    maps.append(crop_of_real_map(rng, real[rng.integers(len(real))]))
                else:
                    maps.append(made_up_map(rng))
                maps = maps[-MAPS_KEPT:]
            count += 1
            sample = make_sample(rng, maps[rng.integers(len(maps))], self.config)
            if sample is not None:
                yield {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in sample.items()}
