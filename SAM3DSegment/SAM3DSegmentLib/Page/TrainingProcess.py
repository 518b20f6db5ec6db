"""One `sam3dseg-train` command as a process of its own: started, watched and stopped without waiting. No Qt."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from .TrainingCommands import MODULE
from .TrainingProgress import TrainingProgress, cleaned

RUNNING, STOPPING, DONE, STOPPED, FAILED = "running", "stopping", "done", "stopped", "failed"
KEPT_LINES = 5000
GRACE_S = 10.0  # between asking it to end and ending it
NICENESS = 10  # the application's window comes first
MODULE_FOLDER = Path(__file__).resolve().parents[2]


class TrainingProcess:
    """Runs `python -m sam3dseg_training.cli ARGUMENTS`; its output goes to `logPath`, which `poll` follows.

    The output goes to a file and not through a pipe, so that it is kept, and so that nobody has to read it for the
    training to go on. Raises ValueError when there is no Python to run or no training package, OSError when the
    process cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        python: str | None = None,
        folders: Sequence[Path] | None = None,
        logPath: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.arguments = list(arguments)
        self.logPath = logPath or _newLog()
        self.exitCode: int | None = None
        self._progress = TrainingProgress(self.arguments)
        self._clock = clock
        self._started = clock()
        self._stopAsked: float | None = None
        self._unread = b""
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)  # what has been read so far
        words = [python or pythonExecutable(), "-m", MODULE, *self.arguments]
        searched = trainingFolders() if folders is None else folders
        with self.logPath.open("wb") as log:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(searched),
                **_detached(),
            )
        self._log = self.logPath.open("rb")
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)

    @property
    def state(self) -> str:
        if self.exitCode is None:
            return RUNNING if self._stopAsked is None else STOPPING
        if self.exitCode == 0:
            return DONE
        return FAILED if self._stopAsked is None else STOPPED

    @property
    def isRunning(self) -> bool:
        return self.exitCode is None

    @property
    def share(self) -> float | None:
        """How much is done, 0 to 1, if the output says so."""
        return 1.0 if self.state == DONE else self._progress.share

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._started

    @property
    def secondsLeft(self) -> float | None:
        """Estimated from what is done so far."""
        share = self._progress.share
        return self.seconds * (1 - share) / share if self.isRunning and share else None

    def poll(self) -> list[str]:
        """New lines of output since the last call; never waits. Call it by a timer until the process has ended."""
        if self.exitCode is None:
            self.exitCode = self._process.poll()  # before the last read, so that nothing is missed
            if self.exitCode is None and self._stopAsked is not None and self._clock() - self._stopAsked > GRACE_S:
                self._signal("SIGKILL")
        self._unread += self._log.read() if not self._log.closed else b""
        *whole, self._unread = self._unread.split(b"\n")
        if self.exitCode is not None:
            whole, self._unread = [*whole, self._unread], b""
            self._log.close()
        lines = [line for raw in whole if (line := cleaned(raw.decode("utf-8", "replace")))]
        for line in lines:
            self._progress.read(line)
        self.lines.extend(lines)
        return lines

    def stop(self) -> None:
        """Ask it and its workers to end; `poll` ends them by force after GRACE_S. What the run has saved stays."""
        if self.exitCode is None and self._stopAsked is None:
            self._stopAsked = self._clock()
            self._signal("SIGTERM")

    def wait(self, timeout_s: float) -> bool:
        """Whether the process has ended, after at most `timeout_s`."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _signal(self, name: str) -> None:
        """Tell the process and those that it has started; nothing to do when it has ended meanwhile."""
        if self._process.poll() is not None:
            return
        if not hasattr(os, "killpg"):
            self._process.kill()  # Windows knows one way only
            return
        # It may end at this moment; of a group that has only ended members, macOS says that it is not ours.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, getattr(signal, name))


def pythonExecutable() -> str:
    """Slicer's Python outside the application, or the Python that runs this. Raises ValueError when there is none."""
    found = shutil.which("PythonSlicer")
    if found is None and "python" in Path(sys.executable).name.lower():
        found = sys.executable
    if found is None:
        raise ValueError("no Python found to train with: expected PythonSlicer on the path of the application")
    return found


def trainingFolders() -> tuple[Path, ...]:
    """Folders for Python's path: the module's own, and that of the training package.

    Installed, the package lies beside the module; in the source tree, in `Training`. Raises ValueError when it is in
    neither.
    """
    for folder in (MODULE_FOLDER, MODULE_FOLDER.parent / "Training"):
        if (folder / "sam3dseg_training" / "cli.py").is_file():
            return tuple(dict.fromkeys((MODULE_FOLDER, folder)))
    raise ValueError(f"the training package is not in {MODULE_FOLDER}: install the extension again")


def _environment(folders: Sequence[Path]) -> dict[str, str]:
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([*map(str, folders), *([inherited] if inherited else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}


def _detached() -> dict:
    """A group of its own, so that it and its workers can be ended together, and no console window."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    return {"start_new_session": True}


def _newLog() -> Path:
    handle, name = tempfile.mkstemp(prefix="sam3dseg-train-", suffix=".log")
    os.close(handle)
    return Path(name)


_current: list[TrainingProcess] = []


def currentProcess() -> TrainingProcess | None:
    """The process started last, which outlives the page that started it."""
    return _current[0] if _current else None


def startProcess(arguments: Sequence[str]) -> TrainingProcess:
    """Start the one training of this application; ValueError while another runs, and what TrainingProcess raises."""
    if _current and _current[0].isRunning:
        raise ValueError("a training is running already: stop it first")
    _current[:] = [TrainingProcess(arguments)]
    return _current[0]


def stopCurrentProcess() -> None:
    """At the end of the application: nothing goes on computing unseen. A stopped run can be continued."""
    if _current:
        _current[0].stop()
