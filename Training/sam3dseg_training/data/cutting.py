"""Cutting windows and their targets out of cached cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3dseg.preprocessing import extract_window, normalise
from sam3dseg.segmenter import Traits
from sam3dseg.simulated_user import next_click
from sam3dseg.windows import Window

from ..configs.data import DataConfig
from .augmentation import Placement, turned
from .cache import Cache
from .distance import signed_distance
from .entries import CachedCase
from .object_cases import Newest, ObjectCases
from .placing import Placer
from .targets import coverage, distance, object_mask

SIZE_STEP = 16
KEPT_FIELDS = 8
SEARCHED_VOXELS = 2**21  # of an object's box, for its deepest voxel


@dataclass(frozen=True)
class Plan:
    """What a sample shows: a case, the object it is placed for, the voxel clicked (canonical axes), and the window."""

    key: str
    name: str
    point: NDArray[np.int64]
    window: Window


class CutWindows(ObjectCases):
    """What both kinds of windows share: reading, cutting, and the facts of the model."""

    def __init__(
        self, cache: Cache, cases: Sequence[str], config: DataConfig, traits: Traits, *, with_sdf: bool = False
    ) -> None:
        super().__init__(cache, cases, config.labels)
        self.traits = traits
        self.size = _window_size(config.crop, traits)
        self.cells = self.size * traits.logits_size // traits.window_size
        self.placer = Placer(self.size, traits.fixed_spacing_mm)
        if with_sdf and not cache.options["sdf"]:
            raise ValueError(f"the cache {cache.folder} has no distances: prepare it with sdf=true, or set loss.sdf=0")
        self.with_sdf = with_sdf
        self._fields = Newest(cache.distances, KEPT_FIELDS)
        self._merged = Newest(self._merge, KEPT_FIELDS)

    def point(self, case: CachedCase, name: str, rng: np.random.Generator | None) -> NDArray[np.int64]:
        """A voxel (3,) of the object: its deepest one, or with `rng` any; large objects are looked at in steps."""
        extent = self.extent(case, name)
        voxels = float(np.prod(extent.high - extent.low + 1))
        for step in (int(np.ceil(np.cbrt(voxels / SEARCHED_VOXELS))), 1):
            box = tuple(slice(int(a), int(b) + 1, step) for a, b in zip(extent.low, extent.high, strict=True))
            click = next_click(object_mask(case, self.objects[name], box), rng=rng)
            if click is not None:
                return extent.low + step * np.array(click.ijk)
        raise ValueError(f"{case.key} has no voxel of {name}, which its entry lists; prepare it with rebuild=true")

    def coverage(self, case: CachedCase, name: str, window: Window, cells: int) -> NDArray[np.float32]:
        """The object's share of each of the window's cells (m, m, m)."""
        return coverage(case, self.objects[name], window, cells)

    def _distance(self, case: CachedCase, name: str, window: Window, cells: int) -> NDArray[np.float32]:
        parts = tuple(part for part in self.objects[name] if part in case.structures)
        field = self._fields(case.key)[parts[0]] if len(parts) == 1 else self._merged((case.key, parts))
        return distance(field, case, window, cells)

    def _merge(self, key: tuple[str, tuple[str, ...]]) -> NDArray[np.float16]:
        case = self.case(key[0])
        mask = object_mask(case, key[1], (slice(None),) * 3)
        return signed_distance(mask, case.spacing_mm).astype(np.float16)

    def sample(
        self,
        case: CachedCase,
        names: Sequence[str],
        window: Window,
        number: int,
        *,
        placement: Placement | None = None,
        change: Callable[[NDArray, NDArray | None], NDArray] | None = None,
    ) -> dict[str, Tensor]:
        """Cut a window and its targets, turn them together, change the intensities, and normalise.

        A turn that takes the first object out of view is left out.
        """
        placement = placement or Placement()
        margin = placement.margin(self.cells)
        stride, cells = self.size // self.cells, self.cells + 2 * margin
        wide = replace(window, size=self.size + 2 * margin * stride)
        targets = placement.apply(np.stack([self.coverage(case, name, wide, cells) for name in names]), self.cells)
        if placement.angles is not None and not (targets[0] > 0.5).any():
            return self.sample(case, names, window, number, placement=replace(placement, angles=None), change=change)
        values, valid = extract_window(case.image, case.spacing_mm, wide, antialias=self.traits.antialias)
        values, valid = turned(values, valid, placement, self.size)
        if change is not None:
            values = change(values, valid)
        arrays = {"image": normalise(values, valid, self.traits.normalisation), "targets": _visible(targets)}
        if self.with_sdf:
            fields = np.stack([self._distance(case, name, wide, cells) for name in names])
            arrays["sdf"] = placement.apply(fields, self.cells, padding="border")
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        return {**tensors, "number": torch.tensor(number)}


def _window_size(crop: int, traits: Traits) -> int:
    if crop % SIZE_STEP:
        raise ValueError(f"data.crop must be a multiple of {SIZE_STEP}, or 0 for {traits.window_size}, not {crop}")
    return crop or traits.window_size


def _visible(targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Targets (T, m, m, m), the first one scaled so that at least a cell of it counts as the object."""
    largest = float(targets[0].max())
    if 0 < largest <= 0.5:
        targets[0] /= largest
    return targets
