"""One request on one volume: choose the windows, ask the model, and paste its logits into a native-grid mask."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .corrections import changed_near, corrected, deepest_cell
from .framing import Framing, filled_fraction
from .geometry import Grid
from .history import Outcome, State
from .levels import edge_level, sureness
from .masks import CroppedMask, components_at
from .pasting import Layer, paste_mask, resample_logits, resample_mask, tile_layers
from .preprocessing import extract_window, normalise, pooled
from .prompt_set import Prompts
from .protocol import Prediction, Segmenter
from .request import Clock, Progress
from .weighing import levelled, weighed
from .windows import Window, ZoomPolicy

NO_POINTS = np.zeros((0, 3))
DOUBTFUL_LOGIT = 1.5  # less than 82 % for either side
DOUBTFUL_DEPTH = 2.0  # cells; a mask's boundary is always doubtful, but thin
SURE_AT_FIRST = 0.8  # a first mask that expects this Dice of itself stays as it is
CUT_SHARE = 0.75  # of a mask cut at edges in what becomes of it when the model has seen it


@dataclass(frozen=True, slots=True)
class WindowOutcome:
    """What the model answered over `window`.

    logits (n, n, n) float32 are the chosen candidate's raw logits; alternatives (M, n, n, n) float16 and iou (M,) are
    all candidates. corrects: the mask of before, and the clicks (N, 3) that correct it; None where all was answered.
    """

    window: Window
    logits: NDArray[np.float32]
    alternatives: NDArray[np.float16]
    iou: NDArray[np.float32]
    chosen: int = 0
    corrects: tuple[CroppedMask, NDArray[np.int64]] | None = None


@dataclass(frozen=True, slots=True)
class _Attempt:
    window: Window
    prediction: Prediction
    kept: NDArray[np.bool_]  # (n, n, n) cells of the wanted components


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A window's embedding, and the picture (n, n, n) in cells of the logits whose edges a first mask is cut at."""

    embedding: Any
    picture: NDArray[np.float16] | None


