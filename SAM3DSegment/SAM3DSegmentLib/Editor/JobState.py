"""What the two threads share of a running job: whether it is wanted any more, and how far it is."""

from __future__ import annotations

import threading
from typing import Any


class JobState:
    """The worker calls `check` and `show`; the thread of the scene calls `cancel` and reads `progress`."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self.progress: Any | None = None  # the engine's newest Progress

    @property
    def isCancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        self._cancelled.set()

    def check(self) -> None:
        """Raise the engine's Cancelled when the job was cancelled."""
        from sam3dseg.request import Cancelled

        if self.isCancelled:
            raise Cancelled("the request was cancelled")

    def show(self, progress: Any) -> None:
        """Keep the newest; the older ones that nobody read are of no use."""
        self.progress = progress
