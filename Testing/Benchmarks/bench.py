"""All benchmarks, one after the other, and a closing summary.

    python Testing/Benchmarks/bench.py [--only NAME ...] [--quick] [--data DATA] [--jobs 2] [--out bench-output]

A benchmark that fails does not stop the others; at the end there is a list of what failed, and the exit status is 1.
Each leaves NAME.txt (what it printed), NAME.json and, where it draws, NAME.png and NAME.webp in the folder, beside
summary.md.  `--quick` shows in minutes that all of them run; its figures mean nothing and go to a folder of their own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from summary import DONE, FAILED, SKIPPED, Outcome, summary

FOLDER = Path(__file__).resolve().parent
COMMANDS = FOLDER.parents[1] / "SAM3DSegment" / "sam3dseg"
VIEWER_PYTHON = str(FOLDER.parents[1] / ".venv-viewer" / "bin" / "python")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A script and its words, with {data} and {jobs} to be filled in; `quick` are added for a quick run.

    needs: a file or folder without which it is skipped, with {data} too.  python: runs the script.
    """

    name: str
    words: tuple[str, ...]
    quick: tuple[str, ...] = ()
    draws: bool = False
    needs: str = ""
    python: str = sys.executable

    def command(self, args: argparse.Namespace) -> list[str]:
        """What is run."""
        words = [word.format(data=args.data, jobs=args.jobs) for word in self.words]
        if words[0].endswith(".py"):
            words[0] = str(FOLDER / words[0])
        words += [*(self.quick if args.quick else ()), "--json", str(args.out / f"{self.name}.json")]
        if self.draws:
            words += ["--plot", *(str(args.out / f"{self.name}.{kind}") for kind in ("png", "webp"))]
        return [self.python, *words]


BENCHMARKS = (
    Benchmark(
        "clicks",
        ("clicks.py", "--data", "{data}", "--jobs", "{jobs}"),
        ("--sets", "hippocampus", "--cases", "1", "--clicks", "2"),
        needs="{data}",
    ),
    Benchmark("latency", ("latency.py",), ("--models", "embedded", "--precisions", "float32", "--repeats", "1")),
    Benchmark("gpu", ("latency.py", "--device", "cuda"), ("--models", "embedded", "--repeats", "1")),
    Benchmark(
        "growth",
        ("growth.py",),
        ("--sizes", "64", "96", "--clicks", "4", "--segments", "2", "--base", "96", "--repeats", "1"),
        draws=True,
    ),
    Benchmark("start", ("start.py",), ("--repeats", "1", "--size", "64")),
    Benchmark("effect", ("effect.py",), ("--size", "96", "--object", "40", "--clicks", "2", "--activations", "1")),
    Benchmark(
        "viewer",
        ("viewer.py",),
        ("--size", "96", "--object", "40", "--clicks", "2"),
        needs=VIEWER_PYTHON,
        python=VIEWER_PYTHON,
    ),
    Benchmark(
        "throughput",
        ("throughput.py", "--data", "{data}"),
        ("--window", "32", "--batches", "1", "--steps", "1"),
    ),
    Benchmark(
        "precision",
        ("precision.py", "--data", "{data}"),
        ("--models", "embedded", "--structures", "1", "--clicks", "1"),
        needs="{data}",
    ),
    Benchmark("decoders", ("decoders.py",), ("--largest", "3", "--repeats", "1"), draws=True),
)


def run(benchmark: Benchmark, args: argparse.Namespace) -> Outcome:
    """Run one benchmark; what it prints is shown and kept, and figures of an older run are removed before."""
    print(f"\n== {benchmark.name} ==", flush=True)
    missing = Path(benchmark.needs.format(data=args.data))
    if benchmark.needs and not missing.exists():
        print(f"skipped: {missing} does not exist", flush=True)
        return Outcome(benchmark.name, SKIPPED, 0.0, f"{missing} does not exist")
    for kind in ("json", "png", "webp"):
        (args.out / f"{benchmark.name}.{kind}").unlink(missing_ok=True)
    start, last = time.perf_counter(), ""
    command = benchmark.command(args)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8")
    with process, open(args.out / f"{benchmark.name}.txt", "w", encoding="utf-8") as kept:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            kept.write(line)
            last = line.strip() or last
    seconds = time.perf_counter() - start
    if process.returncode:
        return Outcome(benchmark.name, FAILED, seconds, f"exit status {process.returncode}: {last}")
    if not (args.out / f"{benchmark.name}.json").exists():
        return Outcome(benchmark.name, FAILED, seconds, "it left no JSON file")
    skipped = last.startswith("skipped: ")
    return Outcome(benchmark.name, SKIPPED if skipped else DONE, seconds, last.removeprefix("skipped: ") * skipped)


def parser(benchmarks: Sequence[Benchmark]) -> argparse.ArgumentParser:
    """The command line."""
    names = [benchmark.name for benchmark in benchmarks]
    made = argparse.ArgumentParser(description="All benchmarks, one after the other, and a closing summary.")
    made.add_argument("--only", nargs="+", choices=names, default=names, help="run these; keep the figures of others")
    made.add_argument("--quick", action="store_true", help="see that all run; the figures mean nothing")
    made.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data with labels")
    made.add_argument("--jobs", type=int, default=2, help="structures at a time in clicks")
    made.add_argument("--out", type=Path, default=Path("bench-output"), help="folder of the results")
    return made


def main(argv: Sequence[str] | None = None, benchmarks: Sequence[Benchmark] = BENCHMARKS) -> int:
    """Run the benchmarks; 1 when one failed."""
    args = parser(benchmarks).parse_args(argv)
    if args.quick:
        args.out /= "quick"
    args.out.mkdir(parents=True, exist_ok=True)
    outcomes = [run(benchmark, args) for benchmark in benchmarks if benchmark.name in args.only]
    text = summary(args.out, [benchmark.name for benchmark in benchmarks], outcomes, quick=args.quick)
    (args.out / "summary.md").write_text(text, encoding="utf-8")
    print(f"\n{text}\nwritten to {args.out}")
    failed = [outcome for outcome in outcomes if outcome.state == FAILED]
    for outcome in failed:
        print(f"failed: {outcome.name}: {outcome.reason}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
