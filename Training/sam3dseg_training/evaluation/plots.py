"""Curves over the clicks as a picture, or how the objects spread where there are no clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sam3dseg.atomic import replacing

from .metrics import MEASURES
from .prompting import Prompting

SHOWN = ("dice", "surface_dice", "hd95_mm")
COLORS = {"model": "#1d5fd1", "baseline": "#d97706"}
STYLES = {"model": "-", "baseline": "--"}
MOST_LABELS = 8


def write_curves(path: Path, metrics: Mapping[str, Any]) -> None:
    """Dice, Surface Dice and HD95 over the clicks: means of all objects, and of each label where there are several.

    Bands are the standard error of the mean.  Beyond MOST_LABELS labels only all objects are shown.  Without clicks,
    boxes over the objects of each label: quartiles, median, and whiskers to the ends.
    """
    labels = metrics["labels"] if 1 < len(metrics["labels"]) <= MOST_LABELS else {}
    rows = {"all objects": metrics["overall"], **labels}
    titles = {measure.key: measure.title for measure in MEASURES}
    if not Prompting.of(metrics).is_clicks:
        _write_spread(path, metrics, list(labels) or ["all objects"])
        return
    figure = Figure(figsize=(11, 3.2 * len(rows)), layout="constrained", facecolor="white")
    grid = figure.subplots(len(rows), len(SHOWN), squeeze=False)
    for line, (label, roles) in zip(grid, rows.items(), strict=True):
        for axes, key in zip(line, SHOWN, strict=True):
            shown = {role: (metrics["models"][role]["name"], found, key) for role, found in roles.items()}
            _draw(axes, shown)
            count = roles["model"]["objects"]
            axes.set_title(f"{titles[key]}, {label} (n = {count})" if key == SHOWN[0] else titles[key], fontsize=10,
                           parse_math=False)  # fmt: skip
        line[0].legend(fontsize=8, loc="lower right")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _draw(axes: Axes, curves: Mapping[str, tuple[str, Mapping[str, Any], str]]) -> None:
    is_share = False
    for role, (name, found, key) in curves.items():
        mean = np.array(found[key]["mean"])
        error = np.array(found[key]["sd"]) / np.sqrt(found["objects"])
        clicks = np.arange(1, len(mean) + 1)
        axes.fill_between(clicks, mean - error, mean + error, color=COLORS[role], alpha=0.15, linewidth=0)
        axes.plot(clicks, mean, STYLES[role], marker="o", markersize=4, color=COLORS[role], label=plain(name))
        is_share = not key.endswith("_mm")
    axes.set_ylim(0, 1.02 if is_share else None)
    axes.set_xlabel("clicks", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _tidy(axes)


def _write_spread(path: Path, metrics: Mapping[str, Any], labels: Sequence[str]) -> None:
    """One box per label and model."""
    titles = {measure.key: measure.title for measure in MEASURES}
    models = metrics["models"]
    figure = Figure(figsize=(11, 3.4), layout="constrained", facecolor="white")
    grid = figure.subplots(1, len(SHOWN))
    columns = [(label, role) for label in labels for role in models]
    names = [plain(label if len(models) == 1 else f"{label}, {models[role]['name']}") for label, role in columns]
    for axes, key in zip(grid, SHOWN, strict=True):
        values = [
            [case[role][key][-1] for case in metrics["cases"] if label in (case["label"], "all objects")]
            for label, role in columns
        ]
        boxes = axes.boxplot(values, whis=(0, 100), widths=0.6, patch_artist=True)
        for box, (_, role) in zip(boxes["boxes"], columns, strict=True):
            box.set(facecolor=COLORS[role], alpha=0.4)
        axes.set_xticks(range(1, len(columns) + 1), names, rotation=20, ha="right", parse_math=False)
        axes.set_title(titles[key], fontsize=10)
        _tidy(axes)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def plain(text: str) -> str:
    """A name for a legend: no formula, and not left out for a leading underscore."""
    return text.replace("$", r"\$").removeprefix("_") or text
