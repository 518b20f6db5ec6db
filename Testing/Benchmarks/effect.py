"""From a mouse press to the updated segment and surface: the speed of the Segment Editor effect, beside its bars.

    python Testing/Benchmarks/effect.py [--size 256] [--object 80] [--clicks 15] [--activations 5] [--json OUT]

A ball in noise is clicked in a slice view with the surface shown, through Slicer's own segment editor (slicer-core) and
off-screen views; Qt is PySide6. Only clicks whose window was encoded before count. The surface is timed apart, by
making it once more after each click. Activation is timed in processes of their own that have not loaded PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from durations import of_bar
from phantom import balls_in_noise
from provenance import in_words, provenance, write

REPOSITORY = Path(__file__).resolve().parents[2]
for folder in (REPOSITORY / "SAM3DSegment", REPOSITORY / "Testing" / "Python"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

SURFACE = "Closed surface"
TRIES = 4  # clicks placed at most, per click wanted
# Parts of a click, in ms, and the most that each may take; the indented ones are within the one above.
ROWS = (
    ("total", "mouse press → segment and surface", 250),
    ("engine", "– model, on its own thread", None),
    ("write_and_surface", "– MRML write and surface", 100),
    ("write", "– – MRML write, with masks and overwriting", None),
    ("surface", "– – closed surface", None),
    ("main", "– main thread, all but the surface", 50),
    ("press", "– – press: what is asked", None),
    ("undo", "– – undo state", None),
    ("tag", "– – prompts kept in the segment", None),
    ("change", "– – change display", None),
    ("refresh", "– – points and options", None),
    ("activation", "activation, without PyTorch loaded", 100),
)
Row = tuple[dict[str, float], dict[str, float]]  # ms of a click's parts: on the clock, at work on the main thread


class Stopwatch:
    """Milliseconds since `clear` in watched calls: `spent` on the clock, `busy` at work in the calling thread."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.busy: dict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Time a block."""
        start, start_busy = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self.spent[name] += 1e3 * (time.perf_counter() - start)
            self.busy[name] += 1e3 * (time.thread_time() - start_busy)

    def watch(self, name: str, owner: Any, method: str) -> None:
        """Replace a method of an object or class by one that is timed."""
        call = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.on(name):
                return call(*arguments, **options)

        setattr(owner, method, timed)

    def clear(self) -> None:
        self.spent.clear()
        self.busy.clear()