class Predictor:
    """Runs requests on one canonical volume; keeps the newest `cache_size` window embeddings.

    keep_clicked: drop components of the mask that the prompts do not point at.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        image: NDArray,
        grid: Grid,
        *,
        policy: ZoomPolicy,
        keep_clicked: bool,
        cache_size: int,
    ) -> None:
        self.segmenter = segmenter
        self.policy = policy
        self.image = image
        self.grid = grid
        self.framing = Framing(policy, grid, segmenter.window_size, segmenter.fixed_spacing_mm)
        self.keep_clicked = keep_clicked
        self.clock = Clock()
        self._cache: OrderedDict[Window, _Encoded] = OrderedDict()
        self._cache_size = cache_size

    def answer(
        self,
        prompts: Prompts,
        state: State,
        *,
        newest: Prompts,
        check: Callable[[], None],
        report: Callable[[Progress], None],
    ) -> tuple[CroppedMask, WindowOutcome]:
        """Mask for `prompts`, starting at the window of the state's outcome with its raw logits."""
        last = cast("WindowOutcome | None", state.outcome)
        if last is None or last.corrects is not None:  # the mask is still the given one
            prompts = prompts.correcting(newest, state.mask)
        elif self.segmenter.judge is not None:
            prompts = prompts.after(newest)
        current = last.window if last else None
        window = self.framing.start_window(prompts, current, state.mask, reframe=bool(newest.boxes))
        previous = (last.logits, last.window) if last else None
        attempt = self._attempt(prompts, window, previous, check)
        attempt, widened = self._zoom_out(prompts, attempt, previous, check)
        if not widened and not prompts.boxes:
            attempt = self._zoom_in(prompts, attempt, check)
        if previous is None and prompts.initial.is_empty and not prompts.boxes:
            attempt = self._cut_at_edges(prompts, attempt, check)
        layers = [Layer(_silence(attempt.prediction.logits[0], attempt.kept), attempt.window)]
        layers += self._tiles(prompts, attempt, check)
        check()
        corrects = (state.mask, prompts.corrected) if len(prompts.corrected) else None
        mask = self._merged(self._paste(prompts, layers, attempt.kept), corrects)
        limit = np.finfo(np.float16).max
        return mask, WindowOutcome(
            window=attempt.window,
            logits=np.array(attempt.prediction.logits[0], dtype=np.float32),
            alternatives=np.clip(attempt.prediction.logits, -limit, limit).astype(np.float16),
            iou=np.array(attempt.prediction.iou, dtype=np.float32),
            corrects=corrects,
        )

    def choose(
        self,
        prompts: Prompts,
        state: State,
        index: int,
        *,
        check: Callable[[], None],
        report: Callable[[Progress], None],
    ) -> tuple[CroppedMask, WindowOutcome]:
        """The mask that candidate `index` of the state's outcome gives."""
        outcome = cast(WindowOutcome, state.outcome)
        logits = outcome.alternatives[index].astype(np.float32)
        kept = self._wanted(prompts, logits, outcome.window)
        mask = self._paste(prompts, [Layer(_silence(logits, kept), outcome.window)], kept)
        return self._merged(mask, outcome.corrects), replace(outcome, logits=logits, chosen=index)

    def prepare(self, point: NDArray, *, check: Callable[[], None]) -> None:
        """Encode the window that a first click at canonical voxel `point` (3,) would use."""
        check()
        self._encode(self.framing.first_window(point))

    def least_certain(self, outcome: Outcome) -> NDArray[np.float64] | None:
        """Canonical voxel coordinates (3,) deepest inside what the model leaves open, or None."""
        logits, window = cast(WindowOutcome, outcome).logits, cast(WindowOutcome, outcome).window
        doubtful = np.abs(logits) < DOUBTFUL_LOGIT
        depth = ndimage.distance_transform_edt(np.pad(doubtful, 1))[1:-1, 1:-1, 1:-1]
        deepest = np.unravel_index(np.argmax(depth), depth.shape)
        if depth[deepest] < DOUBTFUL_DEPTH:
            return None
        return self._point_of(np.array(deepest), window)

    def notices(self, outcome: Outcome) -> tuple[str, ...]:
        """Nothing: the mask shows what there is to know."""
        return ()

    def _encode(self, window: Window) -> _Encoded:
        if window in self._cache:
            self._cache.move_to_end(window)
            return self._cache[window]
        began = time.perf_counter()
        values, valid = extract_window(self.image, self.grid.spacing_mm, window, antialias=self.segmenter.antialias)
        prepared = normalise(values, valid, self.segmenter.normalisation)
        picture = None
        if self.segmenter.judge is not None:
            cell = self.segmenter.window_size // self.segmenter.logits_size
            picture = pooled(prepared[-1], cell).astype(np.float16)
        encoded = _Encoded(self.segmenter.encode(prepared), picture)
        self._cache[window] = encoded
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        self.clock.encode += time.perf_counter() - began
        self.clock.encodes += 1
        return encoded

    def _decode(
        self,
        prompts: Prompts,
        window: Window,
        prior: NDArray[np.float32] | None,
        check: Callable[[], None],
        *,
        stand_in: NDArray[np.float64] | None = None,
    ) -> Prediction:
        """Model answer in `window` after raw logits `prior` (n, n, n).

        stand_in: canonical point used when no foreground point lies in the window.
        """
        check()
        embedding = self._encode(window).embedding
        check()
        began = time.perf_counter()
        points, labels = prompts.decoder_points()
        inside = window.contains(points, self.grid.spacing_mm)
        points, labels = points[inside].astype(np.float64), labels[inside]
        if stand_in is not None and not (labels == 1).any():
            points, labels = np.concatenate([points, stand_in[None]]), np.append(labels, 1)
        samples = window.from_image(points, self.grid.spacing_mm) if len(points) else NO_POINTS
        prediction = self.segmenter.decode(embedding, samples, labels, prior)
        self.clock.decode += time.perf_counter() - began
        self.clock.decodes += 1
        return prediction

    def _prior(
        self, prompts: Prompts, window: Window, previous: tuple[NDArray[np.float32], Window] | None
    ) -> NDArray[np.float32] | None:
        """Previous raw logits seen through `window` (n, n, n), from the last answer or the initial mask."""
        if previous is not None:
            return resample_logits(*previous, window, self.grid.spacing_mm, self.segmenter.logits_size)
        if not prompts.initial.is_empty:
            return resample_mask(prompts.initial, window, self.grid.spacing_mm, self.segmenter.logits_size)
        return None

    def _attempt(
        self,
        prompts: Prompts,
        window: Window,
        previous: tuple[NDArray[np.float32], Window] | None,
        check: Callable[[], None],
        *,
        previous_share: float = 0.0,
    ) -> _Attempt:
        """The model's answer in `window`; previous_share: of what was seen before in its single mask."""
        prior = self._prior(prompts, window, previous)
        corrected = prior if len(prompts.corrected) > 0 else None
        stand_in = None if corrected is None else self._kept_point(prompts, corrected, window)
        prediction = self._decode(prompts, window, prior, check, stand_in=stand_in)
        if corrected is not None:
            prediction = self._corrected(prompts, prediction, corrected, window)
        elif prior is not None:
            prediction = _blended(self._weighed(prompts, prediction, prior, window), prior, previous_share)
        return _Attempt(window, prediction, self._wanted(prompts, prediction.logits[0], window))

    def _kept_point(self, prompts: Prompts, prior: NDArray[np.float32], window: Window) -> NDArray[np.float64] | None:
        """Where a prior (n, n, n) is deepest, to be kept where no foreground point in the window says what is."""
        if window.contains(prompts.positive, self.grid.spacing_mm).any():
            return None
        deepest = deepest_cell(prior > 0)
        return None if deepest is None else self._point_of(deepest, window)

    def _corrected(
        self, prompts: Prompts, prediction: Prediction, prior: NDArray[np.float32], window: Window
    ) -> Prediction:
        """The candidates where clicks correct the prior (n, n, n), and the prior elsewhere."""
        cells = self._cells_of(prompts.corrected, window, len(prior))
        size_mm = (window.extent_mm / len(prior),) * 3
        logits = prediction.logits.copy()
        for candidate in logits:
            changed = (candidate > 0) != (prior > 0)
            taken = changed_near(prior > 0, candidate > 0, cells, cell_mm=size_mm)
            candidate[changed & ~taken] = prior[changed & ~taken]
        return replace(prediction, logits=logits)

    def _weighed(
        self, prompts: Prompts, prediction: Prediction, prior: NDArray[np.float32], window: Window
    ) -> Prediction:
        """The single mask where the latest clicks correct the prior (n, n, n); the alternatives as they are."""
        logits, merged, judge = prediction.logits, prior, self.segmenter.judge
        if judge is None or not len(prompts.latest):
            return prediction
        answer = levelled(prior, logits[0])
        for index in prompts.latest:
            adds, count = bool(prompts.labels[index]), max(int(index), 1)
            for cell in self._cells_of(prompts.points[index, None], window, len(prior)):
                merged = weighed(merged, answer, cell, adds, count, judge=judge)
        return prediction if merged is prior else replace(prediction, logits=np.stack([merged, *logits[1:]]))

    def _merged(self, mask: CroppedMask, corrects: tuple[CroppedMask, NDArray[np.int64]] | None) -> CroppedMask:
        """The mask, or where clicks only correct another one, that one with their changes."""
        return mask if corrects is None else corrected(corrects[0], mask, corrects[1], spacing_mm=self.grid.spacing_mm)

    def _cells_of(self, points: NDArray, window: Window, count: int) -> NDArray[np.int64]:
        """Cells (N, 3) of logits (n, n, n) over `window` for those canonical voxels (N, 3) that lie in it."""
        inside = points[window.contains(points, self.grid.spacing_mm)]
        cells = (window.from_image(inside, self.grid.spacing_mm) + 0.5) * count / window.size
        return np.clip(cells.astype(np.int64), 0, count - 1)

    def _point_of(self, cell: NDArray[np.int64], window: Window) -> NDArray[np.float64]:
        """Canonical voxel coordinates (3,) of the middle of a cell of the model's logits over `window`."""
        return window.to_image((cell + 0.5) * window.size / self.segmenter.logits_size - 0.5, self.grid.spacing_mm)

    def _zoom_out(
        self,
        prompts: Prompts,
        attempt: _Attempt,
        previous: tuple[NDArray[np.float32], Window] | None,
        check: Callable[[], None],
    ) -> tuple[_Attempt, bool]:
        """Widen while the mask runs into open faces; a wider answer that loses the clicks is not taken."""
        for step in range(self.policy.out_steps + 1):
            hit = self.policy.faces_hit(attempt.kept, attempt.window, self.grid)
            wider = self.policy.zoom_out(attempt.window, self.grid, hit, step) if hit.any() else None
            if wider is None:
                return attempt, step > 0
            candidate = self._attempt(prompts, wider, previous, check)
            if not candidate.kept.any():
                return attempt, True
            attempt = candidate
        return attempt, True

    def _zoom_in(self, prompts: Prompts, attempt: _Attempt, check: Callable[[], None]) -> _Attempt:
        """Look closer at an object small in the window; the closer answer is kept when it is the same object.

        It is the mean of what is seen from there and from further away; the less of the latter, the less that shows.
        """
        window, policy = attempt.window, self.policy
        closer = self.framing.closer_window(prompts, window, attempt.kept)
        if closer is None:
            return attempt
        share = policy.wide_share * min(filled_fraction(attempt.kept) / policy.tiny_fraction, 1)
        seen = attempt.prediction.logits[0], window
        candidate = self._attempt(prompts.settled(), closer, seen, check, previous_share=share)
        volume_mm3 = [
            np.count_nonzero(a.kept) * (a.window.extent_mm / a.kept.shape[0]) ** 3 for a in (attempt, candidate)
        ]
        ratio = volume_mm3[1] / volume_mm3[0]
        most = policy.max_correction_change if len(prompts.latest) else policy.max_volume_change
        if not 1 / most <= ratio <= most:
            return attempt
        if policy.faces_hit(candidate.kept, closer, self.grid).any():
            return attempt
        return candidate

    def _cut_at_edges(self, prompts: Prompts, attempt: _Attempt, check: Callable[[], None]) -> _Attempt:
        """An unsure first mask, cut where its border lies best on edges, and shown to the model once more."""
        window, logits = attempt.window, attempt.prediction.logits[0]
        picture = self._encode(window).picture
        if picture is None or not attempt.kept.any() or sureness(logits) >= SURE_AT_FIRST:
            return attempt
        cells = self._cells_of(prompts.positive, window, len(picture))
        level = edge_level(logits, picture.astype(np.float32), cells)
        if level == 0:
            return attempt
        cut = logits - np.float32(level)
        candidate = self._attempt(prompts.settled(), window, (cut, window), check, previous_share=CUT_SHARE)
        return candidate if candidate.kept.any() else attempt

    def _tiles(self, prompts: Prompts, attempt: _Attempt, check: Callable[[], None]) -> list[Layer]:
        """Layers at finer spacing along the mask's boundary, for an object wider than a full-resolution window."""

        def decode(tile: Window, stand_in: NDArray[np.float64], prior: Layer) -> NDArray[np.float32]:
            seen = self._prior(prompts, tile, (prior.logits, prior.window))
            return self._decode(prompts, tile, seen, check, stand_in=stand_in).logits[0]

        coarse = Layer(_silence(attempt.prediction.logits[0], attempt.kept), attempt.window)
        return tile_layers(coarse, attempt.kept, self.grid, self.policy, finest_mm=self.framing.start_mm, decode=decode)

    def _wanted(self, prompts: Prompts, logits: NDArray[np.float32], window: Window) -> NDArray[np.bool_]:
        """Cells (n, n, n) of the mask's components that the prompts point at."""
        mask = logits > 0
        if not self.keep_clicked or prompts.boxes:
            return mask
        count = logits.shape[0]
        cells = self._cells_of(prompts.positive, window, count)
        touching = None
        if not prompts.initial.is_empty:
            touching = resample_mask(prompts.initial, window, self.grid.spacing_mm, count) > 0
        return components_at(mask, cells, touching)

    def _paste(self, prompts: Prompts, layers: list[Layer], kept: NDArray[np.bool_]) -> CroppedMask:
        began = time.perf_counter()
        seeded = self.keep_clicked and not prompts.boxes
        mask = paste_mask(
            layers, kept, self.grid, prompts=prompts, keep_clicked=seeded, overlap=self.policy.tile_overlap
        )
        self.clock.paste += time.perf_counter() - began
        return mask


def _blended(prediction: Prediction, prior: NDArray[np.float32], share: float) -> Prediction:
    """The single mask with a share of the prior's logits (n, n, n); the alternatives as they are."""
    if share == 0:
        return prediction
    single = (1 - share) * prediction.logits[0] + share * prior
    return replace(prediction, logits=np.stack([single, *prediction.logits[1:]]))


def _silence(logits: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Logits with the components that were not kept turned into background."""
    dropped = (logits > 0) & ~kept
    return np.where(dropped, -logits, logits) if dropped.any() else logits
