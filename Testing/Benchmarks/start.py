"""From starting Python to the first mask: importing, loading the embedded model, and the first click.

    python Testing/Benchmarks/start.py [--repeats 5] [--size 128] [--json OUT]

Every start is a process of its own.  Before the very first, the system is asked to forget the files that are read
(PyTorch, the engine, the weights); what it then read from the disk is said beside it, as other processes may hold them.
The others, of which the medians are, find everything in the disk cache.  The clock starts at Python's own start; the
volume is made outside of it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from provenance import in_words, provenance, write

BAR_S = 4.0  # from Python's start to the first mask
PARTS = {
    "python_s": "Python's own start",
    "import_s": "import",
    "load_s": "load the model",
    "image_s": "take the volume",
    "click_s": "first click",
    "total_s": "start → first mask",
}
PACKAGES = ("torch", "numpy", "scipy", "safetensors", "sam3dseg")
DIAMETER = 40  # voxels across the ball, at 1 mm


def work(size: int, began: float) -> dict[str, float]:
    """Seconds of each part in this process, which was started at `began` (time.time), and MB read from the disk."""
    python = time.time() - began
    start = time.perf_counter()
    from sam3dseg import Click, Session, load_segmenter

    imported = time.perf_counter()
    segmenter = load_segmenter("embedded", device="cpu")
    loaded = time.perf_counter()
    volume = made_up(size)
    made = time.perf_counter()
    session = Session(segmenter)
    session.set_image(volume, spacing_mm=(1.0, 1.0, 1.0))
    taken = time.perf_counter()
    session.add(Click((size // 2,) * 3))
    found = {
        "python_s": python,
        "import_s": imported - start,
        "load_s": loaded - imported,
        "image_s": taken - made,
        "click_s": time.perf_counter() - taken,
    }
    return {**found, "total_s": sum(found.values()), "read_mb": read_mb()}


def made_up(size: int) -> Any:
    """A ball in noise."""
    import numpy as np

    from phantom import balls_in_noise

    return balls_in_noise((size,) * 3, np.full((1, 3), size // 2), DIAMETER / 2)


def read_mb() -> float:
    """Megabytes that this process read from the disk and not from its cache; 0 where the system does not say."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("read_bytes"))) / 1e6
    return 0.0


def run_apart(size: int) -> dict[str, float]:
    """`work` in a fresh process. Raises ValueError with its last words when it fails."""
    command = [sys.executable, __file__, "--work", str(size), repr(time.time())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ValueError(f"the start failed: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def forget_files() -> None:
    """Ask the system to drop from its cache the files that a start reads; those in use stay."""
    for package in PACKAGES:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in (path for path in Path(folder).rglob("*") if path.is_file()):
                _forget(path)
    from sam3dseg.segmenter import WEIGHTS_FOLDER

    for path in WEIGHTS_FOLDER.glob("*.safetensors"):
        _forget(path)


def _forget(path: Path) -> None:
    if hasattr(os, "posix_fadvise"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def measure(size: int, repeats: int, apart: Callable[[int], dict[str, float]] = run_apart) -> dict[str, Any]:
    """The first start after forgetting, and medians of `repeats` more."""
    forget_files()
    first = apart(size)
    warm = [apart(size) for _ in range(repeats)]
    medians = {key: median(row[key] for row in warm) for key in first}
    return {"size": size, "bar_s": BAR_S, "first": first, "warm": warm, "median": medians}


def table(result: dict[str, Any]) -> str:
    """Markdown: a row per part, warm and first."""
    warm, first = result["median"], result["first"]
    lines = [
        f"| part | disk cache warm, median of {len(result['warm'])} | first start, {first['read_mb']:.0f} MB read |"
    ]
    lines += ["|---|---|---|"]
    lines += [f"| {title} | {warm[key]:.2f} s | {first[key]:.2f} s |" for key, title in PARTS.items()]
    share = warm["total_s"] / result["bar_s"]
    return "\n".join([*lines, f"\nof the bar of {result['bar_s']:.0f} s: {share:.0%}"])


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Seconds from starting Python to the first mask.")
    made.add_argument("--size", type=int, default=128, help="voxels per side of the volume")
    made.add_argument("--repeats", type=int, default=5, help="starts of which the median is taken")
    made.add_argument("--json", type=Path, help="also write every start to this file")
    made.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    return made


def main(argv: Sequence[str] | None = None, apart: Callable[[int], dict[str, float]] = run_apart) -> int:
    """Run the benchmark; 2 with one readable line where it cannot run. `apart` stands in for the processes."""
    args = parser().parse_args(argv)
    if args.work:
        print(json.dumps(work(int(args.work[0]), float(args.work[1]))))
        return 0
    try:
        if min(args.repeats, args.size // 64) < 1:
            raise ValueError("expected --repeats from 1 and --size from 64")
        figures = measure(args.size, args.repeats, apart)
    except ValueError as error:
        print(f"start.py: {error}", file=sys.stderr)
        return 2
    result = {**provenance("start"), **figures}
    print(f"{in_words(result)}\nvolume: {args.size}³ int16\n\n{table(result)}")
    if args.json:
        write(args.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
