"""What the session asks of a predictor: answers to the prompts given for one canonical volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .history import Outcome, State
from .masks import CroppedMask
from .prompt_set import Prompts
from .request import Clock, Progress


class VolumePredictor(Protocol):
    """Runs requests on one volume, with whatever it keeps of earlier ones to be quicker, never to answer otherwise.

    check is called between stages and may raise to abandon the request; report is told how far it is.
    """

    clock: Clock

    def answer(
        self,
        prompts: Prompts,
        state: State,
        *,
        newest: Prompts,
        check: Callable[[], None],
        report: Callable[[Progress], None],
    ) -> tuple[CroppedMask, Outcome | None]:
        """Mask for all prompts, of which `newest` are the last request's; state is what there was before it."""

    def choose(
        self,
        prompts: Prompts,
        state: State,
        index: int,
        *,
        check: Callable[[], None],
        report: Callable[[Progress], None],
    ) -> tuple[CroppedMask, Outcome]:
        """The mask with candidate `index` of the state's outcome."""

    def prepare(self, point: NDArray, *, check: Callable[[], None]) -> None:
        """Encode what a first click at canonical voxel `point` (3,) would need."""

    def least_certain(self, outcome: Outcome) -> NDArray[np.float64] | None:
        """Canonical voxel coordinates (3,) where a click would tell the model most, or None."""

    def notices(self, outcome: Outcome) -> tuple[str, ...]:
        """What the user should know of this answer, a sentence each."""
