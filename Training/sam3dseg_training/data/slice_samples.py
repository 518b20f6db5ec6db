"""Training samples from a cache for models of slices: the tensors that a session makes, targets and boxes.

Sample number n of a data set is a pure function of its seed and n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam3dseg.slices.options import SliceOptions
from sam3dseg.slices.preprocessing import MASK_LOGIT, SliceInput, mask_to_logits, slice_input, to_8_bit, volume_window
from sam3dseg.slices.view import ORIENTATIONS, SliceView

from ..configs.data import DataConfig
from ..configs.slices import SliceConfig
from .augmentation import Intensities, Placement
from .cache import Cache
from .entries import CachedCase
from .object_cases import Newest, ObjectCases
from .targets import object_mask

SLICE_STREAM = 5  # random numbers apart from those of the prompts
KEPT_FACTS = 2**14  # numbers of pixels and windows, which are small
GOLDEN = 0.6180339887498949  # multiples of it are spread evenly over 0 to 1
WHITE = 255

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """What a sample shows: a case, the object it is made for, and the slice (of the canonical volume)."""

    key: str
    name: str
    view: SliceView


class CutSlices(ObjectCases):
    """What both kinds of samples share: reading, cutting, and the facts of the model.

    image_size: side of the model's input square, preprocessing: how a slice gets there; logits have a quarter of it.
    """

    def __init__(
        self,
        cache: Cache,
        cases: Sequence[str],
        data: DataConfig,
        slices: SliceConfig,
        *,
        image_size: int,
        preprocessing: str,
    ) -> None:
        super().__init__(cache, cases, data.labels)
        self.slices, self.image_size, self.preprocessing = slices, image_size, preprocessing
        self._window = Newest(self._volume_window, KEPT_FACTS)
        self._pixels = Newest(self._pixel_counts, KEPT_FACTS)

    def axes(self, case: CachedCase) -> tuple[int, ...]:
        """Canonical axes that slices of the case lie across."""
        if self.slices.axis == "all":
            return tuple(ORIENTATIONS.values())
        return (SliceOptions(orientation=self.slices.axis).axis(case.grid),)

    def indices(self, key: str, name: str, axis: int) -> NDArray[np.int64]:
        """The slices that show enough of an object, or else the one that shows most of it."""
        first, counts = self._pixels((key, name, axis))
        enough = np.flatnonzero(counts >= min(self.slices.smallest, int(counts.max())))
        return first + enough

    def sample(
        self,
        plan: SlicePlan,
        names: Sequence[str],
        number: int,
        *,
        placement: Placement | None = None,
        change: Change | None = None,
    ) -> dict[str, Tensor]:
        """Cut a slice and the masks of objects in it, turn them together, change the intensities, and prepare.

        -> image (3, S, S) float32, targets (T, S/4, S/4) float32, the object's share of every cell, boxes (T, 4)
        float32, x0, y0, x1, y1 of the objects in pixels of the square, as a session makes them of tight boxes, number.
        A turn that takes the first object out of view is left out.
        """
        placement = placement or Placement()
        case = self.case(plan.key)
        masks = np.stack([self._mask(case, name, plan.view) for name in names])
        turned = placement.apply(masks, masks.shape[1:]) > 0.5
        if not turned[0].any():
            return self.sample(plan, names, number, placement=replace(placement, angles=None), change=change)
        prepared = self._prepared(case, plan.view, placement, change)
        cells = self.image_size // 4
        shares = np.stack([(mask_to_logits(mask, prepared, cells) / MASK_LOGIT + 1) / 2 for mask in turned])
        boxes = np.stack([prepared.box_to_input(_tight_box(mask if mask.any() else turned[0])) for mask in turned])
        arrays = {"image": prepared.values, "targets": shares, "boxes": boxes}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in arrays.items()}
        return {**tensors, "number": torch.tensor(number)}

    def _prepared(self, case: CachedCase, view: SliceView, placement: Placement, change: Change | None) -> SliceInput:
        picture = to_8_bit(view.picture(case.image), self._window(case.key))
        if change is not None or placement != Placement():
            values = placement.apply(picture[None], picture.shape)[0]
            values = values if change is None else change(values)
            picture = np.clip(np.round(values), 0, WHITE).astype(np.uint8)
        return slice_input(picture, view.pixel_mm(case.spacing_mm), self.image_size, self.preprocessing)

    def _mask(self, case: CachedCase, name: str, view: SliceView) -> NDArray[np.bool_]:
        region: list[slice] = [slice(None)] * 3
        region[view.axis] = slice(view.index, view.index + 1)
        return SliceView(view.axis, 0).picture(object_mask(case, self.objects[name], tuple(region)))

    def _volume_window(self, key: str) -> tuple[float, float]:
        return volume_window(self.case(key).image, self.slices.modality)

    def _pixel_counts(self, which: tuple[str, str, int]) -> tuple[int, NDArray[np.int64]]:
        """First slice of an object's box along an axis, and its pixels in every slice from there."""
        key, name, axis = which
        case = self.case(key)
        extent = self.extent(case, name)
        box = tuple(slice(int(a), int(b) + 1) for a, b in zip(extent.low, extent.high, strict=True))
        mask = object_mask(case, self.objects[name], box)
        return int(extent.low[axis]), mask.sum(axis=tuple(a for a in range(3) if a != axis))


