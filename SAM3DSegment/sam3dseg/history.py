"""What a session remembers after each request, and the way back and forward through it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .masks import CroppedMask
from .prompts import Box, Click


class Outcome(Protocol):
    """What a predictor keeps of its answer; only the predictor that made it knows the rest."""

    @property
    def iou(self) -> NDArray[np.float32]:
        """Predicted IoU (M,) of the candidates, candidate 0 being the default."""

    @property
    def chosen(self) -> int:
        """Which candidate the mask is."""


@dataclass(frozen=True, slots=True)
class State:
    """Prompts and result of one request; never changed once made.

    requests: the prompts given since `initial`, those of one request together. initial and mask live in canonical
    voxels.
    """

    requests: tuple[tuple[Click | Box, ...], ...] = ()
    initial: CroppedMask = field(default_factory=CroppedMask)
    mask: CroppedMask = field(default_factory=CroppedMask)
    outcome: Outcome | None = None

    @property
    def clicks(self) -> tuple[Click, ...]:
        return tuple(p for request in self.requests for p in request if isinstance(p, Click))

    @property
    def boxes(self) -> tuple[Box, ...]:
        return tuple(p for request in self.requests for p in request if isinstance(p, Box))


class History:
    """A bounded line of states with a cursor; a new state drops what was undone."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._states = [State()]
        self._cursor = 0

    @property
    def current(self) -> State:
        return self._states[self._cursor]

    @property
    def can_undo(self) -> bool:
        return self._cursor > 0

    @property
    def can_redo(self) -> bool:
        return self._cursor + 1 < len(self._states)

    @property
    def position(self) -> int:
        """Index of the current state; 0 is the oldest that is remembered."""
        return self._cursor

    @property
    def length(self) -> int:
        """Number of states, those that redo would bring back included."""
        return len(self._states)

    def go_to(self, position: int) -> None:
        """Make the state at `position` current. Raises ValueError when there is none."""
        if not 0 <= position < len(self._states):
            raise ValueError(f"expected a step from 0 to {len(self._states) - 1}, received {position}")
        self._cursor = position

    def push(self, state: State) -> None:
        """Make `state` current; beyond `depth` steps the oldest is forgotten."""
        self._states = [*self._states[: self._cursor + 1], state][-self._depth - 1 :]
        self._cursor = len(self._states) - 1

    def undo(self) -> None:
        """Step back. Raises RuntimeError at the beginning."""
        if not self.can_undo:
            raise RuntimeError("nothing to undo: the session is at its first step")
        self._cursor -= 1

    def redo(self) -> None:
        """Step forward. Raises RuntimeError at the end."""
        if not self.can_redo:
            raise RuntimeError("nothing to redo: no step has been undone")
        self._cursor += 1
