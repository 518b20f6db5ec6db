"""Latency and memory of clicks as volumes, clicks and segments grow in size or number.

    python Testing/Benchmarks/growth.py [--sizes 64 128 256] [--clicks 50] [--segments 40] [--base 256] [--repeats 3]
        [--json OUT] [--plot PNG WEBP]

Three series with the embedded model on the CPU, through `Session`, on balls of 30 mm in noise at 0.7 × 0.7 × 1.0 mm,
int16: volumes from 64³ to 768³; clicks on one ball; segments of one volume.  Every volume, and every repetition of the
other two, has a process of its own.  Seconds are medians, from the click to the mask in the volume's grid; the peak is
the most that the process held during clicks, the volume included.  `growth_points.py` has the measurements.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from growth_report import draw, table
from provenance import in_words, provenance, write

SIZES = (64, 128, 256, 384, 512, 768)
END = 5  # points at either end of the longer series whose medians are compared


def work(series: str, size: int, count: int, seed: int) -> Any:
    """One process' share of a series."""
    import growth_points
    from sam3dseg import load_segmenter

    segmenter = load_segmenter("embedded", device="cpu")
    growth_points.warm_up(segmenter)
    if series == "volume":
        return growth_points.by_volume(segmenter, size, count)
    measure = growth_points.by_clicks if series == "clicks" else growth_points.by_segments
    return measure(segmenter, size, count, seed)


def run_apart(series: str, size: int, count: int, seed: int) -> Any:
    """`work` in a fresh process. Raises ValueError with its last words when it fails."""
    command = [sys.executable, __file__, "--work", series, str(size), str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ValueError(f"{series} at {size}³ failed: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(args: argparse.Namespace, apart: Callable[[str, int, int, int], Any] = run_apart) -> dict[str, Any]:
    """All three series: what is on the x axis, and medians and most memory at each of its points."""
    volumes = [of_volume(apart("volume", size, args.repeats, 0)) for size in args.sizes]
    series = {"volume": {"x": list(args.sizes), **in_columns(volumes)}}
    for name, count in (("clicks", args.clicks), ("segments", args.segments)):
        runs = [apart(name, args.base, count, seed) for seed in range(args.repeats)]
        points = [at_point(rows) for rows in zip(*runs, strict=True)]
        series[name] = {"x": list(range(1, count + 1)), **in_columns(points)}
    return {"base": args.base, "repeats": args.repeats, "series": series, "ratios": ratios(series)}


def of_volume(found: dict[str, Any]) -> dict[str, float]:
    """The figures of one volume from its process."""
    later = [s for s, n in zip(found["later_s"], found["later_encodes"], strict=True) if n == 0]
    return {
        "first_s": median(found["first_s"]),
        "later_s": median(later or found["later_s"]),
        "encodes": sum(found["later_encodes"]),
        "volume_bytes": found["volume_bytes"],
        "resident": found["resident"]["later"],
        "peak": max(found["peak"].values()),
        "beyond": max(1, max(found["peak"].values()) - found["resident"]["volume"]),
    }


def at_point(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The figures of one click or segment from all repetitions: medians, the most of encodings and bytes."""
    most = ("encodes", "resident", "peak")
    return {key: (max if key in most else median)(row[key] for row in rows) for key in rows[0]}


def in_columns(rows: Sequence[dict[str, float]]) -> dict[str, list[float | None]]:
    """A list per figure; None where a row lacks it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def ratios(series: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The last over the first point of each series; of clicks, those after the first are compared."""
    volume, clicks, segments = series["volume"], series["clicks"], series["segments"]
    later = {name: values[1:] for name, values in clicks.items()}
    return {
        "volume": {name: volume[name][-1] / volume[name][0] for name in ("first_s", "later_s", "beyond", "peak")},
        "clicks": {"later_s": ends(later["seconds"]), "peak": ends(later["peak"])},
        "segments": {name: ends(segments[name]) for name in ("first_s", "later_s", "peak")},
    }


def ends(values: Sequence[float]) -> float:
    """The end of a series over its beginning: medians of END values each, of fewer where the series is short."""
    count = max(1, min(END, len(values) // 2))
    return median(values[-count:]) / median(values[:count]) if values else float("nan")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Latency and memory as volumes, clicks and segments grow.")
    made.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="voxels per side of the volumes")
    made.add_argument("--clicks", type=int, default=50, help="clicks on one ball")
    made.add_argument("--segments", type=int, default=40, help="segments of one volume")
    made.add_argument("--base", type=int, default=256, help="voxels per side of the volume of clicks and segments")
    made.add_argument("--repeats", type=int, default=3, help="repetitions per median")
    made.add_argument("--json", type=Path, help="also write all figures to this file")
    made.add_argument("--plot", type=Path, nargs="+", default=[], help="also draw them into these PNG or WebP files")
    made.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    return made


def main(argv: Sequence[str] | None = None, apart: Callable[[str, int, int, int], Any] = run_apart) -> int:
    """Run the benchmark; 2 with one readable line where it cannot run. `apart` stands in for the processes."""
    args = parser().parse_args(argv)
    if args.work:
        series, *numbers = args.work
        print(json.dumps(work(series, *map(int, numbers))))
        return 0
    try:
        if min(args.repeats, args.segments, args.clicks - 1, *(size // 64 for size in args.sizes)) < 1:
            raise ValueError("expected --repeats and --segments from 1, --clicks from 2 and --sizes from 64")
        figures = measure(args, apart)
    except ValueError as error:
        print(f"growth.py: {error}", file=sys.stderr)
        return 2
    result = {**provenance("growth"), **figures}
    print(f"{in_words(result)}\n\n{table(result)}")
    if args.json:
        write(args.json, result)
    for path in args.plot:
        draw(result, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