class CaseSlices(CutSlices):
    """Endless slices to train on: `samples[n]` for any n >= 0, every case once in len(keys) numbers.

    The first target is the object that the slice is chosen for; the others are what else it shows, or the first again.
    Without augmentation the image is what a session gives the network.
    """

    def __init__(
        self,
        cache: Cache,
        cases: Sequence[str],
        data: DataConfig,
        slices: SliceConfig,
        *,
        image_size: int,
        preprocessing: str,
        seed: int,
    ) -> None:
        super().__init__(cache, cases, data, slices, image_size=image_size, preprocessing=preprocessing)
        self.seed, self.augment, self.count = seed, data.augment, data.targets
        self._intensities = Intensities()

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, SLICE_STREAM, number))
        key = self.drawn_key(number, self.seed)
        name = str(rng.choice(self.present[key]))
        axis = int(rng.choice(self.axes(self.case(key))))
        plan = SlicePlan(key, name, SliceView(axis, int(rng.choice(self.indices(key, name, axis)))))
        names = self._names(plan, rng)
        if not self.augment:
            return self.sample(plan, names, number)

        def change(values: NDArray[np.float32]) -> NDArray[np.float32]:
            return self._intensities(values, None, rng)

        return self.sample(plan, names, number, placement=Placement.draw(rng, axes=2), change=change)

    def _names(self, plan: SlicePlan, rng: np.random.Generator) -> list[str]:
        """The objects to segment in a slice: the one it was chosen for, and what else it shows enough of."""
        others = [name for name in self.present[plan.key] if name != plan.name]
        shown = [
            name
            for name in rng.permutation(others).tolist()
            if plan.view.index in self.indices(plan.key, name, plan.view.axis)
        ]
        names = [plan.name, *shown][: self.count]
        return names + [plan.name] * (self.count - len(names))


class HeldOutSlices(CutSlices):
    """One slice per case, object and axis, from its end to its middle in turn; no augmentation."""

    def __init__(
        self,
        cache: Cache,
        cases: Sequence[str],
        data: DataConfig,
        slices: SliceConfig,
        *,
        image_size: int,
        preprocessing: str,
    ) -> None:
        super().__init__(cache, cases, data, slices, image_size=image_size, preprocessing=preprocessing)
        self.shown = tuple(
            (key, name, axis)
            for key, names in self.present.items()
            for name in names
            for axis in self.axes(self.case(key))
        )

    def __len__(self) -> int:
        return len(self.shown)

    def plan(self, number: int) -> SlicePlan:
        """What sample `number` shows."""
        key, name, axis = self.shown[number]
        indices = self.indices(key, name, axis)
        return SlicePlan(key, name, SliceView(axis, int(indices[int((number * GOLDEN) % 1 * len(indices))])))

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        if not 0 <= number < len(self):
            raise IndexError(f"number must be 0 to {len(self) - 1}, got {number}")
        plan = self.plan(number)
        return self.sample(plan, [plan.name], number)


def _tight_box(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pixels (x0, y0, x1, y1) of both corners, included, of what a mask (rows, columns) shows."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float64)
