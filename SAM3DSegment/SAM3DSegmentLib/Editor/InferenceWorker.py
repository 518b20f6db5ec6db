"""One persistent thread for the engine; results are handed out where `poll` is called."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

GRACE_S = 0.01  # what `poll` waits for a running job: inside Slicer, other threads run Python only meanwhile


class InferenceWorker:
    """Runs jobs in the order they came, on a thread that is started by the first one.

    Callbacks run in `poll`, on the caller's thread. A job that raises ends in its onError; the thread goes on.
    """

    def __init__(self, *, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._open = 0
        self._closed = False

    @property
    def isBusy(self) -> bool:
        """Whether a job runs, waits, or has a result that was not handed out."""
        return self._open > 0

    def submit(
        self,
        job: Callable[[], Any],
        onDone: Callable[[Any], None],
        onError: Callable[[BaseException], None],
    ) -> None:
        """Run `job` on the thread; later one of the callbacks gets what it returned or raised."""
        if self._closed:
            raise RuntimeError("the worker is closed: make a new one")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="SAM3DSegment", daemon=True)
            self._thread.start()
        self._open += 1
        self._jobs.put((job, onDone, onError))

    def poll(self) -> bool:
        """Run the callbacks of all finished jobs; True when there was one."""
        handled = False
        while self._open:
            try:
                callback, value = self._results.get(timeout=0 if handled else self._grace_s)
            except queue.Empty:
                return handled
            self._open -= 1
            handled = True
            callback(value)
        return handled

    def close(self, *, wait_s: float = 0.0) -> None:
        """End the thread after its running job; no callback runs any more. Waits up to wait_s for the end."""
        self._closed = True
        self._open = 0
        self._jobs.put(None)
        if self._thread is not None and wait_s > 0:
            self._thread.join(wait_s)

    def _work(self) -> None:
        while (entry := self._jobs.get()) is not None:
            if self._closed:
                return
            job, onDone, onError = entry
            try:
                outcome = onDone, job()
            except BaseException as error:  # noqa: BLE001, what a job raises belongs to whoever submitted it
                outcome = onError, error
            self._results.put(outcome)
            del entry, job, onDone, onError, outcome  # an idle thread keeps no volume alive
