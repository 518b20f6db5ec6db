"""The closing summary of the benchmarks: what ran, where, and every figure beside what it is compared with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from durations import duration, of_bar
from provenance import in_words

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
GROW = "Grow from seeds"
DICE_BARS, CLICKS_BAR, DROP_BAR = {1: 0.65, 3: 0.80, 5: 0.85, 10: 0.90}, 3.5, 0.05  # over all structures
Ratio = tuple[str, str, str, str]  # the figure, as measured, what it stands beside, the ratio


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a benchmark ended, after how many seconds, and why where it is not done."""

    name: str
    state: str
    seconds: float
    reason: str = ""


def summary(folder: Path, names: Sequence[str], outcomes: Sequence[Outcome], *, quick: bool = False) -> str:
    """Markdown from the JSON files in the folder; benchmarks that did not run now appear with the date they ran."""
    ran = {outcome.name: outcome for outcome in outcomes}
    results = {
        name: json.loads(path.read_text("utf-8")) for name in names if (path := folder / f"{name}.json").exists()
    }
    lines = ["# Benchmarks", ""]
    if quick:
        lines += ["A quick run: it shows that everything works, its figures mean nothing.", ""]
    lines += ["| benchmark | state | minutes | where and when |", "|---|---|---|---|"]
    for name in names:
        outcome, result = ran.get(name), results.get(name)
        state, minutes = ("not run now", "") if outcome is None else (outcome.state, f"{outcome.seconds / 60:.1f}")
        if outcome and outcome.reason:
            state += f": {outcome.reason}"
        lines.append(f"| {name} | {state} | {minutes} | {in_words(result) if result else ''} |")
    lines += ["", "| figure | measured | beside | ratio |", "|---|---|---|---|"]
    for name, result in results.items():
        if "skipped" not in result and name in RATIOS:
            lines += [f"| {' | '.join(ratio)} |" for ratio in RATIOS[name](result)]
    return "\n".join(lines) + "\n"


def of_clicks(result: dict[str, Any]) -> list[Ratio]:
    """Mean Dice and clicks needed beside Grow from seeds and the bars, the worst data set, and the largest drop."""
    from sam3dseg_training.evaluation.clicking import clicks_to, largest_drop

    ours, grow = ([run for run in result["runs"] if (run["method"] == GROW) == is_grow] for is_grow in (False, True))
    sets = sorted({run["set_name"] for run in ours})
    count = len(ours[0]["dice"])
    found = []
    for n, bar in ((n, bar) for n, bar in DICE_BARS.items() if n <= count):
        mean, figure = _mean_dice(ours, n), f"Dice after {n} click{'s' * (n > 1)}, {len(ours)} structures"
        found.append((figure, f"{mean:.2f}", f"bar {bar:.2f}", f"{mean / bar:.0%}"))
        if grow:
            found.append(
                (figure, f"{mean:.2f}", f"{GROW} {_mean_dice(grow, n):.2f}", f"× {mean / _mean_dice(grow, n):.2f}")
            )
        means = {name: _mean_dice([run for run in ours if run["set_name"] == name], n) for name in sets}
        worst = min(sets, key=lambda name: means[name])
        found.append((f"– lowest data set, {worst}", f"{means[worst]:.2f}", "", ""))
    needed = float(np.mean([clicks_to(run["dice"], 0.8) or count for run in ours]))
    found.append(("clicks until Dice 0.80", f"{needed:.1f}", f"bar {CLICKS_BAR}", f"{needed / CLICKS_BAR:.0%}"))
    drop = max(largest_drop(run["dice"]) for run in ours)
    found.append(("largest drop of Dice by one click", f"{drop:.2f}", f"bar {DROP_BAR}", f"{drop / DROP_BAR:.0%}"))
    return found


def _mean_dice(runs: Sequence[dict[str, Any]], clicks: int) -> float:
    return float(np.mean([run["dice"][clicks - 1] for run in runs]))


def of_latency(result: dict[str, Any]) -> list[Ratio]:
    """Every row's encoding beside the machine's limit, and all that has a bar beside that."""
    found = []
    for row in (row for row in result["rows"] if "encode_s" in row):
        name = f"{row['model']}, {row['precision']}, {row['volume']}"
        if "encode_share" in row:
            limit = f"limit {row['matrix_gflops']:.0f} GFLOP/s"
            found.append((f"{name}: encode", _value("encode_s", row["encode_s"]), limit, f"{row['encode_share']:.0%}"))
        for key, bar in row["bars"].items():
            if key in row:
                title = f"{name}: {TITLES[key]}"
                found.append((title, _value(key, row[key]), f"bar {_value(key, bar)}", f"{row[key] / bar:.0%}"))
    return found


