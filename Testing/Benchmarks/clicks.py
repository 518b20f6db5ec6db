"""Accuracy per click on real volumes, beside Slicer's own Grow from seeds.

    python Testing/Benchmarks/clicks.py --data ../shared/data [--model embedded | --checkpoint PATH] [--jobs 4]

For every structure the simulated user of `sam3dseg.simulated_user` clicks on our mask and, apart from that, on that of
Grow from seeds (`grow_from_seeds.py` says how clicks become seeds).  Dice is measured on the whole image in its own
grid.  NoC@80 is the number of clicks until Dice reaches 0.80, where a structure that never does counts with all clicks;
the share that does is in brackets.  The largest drop is the most Dice that one correcting click cost in any structure.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance import in_words, provenance, write
from sam3dseg import Session
from sam3dseg.imageio import Image
from sam3dseg.prompts import Click
from sam3dseg_training.evaluation.clicking import clicks_to, largest_drop, play
from structures import SETS, Structure, structures

MEASURED = (1, 3, 5, 10)  # clicks
DEFAULT_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
_segmenter: Any = None  # one per process


@dataclass(frozen=True, slots=True)
class Run:
    """One structure segmented by one method: Dice after each click, and seconds per click (median)."""

    set_name: str
    structure: str
    method: str
    dice: tuple[float, ...]
    seconds: float


def score(
    reference: NDArray[np.bool_], answer: Callable[[Click], NDArray[np.bool_]], *, clicks: int
) -> tuple[tuple[float, ...], float]:
    """Dice after each of `clicks` clicks of the simulated user, and the median seconds per answer."""
    turns = list(play(reference, answer, clicks=clicks))
    sizes = [(turn.mask & reference).sum() / (turn.mask.sum() + reference.sum()) for turn in turns]
    seconds = [turn.seconds for turn in turns if turn.seconds is not None]
    return tuple(2 * float(size) for size in sizes), float(np.median(seconds))


def session_answers(segmenter: Any, image: Image) -> Callable[[Click], NDArray[np.bool_]]:
    """Our masks, click by click."""
    session = Session(segmenter)
    session.set_image(image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras)
    return session.add


def grow_answers(image: Image) -> Callable[[Click], NDArray[np.bool_]]:
    """The masks of Grow from seeds, click by click."""
    from grow_from_seeds import grow_from_seeds

    placed: list[Click] = []

    def answer(click: Click) -> NDArray[np.bool_]:
        placed.append(click)
        return grow_from_seeds(image.array_ijk, placed, spacing_mm=image.spacing_mm)

    return answer


def measure(structure: Structure, clicks: int, with_grow: bool) -> list[Run]:
    """All methods on one structure, with this process' segmenter."""
    image, reference = structure.load()
    answers = {_segmenter.name: session_answers(_segmenter, image)}
    if with_grow:
        answers["Grow from seeds"] = grow_answers(image)
    runs = []
    for method, answer in answers.items():
        dice, seconds = score(reference, answer, clicks=clicks)
        runs.append(Run(structure.set_name, structure.name, method, dice, seconds))
    return runs


def prepare(model: str, threads: int) -> None:
    """Load the model of this process."""
    import torch

    from sam3dseg import load_segmenter

    torch.set_num_threads(threads)
    global _segmenter
    _segmenter = load_segmenter(model, device="cpu")


