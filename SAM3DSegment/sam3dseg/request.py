"""One request at a time: its cancellation, its progress and its timing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .protocol import Segmenter, SliceSegmenter


class Cancelled(Exception):
    """The running request was cancelled; the session is as it was before the request."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the running request is: parts done, of how many where that is known, and what is being worked on."""

    done: int
    total: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds per stage of the last request, encoder and decoder calls made, device, and bytes used on it."""

    encode_s: float = 0.0
    decode_s: float = 0.0
    paste_s: float = 0.0
    encodes: int = 0
    decodes: int = 0
    device: str = ""
    device_bytes: int = 0


@dataclass(slots=True)
class Clock:
    """Seconds spent per stage and calls made during one request."""

    encode: float = 0.0
    decode: float = 0.0
    paste: float = 0.0
    encodes: int = 0
    decodes: int = 0

    def timing(self, segmenter: Segmenter | SliceSegmenter) -> Timing:
        """What has been spent so far, with the segmenter's device and memory."""
        return Timing(
            encode_s=self.encode,
            decode_s=self.decode,
            paste_s=self.paste,
            encodes=self.encodes,
            decodes=self.decodes,
            device=segmenter.device_line,
            device_bytes=segmenter.memory_bytes(),
        )


class CancelGate:
    """Lets one thread cancel what another runs. A cancel while nothing runs has no effect."""

    def __init__(self) -> None:
        self._running = threading.Event()
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the running request, if any, to stop at its next check. Callable from any thread."""
        if self._running.is_set():
            self._cancelled.set()

    @contextmanager
    def open(self) -> Iterator[Callable[[], None]]:
        """Mark a request as running; yields the check to call between stages, which raises Cancelled."""
        self._cancelled.clear()
        self._running.set()
        try:
            yield self._check
        finally:
            self._running.clear()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the request was cancelled; the session is as it was before")
