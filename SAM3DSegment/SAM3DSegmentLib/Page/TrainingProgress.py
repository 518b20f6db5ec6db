"""How far a training is, read from the lines it prints. No Qt."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .TrainingCommands import optionOf

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and cursor moves of a terminal
PERCENT = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d+)?) ?%")
FRACTION = re.compile(r"\b(?:step|epoch|case|volume|fold|batch)s?:? +(\d+) *(?:/|of) *(\d+)", re.IGNORECASE)
COUNTERS = {"steps": re.compile(r"\bstep (\d+)\b"), "minutes": re.compile(r"\bminutes ([\d.]+)\b")}


def cleaned(line: str) -> str:
    """The line without terminal codes; of a line that overwrote itself, what was left in the end."""
    return ESCAPES.sub("", line).rstrip("\r\n").rsplit("\r", 1)[-1].rstrip()


class TrainingProgress:
    """The share that is done, 0 to 1, or None as long as nothing was said.

    Understood are percentages, "step 3/10" and its like, and counts of steps or minutes where the command line states
    how many there will be.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.share: float | None = None
        self._totals = {name: total for name in COUNTERS if (total := _asked(arguments, name)) > 0}

    def read(self, line: str) -> None:
        if found := FRACTION.search(line):
            done, total = map(int, found.groups())
            self._set(done / total if total else None)
        elif found := PERCENT.search(line):
            self._set(float(found.group(1)) / 100)
        else:
            for name, total in self._totals.items():  # steps before minutes, as the training counts them
                if found := COUNTERS[name].search(line):
                    self._set(float(found.group(1)) / total)
                    return

    def _set(self, share: float | None) -> None:
        if share is not None and 0 <= share <= 1:
            self.share = share


def _asked(arguments: Sequence[str], name: str) -> float:
    """The number given for the option, else 0."""
    text = optionOf(arguments, name)
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else 0.0
