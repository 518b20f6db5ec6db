"""The blocks of the README that hold measured figures: each from the JSON file of one benchmark."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from durations import duration
from growth_report import MIB, ratio_words

WIDTH = 128  # of a line of the README
PICTURES = {"growth": Path("docs/benchmarks/growth.webp"), "decoders": Path("docs/training/decoders.webp")}
MODELS = {"embedded": "embedded", "sam_med3d": "SAM-Med3D ViT-B", "sam_vit_b": "SAM or MedSAM ViT-B"}
SETS = {
    "hippocampus": "hippocampus, MR, {} cases",
    "total_ct": "{} structures of a CT at 3 mm",
    "flair_lesion": "a lesion, FLAIR MR",
}


def paragraph(text: str) -> str:
    """Text in the README's line length, and an empty line."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False) + "\n\n"


def rows(*lines: Sequence[object]) -> str:
    """A Markdown table; the first line holds the heads."""
    lines = (lines[0], ["---"] * len(lines[0]), *lines[1:])
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def of_clicks(result: dict[str, Any]) -> str:
    """Dice and clicks needed, ours beside Grow from seeds, per data set and for all structures."""
    from clicks import MEASURED, Run, row

    runs = [Run(**{**run, "dice": tuple(run["dice"])}) for run in result["runs"]]
    methods = sorted({run.method for run in runs}, key=lambda method: method == "Grow from seeds")
    groups = [(name, [run for run in runs if run.set_name == name]) for name in SETS]
    groups = [group for group in groups if group[1]]
    if len(groups) > 1:
        groups.append(("all", runs))
    lines, drops = [], {}
    for name, group in groups:
        for number, method in enumerate(methods):
            own = [run for run in group if run.method == method]
            title = SETS.get(name, "all {} structures").format(len(own))
            _, _, _, *dice, noc80, noc90, drops[method], _ = row(name, method, own)
            lines.append([title * (number == 0), method, *map(_two_digits, dice), noc80, noc90])
    said = "".join(f" ({method}: {_two_digits(drops[method])})" for method in methods[1:])
    return (
        paragraph(
            "Mean Dice on real volumes never used in training, simulated user (next click at the deepest point of the "
            "largest error), ours beside Slicer's own Grow from seeds with clicks of its own; NoC@80: clicks until "
            "Dice 0.80, and the share of structures that get there:"
        )
        + rows(["data", "method", *_clicks_heads(MEASURED), "NoC@80", "NoC@90"], *lines)
        + f"\n\nDice fell by up to {_two_digits(drops[methods[0]])} after a single correcting click{said}."
    )


def _clicks_heads(counts: Sequence[int]) -> list[str]:
    return [f"{n} click" if n == 1 else str(n) for n in counts]


def _two_digits(cell: str) -> str:
    return cell if cell == "–" else f"{float(cell):.2f}"


def of_latency(result: dict[str, Any]) -> str:
    """Encoding, clicks and memory of every model."""
    rates = [row["matrix_gflops"] for row in result["rows"] if "matrix_gflops" in row and row["precision"] == "float32"]
    heads = ["model", "precision", "volume", "encode", "of limit", "click, network alone"]
    lines = [[*heads, "first click", "later click", "peak memory"]]
    for row in (row for row in result["rows"] if "encode_s" in row):
        lines.append(
            [
                MODELS[row["model"]],
                row["precision"],
                "a slice, 1024²" if row["model"] == "sam_vit_b" else row["volume"].replace("x", "×"),
                _seconds(row, "encode_s"),
                f"{row['encode_share']:.0%}" if "encode_share" in row else "",
                _seconds(row, "click_s"),
                _seconds(row, "first_click_s"),
                _seconds(row, "later_click_s"),
                f"{row['peak_gb']:.2f} GB",
            ]
        )
    limit = f"{min(rates):.0f}–{max(rates):.0f} GFLOP/s in float32" if rates else "not measured"
    return paragraph(
        "Medians, from the click to the mask in the volume's own grid; the limit is the machine's own matrix-product "
        f"rate in the same process and precision ({limit}):"
    ) + rows(*lines)


def _seconds(row: dict[str, Any], key: str) -> str:
    return duration(row[key]) if key in row else ""


