"""Embeddings of slices: made on one background thread, ahead of need, and kept within a bound of bytes."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

LIMIT_BYTES = 2**30  # some 500 slices of a ViT-B at half precision
PATIENCE_S = 0.05  # between two looks at whether the request was cancelled

log = logging.getLogger(__name__)


class SliceCache:
    """Keeps the newest embeddings, at least one, within `limit_bytes`; `encode` makes that of a slice index.

    All encoding is done by one thread, which lives while there is something to encode: whoever waits for a slice can
    be cancelled at once, and a slice in the making is kept for later.
    """

    def __init__(self, encode: Callable[[int], Any], *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._encode = encode
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._queue: deque[int] = deque()
        self._changed = threading.Condition()
        self._worker: threading.Thread | None = None
        self._current: int | None = None  # in the making
        self._wanted: int | None = None  # waited for
        self._failure: Exception | None = None

    def get(self, index: int, *, check: Callable[[], None]) -> Any:
        """The embedding of a slice, before anything that was asked for ahead.

        check is called while waiting and may raise; then nothing stays queued. Raises what `encode` raised.
        """
        with self._changed:
            self._wanted, self._failure = index, None
            try:
                if index not in self._kept and index != self._current:
                    self._queue = deque([index, *(other for other in self._queue if other != index)])
                    self._start()
                while index not in self._kept:
                    check()
                    if self._failure is not None:
                        raise self._failure
                    self._changed.wait(PATIENCE_S)
                check()
                self._kept.move_to_end(index)
                return self._kept[index]
            except BaseException:
                self._queue.clear()
                raise
            finally:
                self._wanted, self._failure = None, None

    def ahead(self, indices: Iterable[int]) -> None:
        """Encode these slices next, instead of what was to be next."""
        with self._changed:
            self._queue = deque(n for n in indices if n not in self._kept and n != self._current)
            self._start()

    def drop(self) -> None:
        """Encode nothing more that nobody waits for, but the slice in the making."""
        with self._changed:
            self._queue.clear()

    def _start(self) -> None:
        if self._queue and self._worker is None:
            self._worker = threading.Thread(target=self._work, name="slice encoder")
            self._worker.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._queue:
                    self._worker = None
                    return
                index = self._current = self._queue.popleft()
            try:
                embedding, failure = self._encode(index), None
            except Exception as error:  # raised again in the thread that waits for the slice
                embedding, failure = None, error
            with self._changed:
                self._current = None
                if failure is None:
                    self._keep(index, embedding)
                elif index == self._wanted:
                    self._failure = failure
                else:
                    log.warning("slice %d could not be encoded ahead: %s", index, failure)
                self._changed.notify_all()

    def _keep(self, index: int, embedding: Any) -> None:
        self._kept[index] = embedding
        total = sum(kept.nbytes for kept in self._kept.values())
        for old in list(self._kept):
            if total <= self._limit_bytes:
                return
            if old not in (index, self._wanted):
                total -= self._kept.pop(old).nbytes
