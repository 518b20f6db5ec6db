"""Latency and memory of the models, each as a share of the machine's matrix-product rate in the same precision.

    python Testing/Benchmarks/latency.py [--device cpu|cuda] [--models embedded sam_med3d sam_vit_b] [--repeats 9]
        [--precisions float32 bfloat16] [--json OUT]

Every row is measured in a process of its own: the matrix-product rate before and after, the image encoder and a click
(prompt encoder and mask decoder) alone, and, for models of volumes, the first and later clicks through a `Session`,
from the prompt to the mask in the grid of the volume; for a model of slices, one slice of its own size.  Medians.
Speed and memory do not depend on the weights: without a weights file, random ones are used.  Memory is the most of the
process on the CPU, and the most that PyTorch reserved on a GPU.  `latency_points.py` has the measurements.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from durations import duration
from latency_points import ARCHITECTURES, SIZE, operations, work
from provenance import in_words, provenance, write

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL, LARGE, SLICE = "128x128x128", "512x512x300", "1024x1024"
# What is measured where: model, volume, precision.
ROWS = {
    "cpu": (
        ("embedded", SMALL, "float32"),
        ("embedded", SMALL, "bfloat16"),
        ("embedded", LARGE, "float32"),
        ("sam_med3d", SMALL, "float32"),
        ("sam_med3d", SMALL, "bfloat16"),
        ("sam_med3d", SMALL, "int8"),
        ("sam_vit_b", SLICE, "float32"),
    ),
    "cuda": tuple(
        (model, volume, precision)
        for model, volume in (("embedded", SMALL), ("embedded", LARGE), ("sam_med3d", SMALL))
        for precision in ("float32", "bfloat16")
    ),
}
# The most that a figure may be.
BARS = {
    ("cpu", "embedded", SMALL): {"encode_s": 0.25, "later_click_s": 0.04},
    ("cpu", "embedded", LARGE): {"encode_s": 0.25, "later_click_s": 0.08},
    ("cpu", "sam_med3d", SMALL): {"click_s": 0.02},
    ("cuda", "sam_med3d", SMALL): {"encode_s": 0.005, "click_s": 0.002, "later_click_s": 0.03, "peak_gb": 2.0},
}


def run_apart(*words: str) -> dict[str, Any]:
    """`work` or `operations` in a fresh process, whose peak is its own; {"failed": its last words} if it dies."""
    path = os.pathsep.join([str(REPOSITORY / "SAM3DSegment"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, "--work", *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def measure(
    device: str, wanted: Sequence[tuple[str, str, str]], repeats: int, apart: Callable[..., dict[str, Any]] = run_apart
) -> list[dict[str, Any]]:
    """A row per model, volume and precision, with its share of the matrix-product rate and its bars."""
    rows, counted = [], {model: apart(model) for model in dict.fromkeys(model for model, *_ in wanted)}
    for model, volume, precision in wanted:
        names = {"model": model, "volume": volume, "precision": precision}
        row = {**names, **counted[model], **apart(device, model, volume, precision, str(repeats))}
        if "encode_s" in row and "encode_gflop" in row:
            for stage in ("encode", "click"):
                row[f"{stage}_share"] = row[f"{stage}_gflop"] / row["matrix_gflops"] / row[f"{stage}_s"]
        rows.append({**row, "bars": BARS.get((device, model, volume), {})})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown, one line per row; below it, what could not be measured."""
    heads = "model, precision, volume, encode, of limit, network click, of limit, first click, later click, peak memory"
    lines = [f"| {heads.replace(', ', ' | ')} |", "|---" * (heads.count(",") + 1) + "|"]
    for row in (row for row in rows if "encode_s" in row):
        cells = [
            row["model"],
            row["precision"],
            row["volume"],
            duration(row["encode_s"]),
            f"{row['encode_share']:.0%}" if "encode_share" in row else "",
            duration(row["click_s"]),
            f"{row['click_share']:.0%}" if "click_share" in row else "",
            f"{duration(row['first_click_s'])} ({row['first_click_encodes']} encodes)"
            if "first_click_s" in row
            else "",
            f"{duration(row['later_click_s'])} (n={row['later_clicks']})" if "later_click_s" in row else "",
            f"{row['peak_gb']:.2f} GB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        lines += [
            f"\n{row['model']} {row['precision']}, {row['volume']}: {state}: {row[state]}"
            for state in ("skipped", "failed")
            if state in row
        ]
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Latency and memory of the models on this machine.")
    made.add_argument("--device", choices=sorted(ROWS), default="cpu")
    made.add_argument("--models", nargs="+", choices=sorted(ARCHITECTURES), default=sorted(ARCHITECTURES))
    made.add_argument("--precisions", nargs="+", default=["float32", "bfloat16", "int8"])
    made.add_argument("--repeats", type=int, default=9, help="timed calls per median")
    made.add_argument("--json", type=Path, help="also write the rows to this file")
    made.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    return made


def main(argv: Sequence[str] | None = None, apart: Callable[..., dict[str, Any]] = run_apart) -> int:
    """Run the benchmark; 1 when a row failed, 0 without a word on times where the device is missing."""
    args = parser().parse_args(argv)
    if args.work:
        words = args.work
        print(json.dumps(operations(*words) if len(words) == 1 else work(*words[:4], repeats=int(words[4]))))
        return 0
    head = provenance("latency" if args.device == "cpu" else "gpu")
    if args.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            reason = "PyTorch sees no CUDA device here"
            print(f"skipped: {reason}")
            if args.json:
                write(args.json, {**head, "skipped": reason, "rows": []})
            return 0
        head["device"] = torch.cuda.get_device_name()
    wanted = [row for row in ROWS[args.device] if row[0] in args.models and row[2] in args.precisions]
    rows = measure(args.device, wanted, args.repeats, apart)
    rates = ", ".join(f"{row['matrix_gflops']:.0f}" for row in rows if "matrix_gflops" in row)
    print(in_words(head))
    print(f"limit: {SIZE[args.device]}² matrix products at {rates} GFLOP/s (one figure per row)\n\n{table(rows)}")
    if args.json:
        write(args.json, {**head, "rows": rows})
    return int(any("failed" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
