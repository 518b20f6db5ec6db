"""A session at work on one request: what a request may do, and how many steps it added to the history."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .MaskPlacement import Patch

Request = tuple[tuple[Any, ...], int]  # the engine's prompts given together, and the candidate chosen of the answer


class Desk:
    """Wraps the engine's Session for an image of `shape`; every stage may raise the engine's Cancelled, as check does.

    Masks to start from are the engine's CroppedMask in index voxels of the image.
    """

    def __init__(self, session: Any, shape: tuple[int, ...], check: Callable[[], None]) -> None:
        self._session, self._shape, self.check = session, shape, check
        self.steps = 0

    @property
    def history(self) -> Any:
        """The engine's history that is being added to."""
        return self._session.history

    @property
    def current(self) -> Any:
        """The engine's state at the present step."""
        return self.history.current

    def prepare(self, ijk: Sequence[int]) -> None:
        """Encode the window of a first click at a voxel."""
        self.check()
        self._session.prepare(ijk)

    def add(self, prompts: Sequence[Any]) -> None:
        """Answer one request."""
        self.check()
        self._session.add_many(prompts)
        self.steps += 1

    def choose(self, index: int) -> None:
        """Take another candidate."""
        before = self.current
        self._session.choose(index)
        self.steps += self.current is not before

    def goTo(self, position: int) -> None:
        """Move within the history."""
        self._session.go_to(position)

    def startFrom(self, mask: Any) -> None:
        """Begin with a mask instead of prompts."""
        self._session.set_mask(self._full(mask))
        self.steps += 1

    def push(self, state: Any) -> None:
        """Make a state the next step."""
        self.history.push(state)
        self.steps += 1

    def answerTo(self, requests: Sequence[Request], initial: Any | None) -> Any:
        """The engine's state after all these requests, made anew; the history stays as it is."""
        kept = self._session.exchange_history(None)
        try:
            if initial is not None:
                self._session.set_mask(self._full(initial))
            for prompts, chosen in requests:
                self.check()
                self._session.add_many(prompts)
                if chosen:
                    self._session.choose(chosen)
        finally:
            made = self._session.exchange_history(kept)
        return made.current

    def patchOf(self, state: Any) -> Patch:
        """A state's mask in index voxels."""
        crop, offset = self._session.crop_of(state)
        return Patch(np.ascontiguousarray(crop), offset)

    def _full(self, mask: Any) -> Any:
        full = np.zeros(self._shape, dtype=bool)
        mask.paste_into(full)
        return full


def digestOf(state: Any) -> str:
    """The same for the same mask of the same image."""
    mask = state.mask
    place = repr((tuple(map(int, mask.offset)), tuple(map(int, mask.shape)))).encode()
    return hashlib.blake2b(place + mask.bits, digest_size=12).hexdigest()
