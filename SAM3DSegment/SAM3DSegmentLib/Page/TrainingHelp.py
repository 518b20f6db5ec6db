"""What `sam3dseg-train` says of itself, asked for in the background. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .TrainingProcess import DONE, TrainingProcess

Words = tuple[str, ...]


class TrainingHelp:
    """The texts of `--help`, each asked for once. run(arguments) starts the program; a timer is to call `poll`."""

    def __init__(self, run: Callable[[Sequence[str]], TrainingProcess] = TrainingProcess) -> None:
        self._run = run
        self._running: dict[Words, tuple[TrainingProcess, list[str]]] = {}
        self._texts: dict[Words, str] = {}
        self.problem = ""  # why the last question has no answer

    def ask(self, *words: str) -> None:
        """Start `sam3dseg-train WORDS --help`, where that is not known or on its way."""
        if words in self._texts or words in self._running:
            return
        try:
            self._running[words] = (self._run([*words, "--help"]), [])
        except (ValueError, OSError) as error:
            self._texts[words], self.problem = "", str(error)

    def textOf(self, *words: str) -> str | None:
        """The answer; "" when there was none to get, None as long as it is not there."""
        return self._texts.get(words)

    @property
    def isAsking(self) -> bool:
        return bool(self._running)

    def poll(self) -> bool:
        """Whether an answer came since the last time."""
        before = len(self._running)
        for words, (process, lines) in list(self._running.items()):
            lines += process.poll()
            if not process.isRunning:
                del self._running[words]
                self._texts[words] = "\n".join(lines) if process.state == DONE else ""
                if process.state != DONE:
                    self.problem = lines[-1] if lines else f"exit code {process.exitCode}"
                process.logPath.unlink(missing_ok=True)
        return len(self._running) < before

    def close(self) -> None:
        for process, _lines in self._running.values():
            process.stop()
            process.logPath.unlink(missing_ok=True)
        self._running.clear()
