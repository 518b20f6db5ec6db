"""How far a model in fewer bits agrees with itself in float32, and what it saves: the same clicks given to both.

Every precision has a session of its own, and all sessions get every click in turn, so that whatever else the machine
does slows all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .families import CLICKS_2D, FAMILIES
from .imageio import Image
from .precision_checks import Measured
from .prompts import Click
from .request import Progress
from .session import Session
from .simulated_user import next_click
from .slices.options import SliceOptions

CLICKS = 3  # one and two corrections

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Structure:
    """The first click on a structure, and its true mask (I, J, K) where that is known."""

    start: Click
    truth: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Case:
    """A volume and the structures that are clicked in it, one after the other."""

    image: Image
    structures: tuple[Structure, ...]


class _Timed:
    """A segmenter that notes how long each encoding and decoding takes."""

    def __init__(self, segmenter: Any) -> None:
        self._segmenter = segmenter
        self.encode_s: list[float] = []
        self.decode_s: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def encode(self, *given: Any) -> Any:
        return _timed(self.encode_s, lambda: self._segmenter.encode(*given))

    def decode(self, *given: Any, **named: Any) -> Any:
        return _timed(self.decode_s, lambda: self._segmenter.decode(*given, **named))


def measured_by_clicks(
    segmenters: Mapping[str, Any], cases: Sequence[Case], *, clicks: int = CLICKS, on_progress: Report | None = None
) -> tuple[Measured, ...]:
    """What each precision costs and how its masks agree with those of the first, the reference.

    segmenters: by precision. Corrections are the simulated user's where a structure's truth is known, else they go
    where the reference is in doubt. Dice is that of the masks in the image's own grid, after every click.
    """
    timed = {precision: _Timed(segmenter) for precision, segmenter in segmenters.items()}
    dice: dict[str, list[float]] = {precision: [] for precision in timed}
    total, done = sum(len(case.structures) for case in cases), 0
    for case in cases:
        sessions = {precision: _session(segmenter, case.image) for precision, segmenter in timed.items()}
        for structure in case.structures:
            if on_progress is not None:
                on_progress(Progress(done, total, f"clicks on {case.image.name}"))
            _follow(sessions, structure, clicks, dice)
            done += 1
    return tuple(_summary(precision, timed[precision].encode_s, timed[precision].decode_s, dice[precision])
                 for precision in timed)  # fmt: skip


def measured_by_proposals(
    proposers: Mapping[str, Any], cases: Sequence[Case], *, on_progress: Report | None = None
) -> tuple[Measured, ...]:
    """The same for models that propose structures: seconds of a whole volume, Dice of every structure."""
    seconds: dict[str, list[float]] = {precision: [] for precision in proposers}
    dice: dict[str, list[float]] = {precision: [] for precision in proposers}
    for done, case in enumerate(cases):
        if on_progress is not None:
            on_progress(Progress(done, len(cases), f"structures of {case.image.name}"))
        place = {"spacing_mm": case.image.spacing_mm, "direction": case.image.direction_ras}
        reference = None
        for precision, proposer in proposers.items():
            labels = _timed(seconds[precision], partial(proposer.propose, case.image.array_ijk, **place))
            reference = labels if reference is None else reference
            for value in range(1, len(proposer.classes) + 1):
                dice[precision] += _dice(reference == value, labels == value)
    return tuple(_summary(precision, seconds[precision], [], dice[precision]) for precision in proposers)


def _session(segmenter: Any, image: Image) -> Session:
    is_sliced = FAMILIES.get(segmenter.architecture) == CLICKS_2D
    session = Session(segmenter, slices=SliceOptions(direction="none") if is_sliced else None)
    session.set_image(image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras)
    return session


def _follow(
    sessions: Mapping[str, Session], structure: Structure, clicks: int, dice: Mapping[str, list[float]]
) -> None:
    reference = next(iter(sessions.values()))
    for session in sessions.values():
        session.reset()
    click: Click | None = structure.start
    for number in range(clicks):
        if click is None:
            return
        turns = list(sessions) if number % 2 == 0 else list(sessions)[::-1]
        masks = {precision: sessions[precision].add(click) for precision in turns}
        for precision, mask in masks.items():
            dice[precision] += _dice(reference.mask, mask)
        click = _correction(reference, structure.truth)


def _correction(session: Session, truth: NDArray[np.bool_] | None) -> Click | None:
    """The next click: what the simulated user corrects, or the opposite of what the mask says where there is doubt."""
    if truth is not None:
        return next_click(truth, session.mask)
    voxel = session.uncertain_voxel
    return None if voxel is None else Click(voxel, is_foreground=not session.mask[voxel])


def _dice(reference: NDArray[np.bool_], mask: NDArray[np.bool_]) -> list[float]:
    """2|A and B| / (|A| + |B|), nothing for two empty masks, which tell nothing."""
    total = np.count_nonzero(reference) + np.count_nonzero(mask)
    return [2 * int(np.count_nonzero(reference & mask)) / int(total)] if total else []


def _timed(seconds: list[float], work: Callable[[], Any]) -> Any:
    """The answer of `work`, with its seconds added to the list; what a GPU still has to do is waited for."""
    began = time.perf_counter()
    answer = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds.append(time.perf_counter() - began)
    return answer


def _summary(precision: str, encode_s: list[float], decode_s: list[float], dice: list[float]) -> Measured:
    """Medians; the first of each, which prepares kernels, is left out where there are others."""
    return Measured(
        precision,
        encode_s=_median(encode_s),
        click_s=_median(decode_s),
        dice_smallest=min(dice, default=0.0),
        dice_median=statistics.median(dice) if dice else 0.0,
        masks=len(dice),
    )


def _median(seconds: list[float]) -> float:
    later = seconds[1:] or seconds
    return statistics.median(later) if later else 0.0
