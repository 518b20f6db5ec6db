"""Masks carried on from prompted slices to their neighbours, and the rules by which that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .stack import SliceStack

AHEAD = 1  # slices encoded while one is decoded: decoding is the quicker, so one keeps the encoder busy
Doubt = tuple[float, float, float]  # depth of a region the model leaves open, and the pixel (x, y) deepest in it


@dataclass(frozen=True, slots=True)
class Link:
    """The answer for one slice: mask (rows, columns), raw logits (n, n), predicted IoU, and where it is in doubt."""

    index: int
    mask: NDArray[np.bool_]
    logits: NDArray[np.float32]
    iou: float
    doubt: Doubt | None = None

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def sureness(self) -> float:
        """Mean of the logits that speak for the mask; 0 where none does."""
        return float(self.logits.mean(where=self.logits > 0)) if (self.logits > 0).any() else 0.0


@dataclass(frozen=True, slots=True)
class StopRules:
    """When the next slice's mask is no longer the same structure.

    pixel_mm: size of a pixel (row, column). step_mm: from slice to slice.
    """

    pixel_mm: tuple[float, float]
    step_mm: float
    iou_share: float = 0.75  # of the key slice's predicted IoU
    sureness_share: float = 0.65  # of the key slice's mean logit in the mask, where the IoU tells little
    overlap: float = 0.3  # shared area, of the smaller mask: an end that tapers lies inside its neighbour
    growth: float = 2.0  # area, against the last slice; more is a leak when it also lies far from that mask,
    slope: float = 4.0  # which a surface this steep does not explain (in-plane mm per mm from slice to slice),
    tip_growth: float = 1.3  # nor a tip, which was found just now or has grown like this before,
    tip_reach: float = 0.5  # as far as this share of its own radius,
    far_share: float = 0.5  # for more than this share of the last mask's area
    tapered: float = 0.25  # area, against the largest so far, of a mask that comes to its end by itself
    settled: float = 0.98  # Dice with what was there, from which carrying on would change nothing more
    contour_share: float = 0.1  # of a mask's radius, and a pixel: contours of two models differ so much anyway

    def reason(self, key: Link, last: Link, link: Link, *, earlier: Link | None = None) -> str | None:
        """Why `link`, not empty, must not follow `last`, and that `earlier`, on the way from `key`; None: it may."""
        if link.iou < self.iou_share * key.iou:
            return f"the predicted IoU fell from {key.iou:.2f} to {link.iou:.2f}"
        if link.sureness < self.sureness_share * key.sureness:
            return "the model is much less sure than on the prompted slice"
        before, now = last.area, link.area
        if np.count_nonzero(last.mask & link.mask) < self.overlap * min(before, now):
            return "the mask would hardly overlap with the slice before"
        if now > self.growth * before:
            is_tip = earlier is None or before > self.tip_growth * earlier.area
            if self._far_area(last.mask, link.mask, is_tip=is_tip) > self.far_share * before:
                return f"the mask would grow to {now / before:.1f} times the slice before"
        return None

    def is_settled(self, old: NDArray[np.bool_], new: NDArray[np.bool_]) -> bool:
        """Whether a new mask is as good as the model's old one, which is not empty."""
        both, sum_of_areas = np.count_nonzero(old & new), np.count_nonzero(old) + np.count_nonzero(new)
        return bool(old.any() and 2 * both >= self.settled * sum_of_areas)

    def is_alike(self, given: NDArray[np.bool_], new: NDArray[np.bool_]) -> bool:
        """Whether a new mask differs from one that was given by no more than where exactly its contour lies."""
        radius = np.sqrt(np.count_nonzero(given) / np.pi)
        depth = ndimage.distance_transform_cdt(np.pad(given ^ new, 1), metric="chessboard").max()  # half a width
        return bool(2 * depth - 1 <= 1 + self.contour_share * radius)

    def _far_area(self, last: NDArray[np.bool_], now: NDArray[np.bool_], *, is_tip: bool) -> int:
        """Pixels of `now` further from `last` than a steep surface or a growing tip explains."""
        reach_mm = self.slope * self.step_mm + max(self.pixel_mm)
        if is_tip:
            area_mm2 = np.count_nonzero(last) * self.pixel_mm[0] * self.pixel_mm[1]
            reach_mm += self.tip_reach * np.sqrt(area_mm2 / np.pi)
        distance_mm = ndimage.distance_transform_edt(~last, sampling=self.pixel_mm)
        return int(np.count_nonzero(now & (distance_mm > reach_mm)))


