"""Masks kept as small bounding-box crops, and the connected components that a prompt points at."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Region = tuple[slice, ...]  # one per axis


@dataclass(frozen=True, slots=True)
class CroppedMask:
    """A mask in a larger grid: its bounding box (offset, shape) in voxels and one bit per voxel."""

    offset: tuple[int, ...] = (0, 0, 0)
    shape: tuple[int, ...] = (0, 0, 0)
    bits: bytes = b""

    @classmethod
    def from_crop(cls, crop: NDArray[np.bool_], offset: Iterable[int]) -> CroppedMask:
        """Trim a bool crop (a, b, c), whose first voxel lies at `offset`, to its bounding box."""
        box = bounding_box(crop)
        if box is None:
            return cls()
        start = tuple(int(o) + s.start for o, s in zip(offset, box, strict=True))
        trimmed = crop[box]
        return cls(offset=start, shape=trimmed.shape, bits=np.packbits(trimmed).tobytes())

    @classmethod
    def from_text(cls, text: str) -> CroppedMask:
        """The inverse of `as_text`. Raises ValueError for anything else."""
        *numbers, bits = text.split()
        if len(numbers) != 6:
            raise ValueError(f"expected six numbers before the bits of a mask, received {len(numbers)}")
        place = [int(n) for n in numbers]
        offset, (a, b, c) = place[:3], place[3:]
        try:
            raw = zlib.decompress(base64.b64decode(bits))
        except zlib.error as error:
            raise ValueError(f"expected the compressed bits of a mask, received others ({error})") from error
        if min(a, b, c) < 1 or min(offset) < 0 or len(raw) != (a * b * c + 7) // 8:
            raise ValueError(f"expected the bits of a mask of shape {(a, b, c)}, received {len(raw)} bytes")
        return cls(offset=tuple(offset), shape=(a, b, c), bits=raw)

    def as_text(self) -> str:
        """One line for a tag: offset, shape, and the bits, compressed."""
        numbers = " ".join(str(int(n)) for n in (*self.offset, *self.shape))
        return f"{numbers} {base64.b64encode(zlib.compress(self.bits, 6)).decode()}"

    @property
    def is_empty(self) -> bool:
        return not self.bits

    @property
    def region(self) -> Region:
        """Slices of the bounding box in the full grid."""
        return tuple(slice(o, o + n) for o, n in zip(self.offset, self.shape, strict=True))

    def crop(self) -> NDArray[np.bool_]:
        """The bounding box's voxels, bool."""
        count = int(np.prod(self.shape))
        return np.unpackbits(np.frombuffer(self.bits, dtype=np.uint8), count=count).view(bool).reshape(self.shape)

    def paste_into(self, target: NDArray[np.bool_]) -> None:
        """Write the mask's box into a bool array of the full grid."""
        target[self.region] = self.crop()

    def within(self, region: Region) -> NDArray[np.bool_]:
        """The mask cut to `region` (slices with start and stop) of the full grid, bool."""
        result = np.zeros([s.stop - s.start for s in region], dtype=bool)
        common = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(self.region, region, strict=True)]
        if all(s.start < s.stop for s in common):
            source = tuple(slice(s.start - o, s.stop - o) for s, o in zip(common, self.offset, strict=True))
            target = tuple(slice(s.start - r.start, s.stop - r.start) for s, r in zip(common, region, strict=True))
            result[target] = self.crop()[source]
        return result


def bounding_box(mask: NDArray[np.bool_]) -> Region | None:
    """Tightest slices around the true voxels of a mask, or None."""
    box = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if hits.size == 0:
            return None
        box.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return tuple(box)


def components_at(
    mask: NDArray[np.bool_], seeds: NDArray[np.int64], touching: NDArray[np.bool_] | None = None, *, reach: int = 2
) -> NDArray[np.bool_]:
    """The face-connected components of `mask` that hold a seed (N, 3) or overlap `touching`.

    A seed beside the mask takes the nearest component within `reach` voxels per axis.
    """
    box = bounding_box(mask)
    if box is None:
        return mask
    labels, count = ndimage.label(mask[box])  # only where the mask is: a window is mostly empty
    keep = np.zeros(count + 1, dtype=bool)
    for seed in seeds - [s.start for s in box]:
        keep[_nearest_label(labels, seed, reach)] = True
    if touching is not None:
        keep[np.unique(labels[touching[box]])] = True
    keep[0] = False
    kept = np.zeros_like(mask)
    kept[box] = keep[labels]
    return kept


def _nearest_label(labels: NDArray, seed: NDArray[np.int64], reach: int) -> int:
    """The label at a voxel, perhaps beyond the array, or the nearest one within `reach` voxels per axis; 0 if none."""
    low, high = np.maximum(seed - reach, 0), np.maximum(seed + reach + 1, 0)
    block = labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    found = np.argwhere(block)
    if found.size == 0:
        return 0
    return int(block[tuple(found[np.argmin(((found + low - seed) ** 2).sum(axis=1))])])
