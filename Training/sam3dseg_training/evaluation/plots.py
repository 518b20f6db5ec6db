"""Curves over the clicks as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sam3dseg.atomic import replacing

from .metrics import MEASURES

SHOWN = ("dice", "surface_dice", "hd95_mm")
COLORS = {"model": "#1d5fd1", "baseline": "#d97706"}
STYLES = {"model": "-", "baseline": "--"}
MOST_LABELS = 8


def write_curves(path: Path, metrics: Mapping[str, Any]) -> None:
    """Dice, Surface Dice and HD95 over the clicks: means of all objects, and of each label where there are several.

    Bands are the standard error of the mean.  Beyond MOST_LABELS labels only all objects are shown.
    """
    labels = metrics["labels"] if 1 < len(metrics["labels"]) <= MOST_LABELS else {}
    rows = {"all objects": metrics["overall"], **labels}
    titles = {measure.key: measure.title for measure in MEASURES}
    figure = Figure(figsize=(11, 3.2 * len(rows)), layout="constrained", facecolor="white")
    grid = figure.subplots(len(rows), len(SHOWN), squeeze=False)
    for line, (label, roles) in zip(grid, rows.items(), strict=True):
        for axes, key in zip(line, SHOWN, strict=True):
            _draw(axes, {role: (metrics["models"][role]["name"], found, key) for role, found in roles.items()})
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
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def plain(text: str) -> str:
    """A name for a legend: no formula, and not left out for a leading underscore."""
    return text.replace("$", r"\$").removeprefix("_") or text
