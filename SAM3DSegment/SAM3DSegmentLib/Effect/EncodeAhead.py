"""When to encode before the first click: once the view has come to rest, where the user is likely to click."""

from __future__ import annotations

import math

import qt

REST_MS = 300
FAR_MM = 25.0  # a window is several times larger, so a click nearer than this to the place finds it encoded
OTHER_SLICE_MM = 0.25  # thinner than any slice: what is encoded is that one only, and to find it encoded costs nothing


class EncodeAhead:
    """Calls prepare(ras) at rest: at the mouse in a slice view, else where center() says. World RAS, mm.

    prepare returns whether it took the place. One nearer than far_mm() to the last one taken is not asked for again.
    """

    def __init__(self, prepare, center, *, far_mm=lambda: FAR_MM, rest_ms: int = REST_MS) -> None:
        self._prepare, self._center, self._far_mm = prepare, center, far_mm
        self._mouse = self._last = None
        self._timer = qt.QTimer()
        self._timer.singleShot = True
        self._timer.interval = rest_ms
        self._timer.connect("timeout()", self._onRest)

    def wake(self) -> None:
        """Something moved or was selected: wait for rest again."""
        self._timer.start()

    def mouseAt(self, ras) -> None:
        """The mouse is over this point of a slice view; None where it is over none."""
        self._mouse = ras
        self.wake()

    def forget(self) -> None:
        """Other image: what was encoded is of no use."""
        self._last = None

    def stop(self) -> None:
        self._timer.stop()
        self._mouse = self._last = None

    def _onRest(self) -> None:
        ras = self._mouse or self._center()
        if ras is None or (self._last is not None and math.dist(ras, self._last) < self._far_mm()):
            return
        if self._prepare(ras):
            self._last = ras