@dataclass
class _Walk:
    """A way from a key slice: slices still to go, and the next key slice where there is one."""

    key: Link
    last: Link
    path: Sequence[int]
    is_towards_key: bool
    earlier: Link | None = None  # than the last
    largest: int = 0  # area


@dataclass
class Propagation:
    """Carries the masks of key slices over `stack`, which it changes.

    keys: all prompted slices. untouched: slices that still hold the mask the session started from. stops: why carrying
    on ended at a slice. doubts: per slice. follow(last, index, coming): the answer for slice `index` after `last`, with
    the slices that come after it. path(start, step): the slices a mask may reach.
    """

    stack: SliceStack
    keys: frozenset[int]
    rules: StopRules
    follow: Callable[[Link, int, Sequence[int]], Link]
    path: Callable[[int, int], range]
    untouched: set[int] = field(default_factory=set)
    stops: dict[int, str] = field(default_factory=dict)
    doubts: dict[int, Doubt] = field(default_factory=dict)

    def put(self, links: Iterable[Link]) -> None:
        """Take these answers for their slices."""
        for link in links:
            self.stack[link.index] = link.mask
            self.untouched.discard(link.index)
            self.doubts.pop(link.index, None)
            if link.doubt is not None:
                self.doubts[link.index] = link.doubt

    def run(self, starts: Iterable[Link], steps: Sequence[int]) -> None:
        """Carry on from key slices whose masks are new, in the directions `steps` (1, -1).

        Away from other key slices everything is replaced, but for what is left of the mask the session started from,
        where it is as good. Towards another key slice the nearer half is, up to where nothing more changes; what is
        empty beyond that half is then filled.
        """
        unfilled = []
        for start in starts:
            for step in steps:
                path = list(self.path(start.index, step))
                key = next((n for n, index in enumerate(path) if index in self.keys), None)
                if key is None:
                    self._go(_Walk(start, start, path, is_towards_key=False))
                    continue
                between = path[:key]
                half = (len(between) + 1) // 2
                walk = _Walk(start, start, between[:half], is_towards_key=True)
                if self._go(walk):
                    walk.path = between[half:]
                    unfilled.append(walk)
        for walk in unfilled:
            walk.path = list(takewhile(lambda index: not self.stack[index].any(), walk.path))
            self._go(walk)

    def _go(self, walk: _Walk) -> bool:
        """Walk to the end of the path; False when something ended it before."""
        if not walk.key.mask.any():
            self._clear(walk, walk.path)
            return False
        walk.largest = max(walk.largest, walk.last.area)
        for place, index in enumerate(walk.path):
            coming = walk.path[place + 1 : place + 1 + AHEAD]
            link = self.follow(walk.last, index, coming)
            self.stops.pop(index, None)
            ends = not link.mask.any()
            reason = None if ends else self.rules.reason(walk.key, walk.last, link, earlier=walk.earlier)
            if ends or reason is not None:
                if index not in self.untouched:
                    self._clear(walk, walk.path[place:])
                if reason is not None and walk.last.area > self.rules.tapered * walk.largest:
                    self.stops[index] = reason
                return False
            if self._changes_nothing(walk, link):
                return False
            self.put([link])
            walk.earlier, walk.last = walk.last, link
            walk.largest = max(walk.largest, link.area)
        return True

    def _changes_nothing(self, walk: _Walk, link: Link) -> bool:
        """Whether the rest of the way may stay as it is."""
        old = self.stack[link.index]
        if link.index in self.untouched:
            return self.rules.is_alike(old, link.mask)
        return walk.is_towards_key and self.rules.is_settled(old, link.mask)

    def _clear(self, walk: _Walk, path: Sequence[int]) -> None:
        """Take away what an earlier walk from here left on the path, which no other key slice answers for."""
        for index in path if not walk.is_towards_key else ():
            if index not in self.untouched:
                self.stack[index] = False
                self.stops.pop(index, None)
                self.doubts.pop(index, None)
