"""When to encode before a click: once the mouse has come to rest over a slice, so that the click finds it done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

Ras = tuple[float, float, float]

REST_S = 0.3
FAR_MM = 25.0  # a window is several times larger, so a click nearer than this to the place finds it encoded


class Ahead:
    """Calls prepare(ras) from `poll`, for one place once. World RAS, mm."""

    def __init__(self, prepare: Callable[[Ras], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._prepare, self._clock = prepare, clock
        self._mouse: Ras | None = None
        self._last: Ras | None = None
        self._since = 0.0

    def mouse_at(self, ras: Ras | None) -> None:
        """The mouse is over this point of a slice; None where it is over none."""
        self._mouse, self._since = ras, self._clock()

    def forget(self) -> None:
        """Another image or model: what was encoded is of no use."""
        self._mouse = self._last = None

    def poll(self) -> None:
        ras = self._mouse
        if ras is None or self._clock() - self._since < REST_S:
            return
        self._mouse = None
        if self._last is None or math.dist(ras, self._last) >= FAR_MM:
            self._last = ras
            self._prepare(ras)
