"""Training samples for SAM-3D: patches of kept features, with the classes of their samples.

Sample number n is a pure function of the seed and n, so that a run is resumed by its next number alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from .cache import Cache, CaseRecord
from .cutting import Newest
from .feature_cache import FEATURES, LABELS, PLACED, FeatureCache
from .splits import Objects

PATCH_STREAM, ORDER_STREAM = 6, 7  # random numbers apart from those of clicks, windows and variants
FOREGROUND_SHARE = 0.67  # of the patches are placed around a class; the others are anywhere
KEPT_TABLES = 4096


class ClassTables:
    """Which class each label value of a case is: `tables(key)[value]`, 0 background, n the n-th of the objects.

    Raises ValueError when two classes share a value.
    """

    def __init__(self, cache: Cache, objects: Objects) -> None:
        self.cache, self.objects = cache, objects
        self._table = Newest(self._make, KEPT_TABLES)

    def __call__(self, key: str) -> NDArray[np.uint8]:
        table: NDArray[np.uint8] = self._table(key)
        return table

    def _make(self, key: str) -> NDArray[np.uint8]:
        structures = self.cache.read(key, mapped=True).structures
        largest = max((value for box in structures.values() for value in box.values), default=0)
        table = np.zeros(max(largest, 255) + 1, np.uint8)
        names = ("", *self.objects)
        for number, (name, members) in enumerate(self.objects.items(), start=1):
            for value in {v for member in members if member in structures for v in structures[member].values}:
                if table[value]:
                    raise ValueError(
                        f"{key}: {names[table[value]]} and {name} share the label value {value}, but proposals give "
                        "every voxel to one class: choose data.labels that exclude each other"
                    )
                table[value] = number
        return table


class FeaturePatches(Dataset):
    """Endless patches: `patches[n]` for any n >= 0, every case once in as many numbers as there are cases.

    Sample: features (C, d, h, w) float32, target (D, H, W) uint8 class numbers, number.
    patch: slices, rows and columns of samples; stride: samples per feature along each.  mirror_slices: reverse the
    order of the slices in half of the patches.
    """

    def __init__(
        self,
        features: FeatureCache,
        records: Sequence[CaseRecord],
        tables: ClassTables,
        *,
        patch: Sequence[int],
        stride: Sequence[int],
        seed: int,
        mirror_slices: bool = False,
    ) -> None:
        self.features, self.records, self.tables = features, tuple(records), tables
        self.stride, self.seed, self.mirror_slices = tuple(stride), seed, mirror_slices
        self.size = tuple(side // step for side, step in zip(patch, stride, strict=True))  # in features

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        epoch, place = divmod(number, len(self.records))
        order = np.random.default_rng((self.seed, ORDER_STREAM, epoch)).permutation(len(self.records))
        rng = np.random.default_rng((self.seed, PATCH_STREAM, number))
        record = self.records[order[place]]
        name = self.features.name(record, int(rng.integers(self.features.variants)))
        kept, table = self.features.kept, self.tables(record.key)
        places = kept.read(name, {PLACED: (slice(None),)})[PLACED].numpy()
        low = self._low(kept.shape(name, FEATURES)[1:], places[table[places[:, 0]] > 0], table, rng)
        cells = tuple(slice(a, a + n) for a, n in zip(low, self.size, strict=True))
        samples = tuple(slice(c.start * s, c.stop * s) for c, s in zip(cells, self.stride, strict=True))
        read = kept.read(name, {FEATURES: (slice(None), *cells), LABELS: samples})
        found, target = read[FEATURES].float(), torch.from_numpy(table[read[LABELS].numpy()])
        if self.mirror_slices and rng.random() < 0.5:
            found, target = found.flip(1), target.flip(0)
        return {"features": found, "target": target, "number": torch.tensor(number)}

    def _low(
        self, grid: Sequence[int], places: NDArray[np.int32], table: NDArray[np.uint8], rng: np.random.Generator
    ) -> list[int]:
        """The first feature of the patch along each axis; places (N, 4) are of the classes only."""
        spare = [whole - part for whole, part in zip(grid, self.size, strict=True)]
        if not len(places) or rng.random() >= FOREGROUND_SHARE:
            return [int(rng.integers(most + 1)) for most in spare]
        classes = table[places[:, 0]]
        around = rng.choice(places[classes == rng.choice(np.unique(classes))])[1:]
        low = []
        for cell, size, most in zip(around // self.stride, self.size, spare, strict=True):
            low.append(int(rng.integers(max(0, cell - size + 1), min(cell, most) + 1)))
        return low


class HeldOutFeatures(Dataset):
    """The whole of every case as it is: features, target and number as `FeaturePatches` gives them."""

    def __init__(self, features: FeatureCache, records: Sequence[CaseRecord], tables: ClassTables) -> None:
        self.features, self.records, self.tables = features, tuple(records), tables

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, number: int) -> dict[str, Any]:
        record = self.records[number]
        read = self.features.kept.read(self.features.name(record, 0))
        target = torch.from_numpy(self.tables(record.key)[read[LABELS].numpy()])
        return {"features": read[FEATURES].float(), "target": target, "number": torch.tensor(number)}
