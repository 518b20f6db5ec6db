"""Reasons to stop before the schedule ends: the user or the computer asks, or nothing gets better."""

from __future__ import annotations

import math
import signal
import threading
from dataclasses import dataclass
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def leave_to_parent(worker: int = 0) -> None:
    """For processes that make samples: a signal to the whole group stops the training, which then ends them."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class StoppedError(KeyboardInterrupt):
    """A training that was asked to stop and has saved itself; signal: which one asked."""

    def __init__(self, line: str, number: int) -> None:
        super().__init__(line)
        self.signal = number


class Interruption:
    """While entered, Ctrl-C and SIGTERM are noted in `signal` instead of stopping at once; the second time they do.

    Outside the main thread, where Python allows no handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number


@dataclass
class Patience:
    """The best validation loss so far, and for how many validations there was no better; 0 waits for ever."""

    most: int
    best: float = math.inf
    waited: int = 0

    def is_better(self, loss: float) -> bool:
        """Take in a validation; whether it is the best so far."""
        better = loss < self.best
        self.best, self.waited = min(loss, self.best), 0 if better else self.waited + 1
        return better

    @property
    def is_over(self) -> bool:
        return 0 < self.most <= self.waited
