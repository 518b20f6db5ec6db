"""One model file on its way to this computer, in a thread of its own. No Qt: the owner polls."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from sam3dseg.atomic import replacing
from sam3dseg.catalogue import Entry, note_of, place_of

from .WeightsFile import inspectWeights

log = logging.getLogger(__name__)

CHUNK = 1 << 20
RUNNING, DONE, FAILED, CANCELLED = "running", "done", "failed", "cancelled"

Progress = Callable[[int, "int | None"], None]  # bytes so far, bytes in all


class _Cancelled(Exception):
    """The user does not want the file any more."""


class ModelTransfer:
    """Runs `work(progress)` in a thread. `state`, `received` and `total` may be read at any time, from any thread."""

    def __init__(self, work: Callable[[Progress], Path]) -> None:
        self.state = RUNNING
        self.received = 0
        self.total: int | None = None
        self.error = ""
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model transfer", daemon=True)
        self._thread.start()

    @property
    def isStopping(self) -> bool:
        """Cancelled, but still waiting for the server's next bytes."""
        return self.state == RUNNING and self._stop.is_set()

    def cancel(self) -> None:
        """Stop at the next bytes; a download keeps what has arrived and can go on from there."""
        self._stop.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether the transfer has ended, after at most `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work(self._progress)
            self.state = DONE
        except _Cancelled:
            self.state = CANCELLED
        except (ValueError, OSError) as error:
            self.error, self.state = str(error), FAILED
        except Exception as error:  # the last place where the thread's error can be shown to anyone
            log.exception("transfer of a model failed")
            self.error, self.state = f"{type(error).__name__}: {error}", FAILED

    def _progress(self, received: int, total: int | None) -> None:
        self.received, self.total = received, total
        if self._stop.is_set():
            raise _Cancelled


def copyOffline(source: Path, entry: Entry, progress: Progress) -> Path:
    """Put a file that the user brought to the place of a catalogue model.

    Raises ValueError for a file of another kind or, where the catalogue states a checksum, of another content.
    """
    size = inspectWeights(source).sizeBytes
    place = place_of(entry)
    place.parent.mkdir(parents=True, exist_ok=True)
    digest, copied = hashlib.sha256(), 0
    with replacing(place) as temporary, source.open("rb") as original, temporary.open("wb") as copy:
        while chunk := original.read(CHUNK):
            copy.write(chunk)
            digest.update(chunk)
            copied += len(chunk)
            progress(copied, size)
        if entry.sha256 and digest.hexdigest() != entry.sha256:
            raise ValueError(
                f"{source.name} is not the expected file: expected SHA-256 {entry.sha256}, received "
                f"{digest.hexdigest()}; download {entry.url}"
            )
        copy.flush()
    note = {"url": entry.url, "sha256": digest.hexdigest(), "bytes": copied}
    with replacing(note_of(entry)) as temporary:
        temporary.write_text(json.dumps(note, indent=1), encoding="utf-8")
    return place
