"""The masks of a volume's slices, read and written as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..masks import CroppedMask
from .view import SliceView


@dataclass(frozen=True)
class SliceStack:
    """Pictures (rows, columns) of a bool canonical volume, by slice index across `axis`; writing changes the volume."""

    volume: NDArray[np.bool_]
    axis: int

    @classmethod
    def of(cls, mask: CroppedMask, shape: tuple[int, ...], axis: int) -> SliceStack:
        """A copy of a mask in a canonical grid of `shape`."""
        volume = np.zeros(shape, dtype=bool)
        if not mask.is_empty:
            mask.paste_into(volume)
        return cls(volume, axis)

    def __getitem__(self, index: int) -> NDArray[np.bool_]:
        return SliceView(self.axis, index).picture(self.volume)

    def __setitem__(self, index: int, picture: NDArray[np.bool_] | bool) -> None:
        SliceView(self.axis, index).picture(self.volume)[...] = picture

    def __len__(self) -> int:
        return self.volume.shape[self.axis]

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        return (self[index] for index in range(len(self)))

    @property
    def filled(self) -> frozenset[int]:
        """Indices of the slices that hold some of the mask."""
        others = tuple(axis for axis in range(3) if axis != self.axis)
        return frozenset(np.flatnonzero(self.volume.any(axis=others)).tolist())

    def cropped(self) -> CroppedMask:
        """The masks together."""
        return CroppedMask.from_crop(self.volume, (0, 0, 0))
