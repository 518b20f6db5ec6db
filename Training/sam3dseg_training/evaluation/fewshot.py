"""`sam3dseg-train fewshot`: how Dice grows with the number of training cases, from the reports of several models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from sam3dseg.atomic import check_output, replacing

from ..configs.evaluate import FewShotConfig
from .plots import plain
from .prompting import CLICKS, Prompting
from .results import BASELINE, MODEL
from .tables import read_metrics

log = logging.getLogger(__name__)

COLORS = ("#1d5fd1", "#0f9d58", "#8e44ad", "#c0392b", "#00838f")


@dataclass(frozen=True)
class Point:
    """One report: how many cases its model was trained on, Dice after every click, and that before fine-tuning.

    prompts: what the model was given, if not clicks.
    """

    cases: int
    dice: tuple[float, ...]
    before: tuple[float, ...]
    prompts: str = CLICKS


def fewshot(config: FewShotConfig) -> list[Point]:
    """Write the picture; gives its points in order of their numbers of training cases.

    Raises ValueError for a report that is missing or does not fit the others, OSError when the file cannot be written.
    """
    check_output(config.out, (".png",))
    points = sorted((read_point(folder, config.label) for folder in config.reports), key=lambda point: point.cases)
    kinds = sorted({point.prompts for point in points})
    if len(kinds) > 1:
        raise ValueError(f"expected reports of the same prompts, received {' and '.join(kinds)}: show them apart")
    most = min(len(point.dice) for point in points)
    clicks = config.clicks or sorted({1, most})
    if not all(1 <= click <= most for click in clicks):
        raise ValueError(f"clicks must be 1 to {most}, which all reports have, not {clicks}")
    figure = _picture(points, clicks, [_line(text) for text in config.lines], config.label)
    with replacing(config.out) as temporary:
        figure.savefig(temporary, dpi=140)
    for point in points:
        words = Prompting(point.prompts).words
        values = ", ".join(f"{point.dice[click - 1]:.3f} after {words(click)}" for click in clicks)
        log.info("%d training cases: Dice %s", point.cases, values)
    return points


def read_point(folder: str | Path, label: str = "") -> Point:
    """What metrics.json in a folder says of one label, or of all together."""
    metrics = read_metrics(folder)
    cases = metrics["models"][MODEL]["training_cases"]
    if not cases:
        raise ValueError(
            f"{folder} does not tell on how many cases its model was trained: evaluate a run folder, or a file that "
            "sam3dseg-train export wrote"
        )
    found = metrics["overall"] if not label else metrics["labels"].get(label)
    if found is None:
        raise ValueError(f"{folder} has no label {label!r}: expected one of {', '.join(metrics['labels'])}")
    known = metrics["models"].get(BASELINE, {})
    is_before = BASELINE in found and not known.get("training_cases")
    before = _means(found[BASELINE]) if is_before else ()
    return Point(cases, _means(found[MODEL]), before, metrics.get("prompts", CLICKS))


def _means(found: dict[str, Any]) -> tuple[float, ...]:
    return tuple(found["dice"]["mean"])


def _line(text: str) -> tuple[str, float]:
    name, equals, value = text.rpartition("=")
    try:
        height = float(value)
    except ValueError:
        height = -1.0
    if not equals or not 0 <= height <= 1:
        raise ValueError(f"lines must be like [nnU-Net=0.90], with a Dice from 0 to 1, not {text!r}")
    return name, height


def _picture(points: Sequence[Point], clicks: Sequence[int], lines: Sequence[tuple[str, float]], label: str) -> Figure:
    figure = Figure(figsize=(7, 4.6), layout="constrained", facecolor="white")
    axes = figure.subplots()
    before = next((point.before for point in points if point.before), ())
    prompting = Prompting(points[0].prompts)
    for index, click in enumerate(clicks):
        color, words = COLORS[index % len(COLORS)], prompting.words(click)
        counts, dice = [point.cases for point in points], [point.dice[click - 1] for point in points]
        axes.plot(counts, dice, "-o", color=color, label=words)
        for count, value in zip(counts, dice, strict=True):
            axes.annotate(f"{value:.2f}", (count, value), xytext=(0, 7), textcoords="offset points", fontsize=8,
                          color=color, ha="center")  # fmt: skip
        if len(before) >= click:
            axes.axhline(before[click - 1], color=color, linestyle="--", linewidth=1,
                         label=f"{words}, not fine-tuned: {before[click - 1]:.2f}")  # fmt: skip
    for name, height in lines:
        axes.axhline(height, color="#444", linestyle=":", linewidth=1.2, label=f"{plain(name)}: {height:g}")
    axes.set_xscale("log")
    axes.set_xticks([point.cases for point in points], [str(point.cases) for point in points])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training cases")
    axes.set_ylabel(f"Dice{', ' * bool(label)}{plain(label)}")
    lowest = min([*(point.dice[click - 1] for point in points for click in clicks), *before[: max(clicks)]])
    axes.set_ylim(max(0.0, lowest - 0.1), 1.0)
    axes.margins(x=0.06)
    axes.grid(alpha=0.25)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2, frameon=False)
    return figure
