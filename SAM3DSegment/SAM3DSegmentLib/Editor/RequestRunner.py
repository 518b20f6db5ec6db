"""Has the waiting requests answered one after the other on the worker, and their answers applied in `poll`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from .EditorData import Ask, LogicError, Target
from .EngineLoading import EngineError
from .InferenceWorker import InferenceWorker
from .RequestQueue import RequestQueue, Running
from .SegmentWriter import StaleAnswer

log = logging.getLogger(__name__)

PROGRESS_S = 0.1  # between two events of progress


class RequestRunner:
    """start makes a request a Running, or does it at once and gives None; it raises ValueError for what cannot be done.

    emit(event, target) is called on the thread that asks and polls: "changed", "progress" and "failed", and what
    `Running.write` says.
    """

    def __init__(
        self,
        worker: InferenceWorker,
        *,
        start: Callable[[Ask, tuple[Ask, ...]], Running | None],
        emit: Callable[[str, Target], None],
    ) -> None:
        self._worker, self._start, self._emit = worker, start, emit
        self._told: tuple[Any, float] = (None, 0.0)  # the progress that was told last, and when
        self.queue = RequestQueue()
        self.isWriting = False
        self.lastError: LogicError | None = None

    def ask(self, ask: Ask) -> None:
        self.queue.add(ask, self.lastError)
        self._pump()
        self._emit("changed", ask.target)

    def retry(self) -> None:
        """Ask again what failed."""
        self.queue.retry()
        self.lastError = None
        self._pump()

    def poll(self) -> bool:
        """Apply what is finished; True when there was something. Tells how far the rest is, now and then."""
        found = self._worker.poll()
        running = self.queue.running
        progress = running.plan.job.state.progress if running is not None and running.isWanted else None
        if progress is not None and progress != self._told[0] and time.monotonic() - self._told[1] >= PROGRESS_S:
            self._told = (progress, time.monotonic())
            self._emit("progress", running.plan.ask.target)
        return found

    def progressOf(self, target: Target) -> Any | None:
        """How far the running request on this target is."""
        running = self.queue.running
        if running is None or running.asks[0] not in self.queue.asksFor(target):
            return None
        return running.plan.job.state.progress

    def _pump(self) -> None:
        """Hand the next request to the worker, when it has none."""
        while self.queue.hasNext:
            ask, asks = self.queue.take()
            try:
                running = self._start(ask, asks)
            except ValueError as error:
                self._fail(asks, LogicError(str(error)), keep=False)
                continue
            if running is None:
                continue
            self.queue.running = running
            self._worker.submit(
                running.work,
                lambda answer, running=running: self._onAnswer(running, answer),
                lambda error, running=running: self._onError(running, error),
            )

    def _onAnswer(self, running: Running, answer: Any) -> None:
        self.queue.running = None
        target = running.plan.ask.target
        if running.isWanted:
            self.isWriting = True
            try:
                event = running.write(answer)
            except StaleAnswer:
                log.info("an answer came after the segment had gone, or been taken to another step: dropped")
            except ValueError as error:
                self._fail(running.asks, LogicError(str(error)), keep=True)
            else:
                self.lastError = None
                self._emit(event, target)
            finally:
                self.isWriting = False
        self._pump()
        self._emit("changed", target)

    def _onError(self, running: Running, error: BaseException) -> None:
        self.queue.running = None
        target = running.plan.ask.target
        if running.isWanted:
            if isinstance(error, EngineError):
                self._fail(running.asks, error.error, keep=True)
            elif isinstance(error, ValueError):
                self._fail(running.asks, LogicError(str(error)), keep=False)
            else:
                log.error("a request failed", exc_info=error)
                self._fail(running.asks, LogicError(f"{type(error).__name__}: {error}"), keep=True)
        self._pump()
        self._emit("changed", target)

    def _fail(self, asks: tuple[Ask, ...], error: LogicError, *, keep: bool) -> None:
        if keep:
            self.queue.keep(asks)
        self.lastError = error
        self._emit("failed", asks[0].target)