def measure_clicks(
    size: int, diameter: int, clicks: int, *, load: Callable[[str, str], Any] | None = None
) -> dict[str, Any]:
    """Medians in ms of the parts of a click, and the size of the segment; `load` stands in for the model."""
    from slicer_host.effect_chain import EffectChain

    center = (size // 2,) * 3
    chain = EffectChain(load, volume_ijk=balls_in_noise((size,) * 3, np.array([center]), diameter / 2))
    try:
        chain.segmentation.CreateClosedSurfaceRepresentation()
        chain.press(center)  # loads the model and encodes the window
        watch = watched(chain)
        rng = np.random.default_rng(1)
        rows: list[Row] = []
        for number in range(TRIES * clicks):
            inside = number % 2 == 0
            direction = rng.normal(size=3)
            distance = diameter * (0.4 if inside else 0.6)
            ijk = np.round(center + distance * direction / np.linalg.norm(direction)).astype(int)
            row = click(chain, watch, ijk.tolist(), is_foreground=inside)
            if row is not None:
                rows.append(row)
            if len(rows) == clicks:
                break
        else:
            raise ValueError(f"only {len(rows)} of {clicks} clicks needed no encoding: take a smaller --object")
        mask = chain.mask()
        extent = [int(np.ptp(where)) + 1 for where in np.nonzero(mask)] if mask.any() else [0, 0, 0]
        spent, busy = ({name: statistics.median(row[n][name] for row in rows) for name in rows[0][n]} for n in (0, 1))
        del busy["engine"]  # PyTorch's own threads do the work
        return {"ms": spent, "busy_ms": busy, "clicks": rows, "voxels": int(mask.sum()), "extent": extent}
    finally:
        chain.close()


def watched(chain: Any) -> Stopwatch:
    """A stopwatch on the parts of a click."""
    watch = Stopwatch()
    logic, controller = chain.logic, chain.controller
    ports = importlib.import_module("SAM3DSegmentLib.Editor.EditPorts")
    watch.watch("engine", logic._engine, "run")
    watch.watch("answer", logic._runner, "_onAnswer")
    watch.watch("undo", ports.EffectPort, "saveUndo")
    watch.watch("apply", ports.EffectPort, "apply")
    watch.watch("tag", logic._store, "write")
    watch.watch("change", controller._changes, "flash")
    watch.watch("refresh", controller, "refresh")
    return watch


def click(chain: Any, watch: Stopwatch, ijk: Sequence[int], *, is_foreground: bool) -> Row | None:
    """One click: its parts in ms, on the clock and at work; None if it changed nothing or needed an encoding."""
    view, ras = chain.views.red, chain.ras(ijk)
    view.node.JumpSlice(*ras)
    view.move(view.xyOf(ras))
    chain.host.run(0.02)
    watch.clear()
    with watch.on("total"):
        with watch.on("press"):
            view.press(view.xyOf(ras), ctrl=not is_foreground)
        await_events(chain)
    view.release(view.xyOf(ras), ctrl=not is_foreground)
    chain.settle()
    if chain.status().timing.encodes or "apply" not in watch.spent:
        return None
    with watch.on("surface"):  # of the only segment that holds anything
        chain.segmentation.GetSegmentation().CreateRepresentation(SURFACE, True)
    return parts(watch.spent), parts(watch.busy)


def parts(times: dict[str, float]) -> dict[str, float]:
    """The rows of the table from what was watched, all in ms."""
    found = {name: times.get(name, 0.0) for name, *_ in ROWS if name != "activation"}
    found["write_and_surface"] = times["apply"]
    found["write"] = max(0.0, times["apply"] - times["surface"])
    found["main"] = max(0.0, times["press"] + times["answer"] - times["surface"])
    return found


def await_events(chain: Any) -> None:
    """Run the event loop as an application does, asleep until something happens, until the click is answered."""
    from PySide6.QtCore import QEventLoop

    waiting = QEventLoop.ProcessEventsFlag.AllEvents | QEventLoop.ProcessEventsFlag.WaitForMoreEvents
    while chain.logic.isBusy:
        chain.host.application.processEvents(waiting)


def activate_once() -> float:
    """Milliseconds of the first activation in this process. Raises ValueError when it loads PyTorch."""
    from slicer_host.effect_bench import EffectBench

    bench = EffectBench(withViews=True)
    bench.controller._makeLogic = importlib.import_module("SAM3DSegmentLib.Editor.EditorLogic").sharedLogic
    start = time.perf_counter()
    bench.activate()
    spent = 1e3 * (time.perf_counter() - start)
    loaded = "torch" in sys.modules
    bench.close()
    if loaded:
        raise ValueError("expected an activation without PyTorch, but something loaded it")
    return spent


def measure_activation(times: int) -> list[float]:
    """Milliseconds of first activations, each in a fresh process."""
    found = []
    for _ in range(times):
        command = [sys.executable, __file__, "--activate-once"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(float(done.stdout.splitlines()[-1]))
    return found


def table(spent: dict[str, float], busy: dict[str, float]) -> str:
    """Markdown: a row per part, beside its bar and what it takes of the main thread's processor time."""
    lines = ["| part | median | bar | of the bar | main thread at work |", "|---|---|---|---|---|"]
    for name, title, bar in ROWS:
        limit = of_bar(spent[name], bar)
        work = f"{busy[name]:.1f} ms" if name in busy else ""
        lines.append(f"| {title} | {spent[name]:.1f} ms | {limit[0]} | {limit[1]} | {work} |")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Speed of the Segment Editor effect, from a mouse press on.")
    made.add_argument("--size", type=int, default=256, help="voxels per side of the volume")
    made.add_argument("--object", type=int, default=80, help="voxels across the ball in it")
    made.add_argument("--clicks", type=int, default=15, help="timed clicks")
    made.add_argument("--activations", type=int, default=5, help="timed activations, one process each")
    made.add_argument("--json", type=Path, help="also write every click to this file")
    made.add_argument("--activate-once", action="store_true", help=argparse.SUPPRESS)
    return made


def main(argv: Sequence[str] | None = None, *, load: Callable[[str, str], Any] | None = None) -> int:
    """Run the benchmark; 2 with one readable line where it cannot run. `load` stands in for the model."""
    arguments = parser().parse_args(argv)
    try:
        if min(arguments.clicks, arguments.activations, arguments.object) < 1 or arguments.size < arguments.object:
            raise ValueError("expected at least 1 click, activation and voxel, and an object no larger than the volume")
        from slicer_host.rendering import renderingBackend

        backend = renderingBackend()
        if arguments.activate_once:
            print(activate_once())
            return 0
        activations = measure_activation(arguments.activations)
        result = measure_clicks(arguments.size, arguments.object, arguments.clicks, load=load)
    except (ImportError, RuntimeError, ValueError) as error:
        print(f"effect.py: {error}", file=sys.stderr)
        return 2
    result["ms"]["activation"] = statistics.median(activations)
    head = provenance("effect")
    extent = " × ".join(map(str, result["extent"]))
    print(f"{in_words(head)}; views: {backend}")
    print(f"volume: {arguments.size}³ int16; segment: {extent} voxels; {arguments.clicks} clicks\n")
    print(table(result["ms"], result["busy_ms"]))
    if arguments.json:
        bars = {name: bar for name, _, bar in ROWS if bar is not None}
        size = {"size": arguments.size, "views": backend}
        write(arguments.json, {**head, **size, "bars_ms": bars, "activations": activations, **result})
    return 0


if __name__ == "__main__":
    sys.exit(main())
