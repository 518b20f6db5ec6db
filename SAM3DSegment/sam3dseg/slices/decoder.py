"""One request to a slice model: its answers for prompted slices, and for the neighbours of answered ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..masks import components_at
from ..protocol import Prediction, SliceSegmenter
from ..request import Clock, Progress
from .cache import SliceCache
from .pictures import SlicePictures
from .prompts import SlicePrompts
from .propagation import Doubt, Link

DOUBTFUL_LOGIT = 1.5  # less than 82 % for either side
DOUBTFUL_DEPTH = 2  # cells of the logits; a mask's boundary is always doubtful, but thin
LOOSENED = 10 / 1024  # of the square's side: the mean by which MedSAM's training pushes every side of a box outward
NO_CLICKS = (np.zeros((0, 2)), np.zeros(0, np.int64))


@dataclass
class SliceDecoder:
    """Asks `segmenter` about slices. asked: all prompts; name_of: a slice in words; total: slices to do, if known.

    check is called between stages and may raise; report is told of every slice.
    """

    segmenter: SliceSegmenter
    pictures: SlicePictures
    cache: SliceCache
    asked: SlicePrompts
    keep_clicked: bool
    check: Callable[[], None]
    report: Callable[[Progress], None]
    clock: Clock
    name_of: Callable[[int], str]
    total: int | None = None
    done: int = 0

    def prompted(
        self, index: int, previous: NDArray[np.float32] | None, *, coming: Sequence[int], is_boxed_anew: bool
    ) -> Prediction:
        """Candidates for a slice with prompts of its own, the default first.

        previous: raw logits (n, n) of what the slice held. is_boxed_anew: a box replaces it.
        """
        xy, labels = self.asked.clicks(index)
        previous = None if is_boxed_anew else previous
        corners = self.asked.flat_box(index)
        if corners is None and (previous is None or index in self.asked.middles):
            corners = self.asked.deep_box(index)
        box = None if corners is None else self.pictures.box(corners)
        if previous is not None and self._takes_boxes_only:
            if box is None:
                box = self._box_around(self.pictures.logits(previous) > 0, xy[labels == 1])
            previous = None
        prediction = self._decode(index, (xy, labels), box, previous, coming=coming)
        is_ambiguous = len(xy) == 1 and box is None and previous is None
        return _surest_first(prediction) if is_ambiguous else prediction

    def link(self, index: int, logits: NDArray[np.float32], iou: float, *, held: NDArray[np.bool_]) -> Link:
        """A candidate's mask on a slice with prompts of its own; held: what the slice held before."""
        mask = self.pictures.logits(logits) > 0
        xy, labels = self.asked.clicks(index)
        if self.keep_clicked and self.asked.flat_box(index) is None and self.asked.deep_box(index) is None:
            kept = components_at(mask, xy[labels == 1][:, ::-1], held)
        else:
            kept = mask
        return self._link(index, logits, iou, mask=mask, kept=kept)

    def follow(self, last: Link, index: int, coming: Sequence[int]) -> Link:
        """The answer for a slice without prompts, next to an answered one."""
        box = self._box_around(last.mask, NO_CLICKS[0])
        previous = None if self._takes_boxes_only else last.logits
        prediction = self._decode(index, NO_CLICKS, box, previous, coming=coming)
        logits = prediction.logits[0]
        mask = self.pictures.logits(logits) > 0
        kept = components_at(mask, np.zeros((0, 2), np.int64), last.mask) if self.keep_clicked else mask
        return self._link(index, logits, float(prediction.iou[0]), mask=mask, kept=kept)

    def boxed(self, index: int, coming: Sequence[int]) -> Link:
        """The answer for a slice that the deep boxes on it prompt."""
        corners = self.asked.deep_box(index)
        box = None if corners is None else self.pictures.box(corners)
        prediction = self._decode(index, NO_CLICKS, box, None, coming=coming)
        logits = prediction.logits[0]
        mask = self.pictures.logits(logits) > 0
        return self._link(index, logits, float(prediction.iou[0]), mask=mask, kept=mask)

    @property
    def _takes_boxes_only(self) -> bool:
        return self.segmenter.preprocessing == "medsam"  # its training knows neither masks nor points

    def _box_around(self, mask: NDArray[np.bool_], xy: NDArray) -> NDArray[np.float64] | None:
        """Box in the model's square around a mask and pixels (N, 2), loosened; None when there is nothing."""
        places = np.concatenate([np.argwhere(mask)[:, ::-1], xy])
        if not len(places):
            return None
        return self.pictures.box([*places.min(axis=0), *places.max(axis=0)], margin=LOOSENED)

    def _decode(
        self,
        index: int,
        clicks: tuple[NDArray, NDArray],
        box: NDArray[np.float64] | None,
        previous: NDArray[np.float32] | None,
        *,
        coming: Sequence[int],
    ) -> Prediction:
        self.report(Progress(self.done, self.total, self.name_of(index)))
        embedding = self.cache.get(index, check=self.check)
        self.cache.ahead(coming)
        began = time.perf_counter()
        xy, labels = clicks
        prediction = self.segmenter.decode(
            embedding, points=self.pictures.points(xy), labels=labels, box=box, previous=previous
        )
        self.clock.decode += time.perf_counter() - began
        self.clock.decodes += 1
        self.done += 1
        return prediction

    def _link(
        self, index: int, logits: NDArray[np.float32], iou: float, *, mask: NDArray[np.bool_], kept: NDArray[np.bool_]
    ) -> Link:
        """The part `kept` of a slice's mask, within what boxes allow; what is dropped is background in its logits."""
        region = self.asked.region(index)
        if region is not None:
            kept = kept & region
        if np.count_nonzero(kept) < np.count_nonzero(mask):
            nothing = self.pictures.as_logits(kept) <= self.pictures.as_logits(np.zeros_like(kept))
            logits = np.where(nothing & (logits > 0), -logits, logits)
        return Link(index, kept, logits, iou, self._doubt(logits))

    def _doubt(self, logits: NDArray[np.float32]) -> Doubt | None:
        """Depth in cells, and the pixel (x, y), of the deepest place inside what logits leave open."""
        depth = ndimage.distance_transform_cdt(np.pad(np.abs(logits) < DOUBTFUL_LOGIT, 1))[1:-1, 1:-1]
        row, column = divmod(int(np.argmax(depth)), depth.shape[1])
        if depth[row, column] < DOUBTFUL_DEPTH:
            return None
        x, y = self.pictures.pixel_of_cell(column, row, cells=len(logits))
        return float(depth[row, column]), x, y


def _surest_first(prediction: Prediction) -> Prediction:
    """The candidate of the highest predicted IoU as the default: a lone click may mean a part or the whole."""
    best = int(np.argmax(prediction.iou))
    order = [best, *(n for n in range(len(prediction.iou)) if n != best)]
    return Prediction(logits=prediction.logits[order], iou=prediction.iou[order])
