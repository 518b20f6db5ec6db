"""Requests answered slice by slice: prompted slices are decoded, their masks carried on to the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid, Orientation
from ..history import Outcome, State
from ..masks import CroppedMask
from ..prompt_set import Prompts
from ..protocol import SliceSegmenter
from ..request import Clock, Progress
from .cache import SliceCache
from .cleaning import cleaned
from .decoder import SliceDecoder
from .options import STEPS, SliceOptions
from .pictures import SlicePictures
from .prompts import SlicePrompts
from .propagation import Propagation, StopRules
from .result import KeySlice, SliceOutcome, SliceResult
from .stack import SliceStack
from .view import SliceView

LARGEST_LOGIT = 6e4  # half precision holds it
NO_LOGITS = np.zeros((0, 1, 1), np.float16)
NO_IOU = np.zeros(0, np.float32)


class SlicePredictor:
    """Runs requests on the slices of one canonical volume. orientation: of its index axes, for what users read.

    keep_clicked: drop components of a prompted slice that no prompt points at, and of others that do not touch the
    slice before. Raises ValueError for slices that have a single row or column.
    """

    def __init__(
        self,
        segmenter: SliceSegmenter,
        image: NDArray,
        grid: Grid,
        *,
        options: SliceOptions,
        keep_clicked: bool,
        orientation: Orientation,
    ) -> None:
        self.segmenter, self.grid, self.options = segmenter, grid, options
        self.keep_clicked = keep_clicked
        self.clock = Clock()
        self._axis = options.axis(grid)
        self._orientation = orientation
        self._pictures = SlicePictures(segmenter, image, grid, axis=self._axis, modality=options.modality)
        self._cache = SliceCache(self._encode)

    def answer(
        self,
        prompts: Prompts,
        state: State,
        *,
        newest: Prompts,
        check: Callable[[], None],
        report: Callable[[Progress], None],
    ) -> tuple[CroppedMask, SliceOutcome | None]:
        """Decode the slices that the newest prompts lie on, and carry their masks on. Raises as `SlicePrompts` does."""
        asked, fresh = (SlicePrompts(given, self._axis, self.grid.shape) for given in (prompts, newest))
        last = cast("SliceOutcome | None", state.outcome)
        stack = SliceStack.of(last.result.mask if last else state.mask, self.grid.shape, self._axis)
        ground = last.result if last else SliceResult(state.mask, untouched=stack.filled)
        answered = self._to_answer(asked, fresh, ground, stack)
        boxed = fresh.covered if self.options.roi == "fixed" else frozenset()
        keys: dict[int, KeySlice] = {}
        alternatives, iou = NO_LOGITS, NO_IOU
        with self._decoder(asked, check, report) as decoder:
            decoder.total = self._total(answered, boxed)
            for place, index in enumerate(answered):
                prediction = decoder.prompted(
                    index,
                    self._held(ground, index, stack),
                    coming=answered[place + 1 : place + 2],
                    is_boxed_anew=index in fresh.flat or index in fresh.covered,
                )
                alternatives = np.clip(prediction.logits, -LARGEST_LOGIT, LARGEST_LOGIT).astype(np.float16)
                iou = np.array(prediction.iou, dtype=np.float32)
                keys[index] = KeySlice(alternatives[0], float(iou[0]))
            result = self._carried(decoder, ground, stack, keys, boxed)
        mask = self._finished(asked, result.mask)
        if not answered:  # background clicks where nothing was: the candidates stay those of before
            return mask, replace(last, result=result) if last else None
        return mask, SliceOutcome(result, ground, answered, boxed, alternatives, iou)

    def choose(
        self,
        prompts: Prompts,
        state: State,
        index: int,
        *,
        check: Callable[[], None],
        report: Callable[[Progress], None],
    ) -> tuple[CroppedMask, SliceOutcome]:
        """Take candidate `index` of the newest prompted slice, and carry it on as the default was."""
        outcome = cast(SliceOutcome, state.outcome)
        asked = SlicePrompts(prompts, self._axis, self.grid.shape)
        keys = {n: outcome.result.keys[n] for n in outcome.answered}
        keys[outcome.answered[-1]] = KeySlice(outcome.alternatives[index], float(outcome.iou[index]))
        stack = SliceStack.of(outcome.ground.mask, self.grid.shape, self._axis)
        with self._decoder(asked, check, report) as decoder:
            result = self._carried(decoder, outcome.ground, stack, keys, outcome.boxed)
        chosen = replace(outcome, result=result, chosen=index)
        return self._finished(asked, result.mask), chosen

    def prepare(self, point: NDArray, *, check: Callable[[], None]) -> None:
        """Encode the slice that a click at canonical voxel `point` (3,) would lie on."""
        self._cache.get(int(round(float(point[self._axis]))), check=check)

    def least_certain(self, outcome: Outcome) -> NDArray[np.float64] | None:
        """Canonical voxel coordinates (3,) deepest inside what the model leaves open, in any slice, or None."""
        doubts = cast(SliceOutcome, outcome).result.doubts
        if not doubts:
            return None
        index = max(sorted(doubts), key=lambda n: doubts[n][0])
        return SliceView(self._axis, index).to_voxels(doubts[index][1:], self.grid.shape)

    def notices(self, outcome: Outcome) -> tuple[str, ...]:
        """Where masks were not carried on, and why."""
        stops = cast(SliceOutcome, outcome).result.stops
        return tuple(
            f"stopped at {self._name(n)}, where {stops[n]}: click there if the structure goes on" for n in sorted(stops)
        )

    def _name(self, index: int) -> str:
        """A slice in words, by its index along the image's own axis."""
        axis = self._orientation.perm[self._axis]
        number = self.grid.shape[self._axis] - 1 - index if self._orientation.flips[self._axis] else index
        return f"{SliceView(self._axis, index).orientation} slice {'ijk'[axis]} = {number}"

    def _encode(self, index: int) -> Any:
        began = time.perf_counter()
        embedding = self._pictures.encode(index)
        self.clock.encode += time.perf_counter() - began
        self.clock.encodes += 1
        return embedding

    @contextmanager
    def _decoder(
        self, asked: SlicePrompts, check: Callable[[], None], report: Callable[[Progress], None]
    ) -> Iterator[SliceDecoder]:
        """What answers one request; slices that it asked for ahead are dropped at its end."""
        try:
            yield SliceDecoder(
                segmenter=self.segmenter,
                pictures=self._pictures,
                cache=self._cache,
                asked=asked,
                keep_clicked=self.keep_clicked,
                check=check,
                report=report,
                clock=self.clock,
                name_of=self._name,
            )
        finally:
            self._cache.drop()

    def _to_answer(
        self, asked: SlicePrompts, fresh: SlicePrompts, ground: SliceResult, stack: SliceStack
    ) -> tuple[int, ...]:
        """Slices with prompts to answer, the newest prompt's last.

        A new deep box renews the prompted slices inside it. A slice with nothing but background clicks, or beyond the
        boxes, has nothing to answer.
        """
        renewed = [n for n in (*ground.keys, *asked.clicked) if n in fresh.covered]
        slices = dict.fromkeys(reversed([*renewed, *fresh.flat, *fresh.middles, *fresh.clicked]))
        return tuple(reversed([n for n in slices if self._is_answerable(asked, n, stack)]))

    @staticmethod
    def _is_answerable(asked: SlicePrompts, index: int, stack: SliceStack) -> bool:
        if asked.flat_box(index) is not None or index in asked.middles:
            return True
        return asked.allows(index) and bool((asked.clicks(index)[1] == 1).any() or stack[index].any())

    def _total(self, answered: Collection[int], boxed: Collection[int]) -> int | None:
        """How many slices a request looks at, where that is known before."""
        if boxed or not STEPS[self.options.direction]:
            return len({*answered, *boxed})
        return None

    def _held(self, ground: SliceResult, index: int, stack: SliceStack) -> NDArray[np.float32] | None:
        """What a slice held before, as raw logits (n, n), or None for nothing."""
        if index in ground.keys:
            return ground.keys[index].logits.astype(np.float32)
        return self._pictures.as_logits(stack[index]) if stack[index].any() else None

    def _carried(
        self,
        decoder: SliceDecoder,
        ground: SliceResult,
        stack: SliceStack,
        keys: Mapping[int, KeySlice],
        boxed: Collection[int],
    ) -> SliceResult:
        """The ground with newly answered slices `keys`, slices `boxed` with deep boxes, and what follows from them.

        stack: the ground's masks, which are changed.
        """
        asked, before = decoder.asked, {index: stack[index].copy() for index in keys}
        for index in stack.filled if asked.prompts.boxes else ():
            region = asked.region(index)
            stack[index] = stack[index] if region is None else stack[index] & region
        known = {n: key for n, key in {**ground.keys, **keys}.items() if asked.allows(n)}
        swept = sorted(set(boxed) - set(known))
        links = [decoder.boxed(n, swept[place + 1 : place + 2]) for place, n in enumerate(swept)]
        starts = [decoder.link(n, keys[n].logits.astype(np.float32), keys[n].iou, held=before[n]) for n in sorted(keys)]
        propagation = Propagation(
            stack,
            keys=frozenset(known),
            rules=StopRules(self._pictures.pixel_mm, self.grid.spacing_mm[self._axis]),
            follow=decoder.follow,
            path=asked.path,
            untouched=set(ground.untouched),
            stops={n: why for n, why in ground.stops.items() if n not in known},
            doubts=dict(ground.doubts),
        )
        propagation.put([*links, *starts])
        is_fixed = self.options.roi == "fixed" and bool(asked.covered)
        propagation.run(starts, () if is_fixed else STEPS[self.options.direction])
        stack.volume[tuple(asked.prompts.points.T)] = asked.prompts.labels == 1
        filled = stack.filled
        return SliceResult(
            mask=stack.cropped(),
            keys=known,
            untouched=frozenset(propagation.untouched & filled),
            stops=propagation.stops,
            doubts=propagation.doubts,
        )

    def _finished(self, asked: SlicePrompts, mask: CroppedMask) -> CroppedMask:
        """The mask, cleaned as the options say, still inside the boxes and true to the clicks."""
        if mask.is_empty or not self.options.cleans:
            return mask
        began = time.perf_counter()
        margin = np.ceil(self.options.smooth_mm / np.asarray(self.grid.spacing_mm)).astype(int)
        region = tuple(
            slice(max(s.start - m, 0), min(s.stop + m, n))
            for s, m, n in zip(mask.region, margin, self.grid.shape, strict=True)
        )
        points = asked.prompts.points - [s.start for s in region]
        here = ((points >= 0) & (points < [s.stop - s.start for s in region])).all(axis=1)
        stack = SliceStack(np.zeros(self.grid.shape, dtype=bool), self._axis)
        stack.volume[region] = cleaned(
            mask.within(region),
            self.options,
            axis=self._axis,
            spacing_mm=self.grid.spacing_mm,
            inside=points[here & (asked.prompts.labels == 1)],
            outside=points[here & (asked.prompts.labels == 0)],
        )
        for index in stack.filled if asked.prompts.boxes else ():
            allowed = asked.region(index)
            stack[index] = stack[index] if allowed is None else stack[index] & allowed
        stack.volume[tuple(asked.prompts.points.T)] = asked.prompts.labels == 1
        self.clock.paste += time.perf_counter() - began
        return stack.cropped()
