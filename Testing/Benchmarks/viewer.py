"""From a press in the browser to the picture with the new mask: the speed of `sam3dseg view`, beside its bar.

    .venv-viewer/bin/python Testing/Benchmarks/viewer.py [--size 256] [--object 80] [--clicks 15] [--json OUT]

A ball in noise is clicked in the page's axial view, in headless Chromium on the same machine, and each click is undone
before the next.  The clock is the page's own: it starts with the pointer event, and stops when a picture is shown that
differs from the one before by more than the new point.  The first clicks, which load the model and encode the windows,
do not count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from durations import of_bar
from phantom import balls_in_noise
from provenance import in_words, provenance, write

REPOSITORY = Path(__file__).resolve().parents[2]
FRAMES = Path(__file__).with_name("viewer_frames.js")
sys.path.append(str(REPOSITORY / "Testing" / "Browser"))

BAR_MS = 400
WARM_UP = 3  # clicks that do not count
SPREAD = 0.1  # of the ball's diameter about its middle, where clicks are placed
WATCHED = ("view-red", "view-3d")
POINT_PX, MASK_PX = 12, 300  # radius of what a point covers; pixels that differ at least once the mask is shown
WINDOW = {"width": 1280, "height": 720}
ROWS = (
    ("frame", "press → first picture that differs", None),
    ("mask", "press → picture with the new mask", BAR_MS),
    ("surface", "press → picture with the new surface", None),
)


def measure(size: int, diameter: int, clicks: int) -> dict[str, Any]:
    """Milliseconds of every counted click."""
    from headless_chromium import headless_chromium
    from slice_projection import FittedVolume
    from viewer_page import ViewerPage
    from viewer_process import ViewerProcess

    volume = FittedVolume((size,) * 3, (1.0, 1.0, 1.0))
    with tempfile.TemporaryDirectory() as name, headless_chromium() as browser:
        folder = Path(name)
        viewer = ViewerProcess(folder / "viewer.txt", [write_volume(folder / "ball.nrrd", size, diameter)])
        try:
            page = ViewerPage(browser.new_page(viewport=WINDOW), folder, volume=volume, errors=[])
            page.page.add_init_script(path=FRAMES)
            page.open(viewer.url)
            rows = clicked(page, diameter, clicks)
        finally:
            viewer.stop()
    seen = [name for name, *_ in ROWS if all(name in row for row in rows)]
    found = {name: statistics.median(row[name] for row in rows) for name in seen}
    return {"ms": found, "clicks": rows}


def write_volume(path: Path, size: int, diameter: int) -> Path:
    """A ball in noise at 1 mm, axes along R, A and S."""
    import SimpleITK as sitk

    volume = balls_in_noise((size,) * 3, np.full((1, 3), size // 2), diameter / 2)
    image = sitk.GetImageFromArray(volume.T)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(path))
    return path


def clicked(page: Any, diameter: int, clicks: int) -> list[dict[str, float]]:
    """The counted clicks, each on an empty segment. Raises ValueError when one shows no mask."""
    box = page.box("view-red")
    middle = np.array((box["width"], box["height"])) / 2
    mm_per_pixel = page.volume.mm_per_pixel("red", (box["width"], box["height"]))
    rng, rows = np.random.default_rng(1), []
    for number in range(WARM_UP + clicks):
        pixel = middle + rng.uniform(-SPREAD, SPREAD, 2) * diameter / mm_per_pixel
        page.page.evaluate(f"sam3dsegFrames.watch({list(WATCHED)}, {WATCHED[0]!r}, {POINT_PX})")
        with page.answered():
            page.click_at("view-red", pixel.tolist())
        row = times(page.page.evaluate("sam3dsegFrames.taken()"))
        page.press("undo")
        if "mask" not in row:
            raise ValueError(f"click {number + 1} shows no mask: take another --object")
        if number >= WARM_UP:
            rows.append(row)
    return rows


def times(frames: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """Milliseconds until the first picture that differs, that with the mask, and that with the surface."""
    slices, surface = (frames[name] for name in WATCHED)
    found = {
        "frame": [frame["at"] for frame in slices if frame["all"]],
        "mask": [frame["at"] for frame in slices if frame["differs"] >= MASK_PX],
        "surface": [frame["at"] for frame in surface if frame["differs"] >= MASK_PX],
    }
    return {name: values[0] for name, values in found.items() if values}


def table(spent: Mapping[str, float]) -> str:
    """Markdown: a row per part, beside its bar."""
    lines = ["| part | median | bar | of the bar |", "|---|---|---|---|"]
    for name, title, bar in ROWS:
        if name in spent:
            limit = of_bar(spent[name], bar)
            lines.append(f"| {title} | {spent[name]:.0f} ms | {limit[0]} | {limit[1]} |")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description="Speed of the page, from a press to the picture.")
    made.add_argument("--size", type=int, default=256, help="voxels per side of the volume")
    made.add_argument("--object", type=int, default=80, help="voxels across the ball in it")
    made.add_argument("--clicks", type=int, default=15, help="timed clicks")
    made.add_argument("--json", type=Path, help="also write every click to this file")
    return made


def main(argv: Sequence[str] | None = None, measured: Callable[[int, int, int], dict[str, Any]] = measure) -> int:
    """Run the benchmark; 2 with one readable line where it cannot run. `measured` stands in for the page."""
    args = parser().parse_args(argv)
    head = provenance("viewer")
    try:
        if args.clicks < 1 or not 8 <= args.object <= args.size:
            raise ValueError("expected at least 1 click, and an object of 8 voxels or more, no larger than the volume")
        result = measured(args.size, args.object, args.clicks)
    except (ImportError, RuntimeError, ValueError) as error:
        print(f"viewer.py: {error}", file=sys.stderr)
        return 2
    print(f"{in_words(head)}\nvolume: {args.size}³ int16; {args.clicks} clicks\n\n{table(result['ms'])}")
    if args.json:
        write(args.json, {**head, "size": args.size, "bars_ms": {"mask": BAR_MS}, **result})
    return 0


if __name__ == "__main__":
    sys.exit(main())
