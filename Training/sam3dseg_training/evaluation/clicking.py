"""One object segmented by the simulated user, click by click, and what a sequence of scores says of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3dseg.prompts import Click
from sam3dseg.simulated_user import next_click


@dataclass(frozen=True, slots=True)
class Turn:
    """A click, the mask (I, J, K) that answered it, and the seconds this took.

    Where nothing was left to correct, click and seconds are None and the mask is the one before; other prompts than
    clicks have seconds only.
    """

    mask: NDArray[np.bool_]
    click: Click | None = None
    seconds: float | None = None

    @property
    def is_same(self) -> bool:
        """Whether the mask is the one before."""
        return self.seconds is None


def play(reference: NDArray[np.bool_], answer: Callable[[Click], NDArray[np.bool_]], *, clicks: int) -> Iterator[Turn]:
    """`clicks` turns of the simulated user: each click goes where the mask of the one before is most wrong.

    reference: bool (I, J, K), not empty. answer: the new mask after one more click.
    """
    mask = np.zeros_like(reference)
    for _ in range(clicks):
        click = next_click(reference, mask)
        if click is None:
            yield Turn(mask)
            continue
        start = time.perf_counter()
        mask = answer(click)
        yield Turn(mask, click, time.perf_counter() - start)


def clicks_to(scores: Sequence[float], bar: float) -> int | None:
    """Number of clicks (NoC) until a score of `bar` is reached, or None."""
    return next((count for count, score in enumerate(scores, start=1) if score >= bar), None)


def largest_drop(scores: Sequence[float]) -> float:
    """The most that one click cost; 0 when none did."""
    return max([0.0, *(before - after for before, after in zip(scores, scores[1:], strict=False))])


def area_under(scores: Sequence[float]) -> float:
    """Area under the scores over the clicks by the trapezoidal rule, divided by its width: 1 is perfect from click 1.

    A single score is its own area.
    """
    if len(scores) == 1:
        return float(scores[0])
    return float(sum(scores) - (scores[0] + scores[-1]) / 2) / (len(scores) - 1)
