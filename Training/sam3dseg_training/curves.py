"""The curves of a run: rows in `curve.csv`, for TensorBoard, and as the picture `curve.png`."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sam3dseg.atomic import replacing

logger = logging.getLogger(__name__)

TABLE, PICTURE, EVENTS = "curve.csv", "curve.png", "tensorboard"
STEP = "step"


class Curves:
    """Appends rows of numbers by step; what a stopped run wrote after the `step` it goes on from is dropped.

    A disk that is full costs rows, not the training.
    """

    def __init__(self, folder: Path, step: int = 0, *, tensorboard: bool = True) -> None:
        self.folder = folder
        self._columns: list[str] = []
        self._writer = _event_writer(folder / EVENTS, step) if tensorboard else None
        rows = read_rows(folder)
        if rows:
            self._columns = list(rows[0])
            kept = [row for row in rows if int(row[STEP]) <= step]
            if len(kept) < len(rows):
                self._rewrite(kept)

    def record(self, row: Mapping[str, Any]) -> None:
        """Add one row; it holds "step", and columns that earlier rows need not have."""
        try:
            new = [name for name in row if name not in self._columns]
            if new:
                rows = read_rows(self.folder)
                self._columns += new
                self._rewrite(rows)
            with (self.folder / TABLE).open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns, restval="").writerow(row)
        except OSError as error:
            logger.warning("a row of %s is lost: %s", TABLE, error)
        if self._writer is not None:
            for name, value in row.items():
                if name != STEP:
                    self._writer.add_scalar(name, float(value), row[STEP])
            self._writer.flush()

    def draw(self) -> None:
        """Write the picture."""
        try:
            draw(read_rows(self.folder), self.folder / PICTURE)
        except OSError as error:
            logger.warning("%s", error)

    def close(self) -> None:
        """Finish the picture and the events."""
        self.draw()
        if self._writer is not None:
            self._writer.close()

    def _rewrite(self, rows: Sequence[Mapping[str, str]]) -> None:
        with replacing(self.folder / TABLE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)


def read_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of `curve.csv`, texts; a last row that was cut off by a crash is left out."""
    path = folder / TABLE
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if row.get(STEP, "").isdigit() and None not in row.values()]


def draw(rows: Sequence[Mapping[str, str]], path: Path) -> None:
    """Loss on the left, Dice of training and validation on the right, over the steps; nothing without rows."""
    names = [name for name in rows[0] if name == "loss" or "dice" in name] if rows else []
    if not names:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    for name in names:
        points = [(int(row[STEP]), float(row[name])) for row in rows if row[name]]
        if points:
            axes = loss if name == "loss" else dice
            marker = "o" if name.startswith("val") else ""
            axes.plot(*zip(*points, strict=True), marker=marker, markersize=3, label=name)
    for axes, title in ((loss, "loss"), (dice, "Dice")):
        axes.set_xlabel("step")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _event_writer(folder: Path, step: int) -> Any:
    """TensorBoard's writer, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.info("TensorBoard is not installed: curves go to %s and %s only", TABLE, PICTURE)
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