def of_precision(result: dict[str, Any]) -> str:
    """Seconds, and agreement with float32, of every precision on every volume."""
    lines = [["model", "volume", "precision", "encode", "click", "smallest Dice", "median Dice", "masks"]]
    for row in result["rows"]:
        own = row["precision"] == "float32"
        dice = ["", "", ""] if own else [f"{row['dice_smallest']:.4f}", f"{row['dice_median']:.4f}", row["masks"]]
        weights = "" if row["weights"] == row["model"] else f", {row['weights']}"
        title = f"{MODELS.get(row['model'], row['model'])}{weights}"
        lines.append(
            [title, row["volume"], row["precision"], _seconds(row, "encode_s"), _seconds(row, "click_s"), *dice]
        )
    return paragraph("Masks in fewer bits against those of float32, the same clicks of the simulated user:") + rows(
        *lines
    )


def of_growth(result: dict[str, Any]) -> str:
    """The volumes as a table, the rest in words and in the figure."""
    volume = result["series"]["volume"]
    lines = [["volume", *(f"{n}³" for n in volume["x"])]]
    for title, key in (("first click", "first_s"), ("later click", "later_s")):
        lines.append([title, *map(duration, volume[key])])
    lines.append(["peak memory, volume included", *(f"{size / MIB:,.0f} MiB" for size in volume["peak"])])
    said = "\n".join(f"- {ratio_words(result, name)}" for name in result["series"])
    picture = f"![Latency and memory over volume size, clicks and segments]({PICTURES['growth'].as_posix()})"
    return (
        paragraph("Clicks as volumes, clicks and segments grow (embedded model, balls of 30 mm at 0.7 × 0.7 × 1.0 mm):")
        + f"{rows(*lines)}\n\n{said}\n\n{picture}"
    )


def of_start(result: dict[str, Any]) -> str:
    """The parts of a start."""
    found, parts = result["median"], {"import_s": "import", "load_s": "load", "click_s": "first click"}
    split = ", ".join(f"{found[key]:.2f} s {title}" for key, title in parts.items())
    return paragraph(
        f"From starting Python to the first mask: **{found['total_s']:.1f} s** ({split}; disk cache warm, median of "
        f"{len(result['warm'])} processes)."
    ).rstrip()


def of_decoders(result: dict[str, Any]) -> str:
    """The figure, and how both decoders grow."""
    slopes = {kind: found["exponents"]["seconds"] for kind, found in result["decoders"].items()}
    seen = "Seconds, peak memory and operations over the number of voxels: SAM-3D grows linearly, self-attention faster"
    return (
        paragraph(
            "SAM-3D's decoder against plain 3D self-attention over the same features: seconds grow with "
            f"N^{slopes['sam_3d']:.2f} and N^{slopes['attention']:.2f}, N being the number of voxels."
        )
        + f"![{seen}]({PICTURES['decoders'].as_posix()})"
    )


EFFECT_ROWS = {
    "total": "mouse press → segment and surface",
    "engine": "model, on its own thread",
    "write": "write with masks and overwriting",
    "surface": "closed surface",
    "main": "main thread, all but the surface",
    "activation": "activating the effect, without PyTorch loaded",
}


def of_effect(result: dict[str, Any]) -> str:
    """The parts of a click in Slicer's Segment Editor."""
    busy = result["busy_ms"]
    lines: list[Sequence[object]] = [["part", "median", "of which the main thread works"]]
    for key, title in EFFECT_ROWS.items():
        lines.append([title, f"{result['ms'][key]:.0f} ms", f"{busy[key]:.0f} ms" if key in busy else ""])
    extent = " × ".join(map(str, result["extent"]))
    return paragraph(
        f"In Slicer's Segment Editor, headless, a {result['size']}³ int16 volume, segment of {extent} voxels, "
        f"embedding cached, medians of {len(result['clicks'])} clicks (software rendering):"
    ) + rows(*lines)


VIEWER_ROWS = {
    "mask": "press → picture with the new mask",
    "surface": "press → picture with the new surface",
}


def of_viewer(result: dict[str, Any]) -> str:
    """The parts of a click in the page."""
    lines = [[title, f"{result['ms'][key]:.0f} ms"] for key, title in VIEWER_ROWS.items() if key in result["ms"]]
    return paragraph(
        f"In the browser, a {result['size']}³ int16 volume, medians of {len(result['clicks'])} clicks (server, "
        "software rendering and headless Chromium on one machine):"
    ) + rows(["part", "median"], *lines)


BLOCKS: dict[str, Callable[[dict[str, Any]], str]] = {
    "clicks": of_clicks,
    "latency": of_latency,
    "gpu": of_latency,
    "precision": of_precision,
    "growth": of_growth,
    "start": of_start,
    "decoders": of_decoders,
    "effect": of_effect,
    "viewer": of_viewer,
}
