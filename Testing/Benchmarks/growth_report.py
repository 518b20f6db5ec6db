"""The growth benchmark's tables and figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from durations import duration

MIB = 2**20
SHOWN = (1, 2, 3, 5, 10, 20, 30, 40, 50)  # rows of the longer tables
TITLES = {
    "first_s": "first click",
    "later_s": "later click",
    "seconds": "click",
    "back_s": "click on the segment before",
    "peak": "peak memory",
    "beyond": "peak beyond model and volume",
    "resident": "memory afterwards",
    "volume_bytes": "the volume itself",
}
COLORS = {
    "first_s": "#d62728",
    "later_s": "#1f77b4",
    "seconds": "#1f77b4",
    "back_s": "#2ca02c",
    "peak": "#9467bd",
    "beyond": "#1f77b4",
    "resident": "#8c564b",
    "volume_bytes": "#7f7f7f",
}
# Per series: its title, its x axis, and what is drawn of it in the upper (seconds) and in the lower (bytes) panel.
PANELS = {
    "volume": ("size of the volume", "voxels", ("first_s", "later_s"), ("peak", "beyond", "volume_bytes")),
    "clicks": ("clicks on one object", "clicks", ("seconds",), ("peak", "resident")),
    "segments": ("segments of one volume", "segments", ("first_s", "later_s", "back_s"), ("peak", "resident")),
}


def table(result: dict[str, Any]) -> str:
    """Markdown: a table per series, each with a line on how its end compares with its beginning."""
    parts = []
    for name, (title, _, seconds, memory) in PANELS.items():
        series = result["series"][name]
        of = "" if name == "volume" else f", {result['base']}³"
        parts.append(_columns(title + of, series, [key for key in (*seconds, *memory) if key in series]))
        parts.append(ratio_words(result, name))
    return "\n\n".join(parts)


def ratio_words(result: dict[str, Any], name: str) -> str:
    """How the end of a series compares: "768³ over 64³: first click × 1.4, later click × 1.2"."""
    ratios = (f"{TITLES[key]} × {value:.2f}" for key, value in result["ratios"][name].items())
    return f"{compared(result, name)}: {', '.join(ratios)}"


def compared(result: dict[str, Any], name: str) -> str:
    """What the ratios of a series compare."""
    x = result["series"][name]["x"]
    return f"{x[-1]}³ over {x[0]}³" if name == "volume" else f"the last over the first of {x[-1]} {name}"


def _columns(head: str, series: dict[str, Any], keys: Sequence[str]) -> str:
    lines = [f"| {head} | {' | '.join(TITLES[key] for key in keys)} |", "|---" * (1 + len(keys)) + "|"]
    for number, x in enumerate(series["x"]):
        if len(series["x"]) <= 10 or x in (*SHOWN, series["x"][-1]):
            lines.append(f"| {x} | {' | '.join(_cell(key, series[key][number]) for key in keys)} |")
    return "\n".join(lines)


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return ""
    return duration(value) if _is_time(key) else f"{value / MIB:,.0f} MiB"


def _is_time(key: str) -> bool:
    return key.endswith("_s") or key == "seconds"


def draw(result: dict[str, Any], path: Path) -> None:
    """A column per series: milliseconds above, MiB below; every vertical axis starts at zero."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(PANELS), sharex="col", sharey="row")
    for (above, below), (name, (title, unit, seconds, memory)) in zip(grid.T, PANELS.items(), strict=True):
        series = result["series"][name]
        for axes, keys, factor in ((above, seconds, 1e3), (below, memory, 1 / MIB)):
            for key in (key for key in keys if key in series):
                _line(axes, series, key, factor)
            axes.grid(True, alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        if name == "volume":
            below.set_xscale("log", base=2)
            below.set_xticks(series["x"], [f"{n}³" for n in series["x"]])
            below.minorticks_off()
        above.set_title(title if name == "volume" else f"{title}, {result['base']}³")
        below.set_xlabel(unit)
    for axes, unit in zip(grid[:, 0], ("milliseconds", "MiB"), strict=True):
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _line(axes: Any, series: dict[str, Any], key: str, factor: float) -> None:
    points = [(x, value * factor) for x, value in zip(series["x"], series[key], strict=True) if value is not None]
    style = "--" if key == "volume_bytes" else "o-" if len(points) <= 10 else "-"
    axes.plot(*zip(*points, strict=True), style, color=COLORS[key], label=TITLES[key])