TITLES = {
    "encode_s": "encode",
    "click_s": "click, network alone",
    "later_click_s": "later click, end to end",
    "peak_gb": "memory",
}


def _value(key: str, value: float) -> str:
    return duration(value) if key.endswith("_s") else f"{value:.2f} GB"


def of_growth(result: dict[str, Any]) -> list[Ratio]:
    """How the end of each series compares with its beginning."""
    from growth_report import TITLES, compared

    found = []
    for name, ratios in result["ratios"].items():
        found += [
            (f"{compared(result, name)}: {TITLES[key]}", "", "", f"× {value:.2f}") for key, value in ratios.items()
        ]
    return found


def of_start(result: dict[str, Any]) -> list[Ratio]:
    """The warm start beside its bar."""
    total, bar = result["median"]["total_s"], result["bar_s"]
    return [("start → first mask, disk cache warm", f"{total:.2f} s", f"bar {bar:.0f} s", f"{total / bar:.0%}")]


def of_effect(result: dict[str, Any]) -> list[Ratio]:
    """Every part of a click that has a bar."""
    return [(f"effect, {key.replace('_', ' ')}", *beside) for key, beside in _beside_bars(result)]


def of_viewer(result: dict[str, Any]) -> list[Ratio]:
    """Every part of a click in the page that has a bar."""
    return [(f"browser, press → {key}", *beside) for key, beside in _beside_bars(result)]


def _beside_bars(result: dict[str, Any]) -> list[tuple[str, tuple[str, str, str]]]:
    """Every part that has a bar in milliseconds, and what it took beside that."""
    found = []
    for key, bar in result["bars_ms"].items():
        limit, share = of_bar(result["ms"][key], bar)
        found.append((key, (f"{result['ms'][key]:.0f} ms", f"bar {limit}", share)))
    return found


def of_throughput(result: dict[str, Any]) -> list[Ratio]:
    """Samples per second beside MONAI's own transforms."""
    ours = result["ours"]
    found = [
        ("training samples per second", f"{ours:.1f}", f"{title} {result[key]:.1f}", f"× {ours / result[key]:.1f}")
        for key, title in (("monai", "MONAI from files"), ("monai_cached", "MONAI from memory"))
    ]
    return [*found, ("training step waits for data", f"{result['waiting_share']:.1%}", "", "")]


def of_precision(result: dict[str, Any]) -> list[Ratio]:
    """Seconds of encoding and click beside float32, and the smallest Dice against its masks."""
    found, rows = [], result["rows"]
    for model, precision in dict.fromkeys((row["model"], row["precision"]) for row in rows):
        ours, reference = (
            [row for row in rows if (row["model"], row["precision"]) == (model, kind)]
            for kind in (precision, "float32")
        )
        if precision == "float32" or not reference:
            continue
        spent, before = (np.median([row["encode_s"] + row["click_s"] for row in group]) for group in (ours, reference))
        title = f"{model} in {precision}, {ours[0]['weights']}"
        found.append(
            (f"{title}: encode and click", f"{spent:.2f} s", f"float32 {before:.2f} s", f"× {spent / before:.2f}")
        )
        found.append((f"{title}: smallest Dice", f"{min(row['dice_smallest'] for row in ours):.4f}", "", ""))
    return found


def of_decoders(result: dict[str, Any]) -> list[Ratio]:
    """SAM-3D's decoder beside self-attention, at the largest volume."""
    ours, other = result["decoders"]["sam_3d"], result["decoders"]["attention"]
    found = []
    for key, unit, factor in (("seconds", "s", 1.0), ("bytes", "MiB", 2.0**-20)):
        slopes = [figures["exponents"][key] for figures in (ours, other)]
        found.append(
            (
                f"SAM-3D's decoder, {result['voxels'][-1]:,.0f} voxels",
                f"{ours[key][-1] * factor:.3g} {unit}, N^{slopes[0]:.2f}",
                f"self-attention {other[key][-1] * factor:.3g} {unit}, N^{slopes[1]:.2f}",
                f"× {ours[key][-1] / other[key][-1]:.2f}",
            )
        )
    return found


RATIOS: dict[str, Callable[[dict[str, Any]], list[Ratio]]] = {
    "clicks": of_clicks,
    "latency": of_latency,
    "gpu": of_latency,
    "growth": of_growth,
    "start": of_start,
    "effect": of_effect,
    "viewer": of_viewer,
    "throughput": of_throughput,
    "precision": of_precision,
    "decoders": of_decoders,
}
