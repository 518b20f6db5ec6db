"""An interactive segmentation of one volume: prompts in, native-resolution masks out, with undo and redo."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .candidate import Candidate
from .families import CLICKS_2D, FAMILIES
from .geometry import Grid, Orientation
from .history import History, State
from .masks import CroppedMask
from .predictor import Predictor
from .prompt_set import Prompts, checked_prompt, inside
from .prompts import Box, Click
from .protocol import Segmenter, SliceSegmenter
from .request import CancelGate, Cancelled, Clock, Progress, Timing
from .slices.options import SliceOptions
from .slices.predictor import SlicePredictor
from .volume_predictor import VolumePredictor
from .volumes import checked_spacing, checked_volume
from .windows import ZoomPolicy

HISTORY_DEPTH = 32
CACHE_SIZE = 12  # the widest, the closest and a full set of tile windows

__all__ = ["Cancelled", "Candidate", "Progress", "Session", "Timing"]


class Session:
    """Segments one structure at a time with a `Segmenter`, or slice by slice with a `SliceSegmenter`.

    Requests may come from one worker thread at a time; `cancel` may be called from any thread. A request that raises
    leaves the session unchanged. keep_clicked_components drops parts of the mask that no foreground click, box or
    initial mask points at. The volume is referenced, not copied: call set_image again after changing it. slices are
    the choices of a slice model; ValueError when they are given with another. on_progress, when set, is called on the
    working thread as a request goes on.
    """

    def __init__(
        self,
        segmenter: Segmenter | SliceSegmenter,
        *,
        keep_clicked_components: bool = True,
        policy: ZoomPolicy | None = None,
        cache_size: int = CACHE_SIZE,
        slices: SliceOptions | None = None,
    ) -> None:
        if slices is not None and not _works_in_slices(segmenter):
            raise ValueError(
                f"{segmenter.name} segments in 3D: expected no slice options, received {slices}; leave them out, "
                "or choose a model that segments slices"
            )
        self._segmenter = segmenter
        self._keep_clicked = keep_clicked_components
        self._policy = policy or ZoomPolicy()
        self._cache_size = cache_size
        self._slices = slices or SliceOptions()
        self._lock = threading.RLock()
        self._gate = CancelGate()
        self._history = History(HISTORY_DEPTH)
        self._predictor: VolumePredictor | None = None
        self._orientation = Orientation()
        self._shape: tuple[int, ...] = (0, 0, 0)
        self.last_timing = Timing()
        self.on_progress: Callable[[Progress], None] | None = None

    def set_image(
        self, array_ijk: ArrayLike, *, spacing_mm: Sequence[float], direction: ArrayLike | None = None
    ) -> None:
        """Start on a volume (I, J, K) of any integer or float type; forgets all prompts.

        spacing_mm: per index axis. direction: 3x3, columns are the RAS unit vectors of the index axes; None is RAS+.
        Raises ValueError, leaving the session as it was, for a volume, spacing or direction that cannot be used.
        """
        volume = checked_volume(array_ijk)
        spacing = checked_spacing(spacing_mm)
        orientation = Orientation.from_direction(direction)
        grid = Grid(orientation.shape_to_canonical(volume.shape), orientation.shape_to_canonical(spacing))
        image = orientation.to_canonical(volume)
        predictor = self._predictor_of(image, grid, orientation)
        with self._lock:
            self._predictor = predictor
            self._orientation, self._shape = orientation, volume.shape
            self._history = History(HISTORY_DEPTH)
            self.last_timing = Timing()

    def add(self, prompt: Click | Box) -> NDArray[np.bool_]:
        """Add one prompt and return the new mask (I, J, K).

        Raises ValueError for a prompt outside the image or a background click before anything marks the structure,
        RuntimeError before set_image, and Cancelled.
        """
        return self.add_many((prompt,))

    def add_many(self, prompts: Sequence[Click | Box]) -> NDArray[np.bool_]:
        """Add several prompts in one request (clicks that arrived while another ran); errors as in `add`."""
        with self._lock, self._request() as check:
            self._history.push(self._after(self._history.current, prompts, check))
            return self.mask

    def replay(
        self, requests: Sequence[Sequence[Click | Box]], *, initial: ArrayLike | None = None
    ) -> NDArray[np.bool_]:
        """Answer these requests anew, one after the other, and return the mask (I, J, K); one step of the history.

        Gives the mask that the same requests gave when they were made, and serves to move or delete a prompt.
        initial: the mask (I, J, K) to start from; None keeps the one the current prompts started from. Raises as `add`
        and `set_mask` do, the session then being as before.
        """
        with self._lock, self._request() as check:
            self._require_image()
            start = self._history.current.initial if initial is None else self._checked_mask(initial)
            state = State(initial=start, mask=start)
            for prompts in requests:
                state = self._after(state, prompts, check)
            self._history.push(state)
            return self.mask

    def prepare(self, ijk: Sequence[int]) -> None:
        """Encode the window that a first click at voxel (i, j, k) would use, so that the click is answered sooner.

        Raises ValueError for a voxel outside the image, RuntimeError before set_image, and Cancelled.
        """
        with self._lock, self._request() as check:
            predictor = self._require_image()
            voxel = inside(ijk, self._shape, "voxel")
            point = self._orientation.point_to_canonical([voxel], self._shape)[0]
            predictor.prepare(point, check=check)

    def set_mask(self, mask: ArrayLike) -> NDArray[np.bool_]:
        """Start from an existing mask (I, J, K): it replaces all prompts and guides the next click. Can be undone.

        Raises ValueError when the shape differs from the image's.
        """
        with self._lock:
            self._require_image()
            initial = self._checked_mask(mask)
            self._history.push(State(initial=initial, mask=initial))
            return self.mask

    def choose(self, index: int) -> NDArray[np.bool_]:
        """Make candidate `index` the mask (I, J, K) and the ground for later clicks. Can be undone."""
        with self._lock, self._request() as check:
            predictor = self._require_image()
            state = self._history.current
            outcome = state.outcome
            if outcome is None or not len(outcome.iou):
                raise RuntimeError("no candidates to choose from: add a click or a box first")
            if not 0 <= index < len(outcome.iou):
                raise ValueError(f"candidate must be 0 to {len(outcome.iou) - 1}, got {index}; see candidates")
            if index != outcome.chosen:
                mask, chosen = predictor.choose(self._prompts(state), state, index, check=check, report=self._report)
                check()
                self._history.push(replace(state, mask=mask, outcome=chosen))
            return self.mask

    def undo(self) -> NDArray[np.bool_]:
        """Return to the state before the last request; gives its mask. RuntimeError when there is none."""
        with self._lock:
            self._history.undo()
            return self.mask

    def redo(self) -> NDArray[np.bool_]:
        """Bring back what undo took; gives its mask. RuntimeError when there is nothing."""
        with self._lock:
            self._history.redo()
            return self.mask

    def reset(self) -> None:
        """Forget all prompts, masks and undo steps; the image and its encoded windows stay."""
        with self._lock:
            self._history = History(HISTORY_DEPTH)

    def go_to(self, position: int) -> NDArray[np.bool_]:
        """Move to a step of the history, 0 to `length` - 1, and return its mask. ValueError when there is none."""
        with self._lock:
            self._history.go_to(position)
            return self.mask

    def exchange_history(self, history: History | None = None) -> History:
        """Go on with another structure of the same image: take up `history`, or a new one, and return the one left.

        The encoded windows are shared by all structures. A history belongs to the image it was made on.
        """
        with self._lock:
            left, self._history = self._history, history or History(HISTORY_DEPTH)
            return left

    @property
    def history(self) -> History:
        """The steps of the structure at hand; what is pushed to it becomes the session's present state."""
        return self._history

    def cancel(self) -> None:
        """Make the running request, if any, raise Cancelled at its next stage. Callable from any thread."""
        self._gate.cancel()

    @property
    def clicks(self) -> tuple[Click, ...]:
        return self._history.current.clicks

    @property
    def boxes(self) -> tuple[Box, ...]:
        return self._history.current.boxes

    @property
    def requests(self) -> tuple[tuple[Click | Box, ...], ...]:
        """The prompts since the start or the last set_mask, those given in one request together."""
        return self._history.current.requests

    @property
    def position(self) -> int:
        """Which step of the history is current; 0 is the oldest remembered."""
        return self._history.position

    @property
    def length(self) -> int:
        """How many steps the history holds, undone ones included."""
        return self._history.length

    @property
    def can_undo(self) -> bool:
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        return self._history.can_redo

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The current mask, a new bool array (I, J, K); all False before the first prompt."""
        self._require_image()
        return self._full(self._history.current.mask)

    @property
    def mask_crop(self) -> tuple[NDArray[np.bool_], tuple[int, ...]]:
        """The current mask's bounding box: bool crop (a, b, c) in index axes and the voxel index of its first voxel."""
        return self.crop_of(self._history.current)

    def crop_of(self, state: State) -> tuple[NDArray[np.bool_], tuple[int, ...]]:
        """A state's mask, as `mask_crop` gives that of the current one."""
        self._require_image()
        mask = state.mask
        ends = np.stack([mask.offset, np.add(mask.offset, np.maximum(mask.shape, 1)) - 1])
        offset = self._orientation.point_from_canonical(ends, self._shape).min(axis=0)
        return self._orientation.from_canonical(mask.crop()), tuple(int(v) for v in offset)

    @property
    def uncertain_voxel(self) -> tuple[int, int, int] | None:
        """The voxel (i, j, k) where a click would tell the model most, or None where it is sure everywhere.

        It is the deepest point of the thickest region in which the model gives neither side much credit.
        """
        state = self._history.current
        if state.outcome is None:
            return None
        point = self._require_image().least_certain(state.outcome)
        if point is None:
            return None
        voxel = np.round(self._orientation.point_from_canonical([point], self._shape)[0]).astype(int)
        i, j, k = np.clip(voxel, 0, np.array(self._shape) - 1)
        return int(i), int(j), int(k)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Masks the model offers for the current prompts, candidate 0 its default; empty before the first answer."""
        state = self._history.current
        if state.outcome is None:
            return ()
        return tuple(
            Candidate(iou=float(iou), _make=partial(self._candidate_mask, state, index))
            for index, iou in enumerate(state.outcome.iou)
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know of the current mask, a sentence each: where it was not carried on, and why."""
        outcome = self._history.current.outcome
        return () if outcome is None else self._require_image().notices(outcome)

    def _candidate_mask(self, state: State, index: int) -> NDArray[np.bool_]:
        if state.outcome is None or index == state.outcome.chosen:
            return self._full(state.mask)
        with self._lock:
            predictor = self._require_image()
            mask, _ = predictor.choose(
                self._prompts(state), state, index, check=lambda: None, report=lambda progress: None
            )
            return self._full(mask)

    def _predictor_of(self, image: NDArray, grid: Grid, orientation: Orientation) -> VolumePredictor:
        if _works_in_slices(self._segmenter):
            segmenter = cast(SliceSegmenter, self._segmenter)
            return SlicePredictor(
                segmenter, image, grid, options=self._slices, keep_clicked=self._keep_clicked, orientation=orientation
            )
        return Predictor(
            cast(Segmenter, self._segmenter),
            image,
            grid,
            policy=self._policy,
            keep_clicked=self._keep_clicked,
            cache_size=self._cache_size,
        )

    @contextmanager
    def _request(self) -> Iterator[Callable[[], None]]:
        """One cancellable, timed request; yields the check to call between stages."""
        clock = Clock()
        if self._predictor is not None:
            self._predictor.clock = clock
        try:
            with self._gate.open() as check:
                yield check
        finally:
            if self._predictor is not None:
                self.last_timing = clock.timing(self._segmenter)

    def _after(self, state: State, prompts: Sequence[Click | Box], check: Callable[[], None]) -> State:
        """The state with more prompts and the model's answer to all of them."""
        predictor = self._require_image()
        checked = tuple(checked_prompt(prompt, self._shape) for prompt in prompts)
        state = replace(state, requests=(*state.requests, checked))
        if not (any(c.is_foreground for c in state.clicks) or state.boxes or not state.initial.is_empty):
            raise ValueError(
                "expected a foreground click, a box or a mask before background clicks, got none; "
                "click inside the structure first"
            )
        newest = Prompts.from_index(
            [p for p in checked if isinstance(p, Click)],
            [p for p in checked if isinstance(p, Box)],
            state.initial,
            orientation=self._orientation,
            shape=self._shape,
        )
        mask, outcome = predictor.answer(self._prompts(state), state, newest=newest, check=check, report=self._report)
        check()
        return replace(state, mask=mask, outcome=outcome)

    def _report(self, progress: Progress) -> None:
        if self.on_progress is not None:
            self.on_progress(progress)

    def _checked_mask(self, mask: ArrayLike) -> CroppedMask:
        """A mask (I, J, K) as canonical voxels. Raises ValueError when the shape differs from the image's."""
        given = np.asarray(mask)
        if given.shape != self._shape:
            raise ValueError(f"mask must have the image's shape {self._shape}, got {given.shape}; resample it first")
        given = given if given.dtype == bool else given != 0
        return CroppedMask.from_crop(self._orientation.to_canonical(given), (0, 0, 0))

    def _require_image(self) -> VolumePredictor:
        if self._predictor is None:
            raise RuntimeError("no image yet: call set_image first")
        return self._predictor

    def _prompts(self, state: State) -> Prompts:
        return Prompts.from_index(
            state.clicks, state.boxes, state.initial, orientation=self._orientation, shape=self._shape
        )

    def _full(self, mask: CroppedMask) -> NDArray[np.bool_]:
        result = np.zeros(self._shape, dtype=bool)
        mask.paste_into(self._orientation.to_canonical(result))
        return result


def _works_in_slices(segmenter: Segmenter | SliceSegmenter) -> bool:
    return FAMILIES.get(segmenter.architecture) == CLICKS_2D
