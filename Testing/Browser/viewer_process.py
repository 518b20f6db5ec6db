"""`sam3dseg view` in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_S, STOP_S = 90, 15
COMMAND = (sys.executable, "-m", "sam3dseg.cli")
GATE = "SAM3DSEG_TEST_GATE"  # names the file that `PAUSABLE` waits for
PAUSABLE = (sys.executable, str(Path(__file__).with_name("pausable_viewer.py")))


class ViewerProcess:
    """Serves on a free port from construction to `stop`; `output` is the file of all that it prints."""

    def __init__(
        self,
        output: Path,
        words: Sequence[str | os.PathLike[str]],
        *,
        command: Sequence[str] = COMMAND,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.output = output
        arguments = [*command, "view", *map(str, words), "--port", "0", "--no-browser"]
        with open(output, "wb") as file:
            self._process = subprocess.Popen(
                arguments, stdout=file, stderr=subprocess.STDOUT, cwd=output.parent, env={**os.environ, **(env or {})}
            )
        try:
            self.url = self._printed_url()
        except BaseException:
            self.stop()
            raise

    @property
    def said(self) -> str:
        """All that it printed so far."""
        return self.output.read_text("utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> int:
        """End it as Ctrl+C does; gives the exit status."""
        if self.is_running:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _printed_url(self) -> str:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            found = re.search(r"https?://\S+", self.said)
            if found:
                return found.group().rstrip(".,;)")
            if not self.is_running:
                raise RuntimeError(f"the viewer ended with status {self._process.returncode}:\n{self.said}")
            time.sleep(0.05)
        raise RuntimeError(f"expected an address within {START_S} s, received:\n{self.said}")