def measure_all(todo: Sequence[Structure], *, model: str, clicks: int, with_grow: bool, jobs: int) -> list[Run]:
    """All structures, `jobs` at a time, each process with its share of the cores; progress goes to stderr."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = int(os.environ.get("OMP_NUM_THREADS", max(1, cores // jobs)))
    prepare(model, threads)  # a model that cannot be loaded is reported from here, not from a broken pool
    runs: list[Run] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=prepare, initargs=(model, threads)) as pool:
        tasks = {pool.submit(measure, structure, clicks, with_grow): structure for structure in todo}
        for n, task in enumerate(as_completed(tasks), start=1):
            found, structure = task.result(), tasks[task]
            summary = ", ".join(f"{run.method} {run.dice[0]:.2f} → {run.dice[-1]:.2f}" for run in found)
            print(f"[{n}/{len(tasks)}] {structure.set_name} {structure.name}: {summary}", file=sys.stderr)
            runs += found
    return sorted(runs, key=lambda run: (SETS.index(run.set_name), run.structure, run.method))


def row(name: str, method: str, runs: Sequence[Run]) -> list[str]:
    """The cells of one table row."""
    clicks = len(runs[0].dice)
    cells = [name, method, str(len(runs))]
    cells += [f"{np.mean([run.dice[n - 1] for run in runs]):.3f}" if n <= clicks else "–" for n in MEASURED]
    for bar in (0.8, 0.9):
        needed = [clicks_to(run.dice, bar) for run in runs]
        reached = sum(n is not None for n in needed) / len(runs)
        cells.append(f"{np.mean([n or clicks for n in needed]):.1f} ({reached:.0%})")
    cells.append(f"{max(largest_drop(run.dice) for run in runs):.3f}")
    cells.append(f"{np.median([run.seconds for run in runs]):.2f}")
    return cells


def table(runs: Sequence[Run]) -> str:
    """Markdown: a row per set and method, and for all structures; last the mean of the sets' means."""
    methods = sorted({run.method for run in runs}, key=lambda method: method == "Grow from seeds")
    sets = [name for name in SETS if any(run.set_name == name for run in runs)]
    heads = ["set", "method", "structures", *(f"Dice@{n}" for n in MEASURED)]
    heads += ["NoC@80", "NoC@90", "largest drop", "s per click"]
    rows = []
    for name in sets:
        rows += [row(name, m, [r for r in runs if r.set_name == name and r.method == m]) for m in methods]
    if len(sets) > 1:
        rows += [row("all structures", m, [r for r in runs if r.method == m]) for m in methods]
        for method in methods:
            means = [
                np.mean([run.dice for run in runs if run.set_name == name and run.method == method], axis=0)
                for name in sets
            ]
            mean = np.mean(means, axis=0)
            cells = [f"{mean[n - 1]:.3f}" if n <= len(mean) else "–" for n in MEASURED]
            rows.append(["mean of sets", method, str(len(sets)), *cells, "", "", "", ""])
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Accuracy per click on real volumes, beside Slicer's Grow from seeds.")
    made.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with hippocampus, total_ct, flair_lesion")
    made.add_argument("--model", default="embedded", help="embedded, a name of the catalogue, or a weights file")
    made.add_argument("--checkpoint", help="a weights file; same as --model PATH")
    made.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    made.add_argument("--cases", type=int, default=40, help="cases of hippocampus")
    made.add_argument("--clicks", type=int, default=10)
    made.add_argument("--no-grow", action="store_true", help="leave Grow from seeds out")
    made.add_argument("--jobs", type=int, default=1, help="structures at a time, one process each")
    made.add_argument("--json", type=Path, help="also write every run to this file")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 2 with one readable line on bad input."""
    arguments = parser().parse_args(argv)
    model = arguments.checkpoint or arguments.model
    try:
        if min(arguments.clicks, arguments.jobs, arguments.cases) < 1:
            raise ValueError("--clicks, --jobs and --cases must be at least 1")
        todo = structures(arguments.data, arguments.sets, hippocampus_cases=arguments.cases)
        runs = measure_all(
            todo, model=model, clicks=arguments.clicks, with_grow=not arguments.no_grow, jobs=arguments.jobs
        )
    except (ValueError, OSError) as error:
        print(f"clicks.py: {error}", file=sys.stderr)
        return 2
    head = provenance("clicks")
    print(f"{in_words(head)}\nmodel: {model}, {arguments.clicks} clicks\n\n{table(runs)}")
    if arguments.json:
        write(arguments.json, {**head, "model": model, "runs": [asdict(run) for run in runs]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
