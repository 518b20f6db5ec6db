"""Training samples from a cache: windows as the session makes them, with what they should be segmented into.

Sample number n of a data set is a pure function of its seed and n, so that a run is resumed by its next number alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sam3dseg.segmenter import Traits
from sam3dseg.windows import Window

from ..configs.data import DataConfig
from ..stopping import leave_to_parent
from .augmentation import Intensities, Placement
from .cache import Cache
from .cutting import CutWindows, Plan
from .entries import CachedCase

WINDOW_STREAM = 2  # random numbers apart from those of the clicks
DEEPEST_SHARE = 0.4  # of the first clicks that windows are placed for; the others are anywhere in the object
LEAST_CELLS = 8  # of an object that comes into a window by chance
FRAMED_AGAIN = 0.3  # of the edge, for an object that is lost in its window


class CaseWindows(CutWindows):
    """Endless windows to train on: `windows[n]` for any n >= 0, every case once in len(keys) numbers.

    Sample: image (C, n, n, n) float32, targets (T, m, m, m) float32 in [0, 1], number, and with_sdf sdf (T, m, m, m)
    float32 in mm, negative inside. The first target is the object that the window is placed for; the others are what
    else lies in it, or the first again. Without augmentation every window is the one that a session answers a first
    click in; with it, it may be of any stage, jittered, turned and changed.
    cases: keys of the cache; those that hold none of the objects are left out. traits: facts of the architecture.
    Raises ValueError for unknown labels, an impossible window size, and when no case is left.
    """

    def __init__(
        self,
        cache: Cache,
        cases: Sequence[str],
        config: DataConfig,
        traits: Traits,
        seed: int,
        *,
        with_sdf: bool = False,
    ) -> None:
        super().__init__(cache, cases, config, traits, with_sdf=with_sdf)
        self.seed, self.augment, self.count = seed, config.augment, config.targets
        self._intensities = Intensities()

    def plan(self, number: int) -> Plan:
        """What sample `number` shows before it is turned."""
        return self._plan(number, self._rng(number))

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = self._rng(number)
        plan = self._plan(number, rng)
        case = self.case(plan.key)
        names = self._names(case, plan, rng)
        if not self.augment:
            return self.sample(case, names, plan.window, number)

        def change(values: NDArray, valid: NDArray | None) -> NDArray:
            return self._intensities(values, valid, rng)

        return self.sample(case, names, plan.window, number, placement=Placement.draw(rng), change=change)

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, WINDOW_STREAM, number))

    def _plan(self, number: int, rng: np.random.Generator) -> Plan:
        key = self.drawn_key(number, self.seed)
        case = self.case(key)
        name = str(rng.choice(self.present[key]))
        point = self.point(case, name, None if rng.random() < DEEPEST_SHARE else rng)
        if not self.augment:
            return Plan(key, name, point, self.placer.first(case.grid, point))
        extent = self.extent(case, name)
        window = self.placer.varied(case.grid, point, extent, rng)
        if not (self.coverage(case, name, window, self.cells) > 0.5).any():  # lost between the cells
            window = self.placer.framed(case.grid, point, extent, FRAMED_AGAIN)
        return Plan(key, name, point, window)

    def _names(self, case: CachedCase, plan: Plan, rng: np.random.Generator) -> list[str]:
        """The objects to segment in a window: the one it was placed for, and what else can be seen."""
        names = [plan.name]
        others = [name for name in self.present[plan.key] if name != plan.name]
        for name in rng.permutation(others).tolist():
            if len(names) == self.count:
                break
            if self._may_be_seen(case, name, plan.window):
                seen = self.coverage(case, name, plan.window, self.cells) > 0.5
                if np.count_nonzero(seen) >= LEAST_CELLS:
                    names.append(name)
        return names + [plan.name] * (self.count - len(names))

    def _may_be_seen(self, case: CachedCase, name: str, window: Window) -> bool:
        low, high = window.bounds(case.spacing_mm)
        extent = self.extent(case, name)
        return bool((extent.high >= low).all() and (extent.low <= high).all())


class HeldOutWindows(CutWindows):
    """One window per case and object, as a session answers a click on the object's deepest voxel; no augmentation."""

    def __init__(
        self, cache: Cache, cases: Sequence[str], config: DataConfig, traits: Traits, *, with_sdf: bool = False
    ) -> None:
        super().__init__(cache, cases, config, traits, with_sdf=with_sdf)
        self.pairs = tuple((key, name) for key, names in self.present.items() for name in names)

    def __len__(self) -> int:
        return len(self.pairs)

    def plan(self, number: int) -> Plan:
        """What sample `number` shows."""
        key, name = self.pairs[number]
        case = self.case(key)
        point = self.point(case, name, None)
        return Plan(key, name, point, self.placer.first(case.grid, point))

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        if not 0 <= number < len(self):
            raise IndexError(f"number must be 0 to {len(self) - 1}, got {number}")
        plan = self.plan(number)
        return self.sample(self.case(plan.key), [plan.name], plan.window, number)


@dataclass(frozen=True)
class NumberBatches:
    """Endless batches of sample numbers from `first` on; the ranks of a run share every `batch` * `world` of them."""

    first: int
    batch: int
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[list[int]]:
        number = self.first
        while True:
            yield [number + index * self.world + self.rank for index in range(self.batch)]
            number += self.batch * self.world


def loader(
    dataset: Dataset, batch: int, workers: int, first: int = 0, rank: int = 0, world: int = 1
) -> Iterator[dict[str, Tensor]]:
    """Endless batches of any samples with numbers, from `first` on, made by so many processes, in this one when 0.

    batch: windows per rank. After k batches the next sample number of the run is first + k * batch * world.
    """
    batches: Any = DataLoader(
        dataset,
        batch_sampler=NumberBatches(first, batch, rank, world),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_begin_worker if workers else None,
    )
    return iter(batches)


def _begin_worker(_: int) -> None:
    leave_to_parent()
    torch.set_num_threads(1)  # the cores belong to the network
