"""The tutorial's pictures: the effect at work in Slicer's own views, on the ICBM 152 template that `make demo` uses.

    python Testing/Pictures/make_pictures.py [--out docs/tutorial/pictures] [--index Resources]

The clicks are those of the simulated user on the right lateral ventricle, so other weights give other pictures: look at
them before they are committed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "SAM3DSegment"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "Python"))
os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["QT_SCALE_FACTOR"] = "1.5"  # of the options panel

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tour import Tour, below, beside, captioned

from sam3dseg.demo import STRUCTURE, template
from sam3dseg.simulated_user import next_click

ROOT = Path(__file__).resolve().parents[2]
OUT, INDEX = ROOT / "docs" / "tutorial" / "pictures", ROOT / "Resources"
CLICKS = 6
ACROSS_MM, ACROSS_3D_MM = 130, 80
BOX_RAS = ((-18, -40, -54), (18, -14, -12))  # about the pons
DRAGGED_MM = (-1.0, 8.0, 0.0)
QUALITY = 88
STEPS_SHOWN, STEP_PX = 4, 300


class Pictures:
    """Takes the steps of the tutorial one after the other, and saves what the views show."""

    def __init__(self, out: Path, index: Path) -> None:
        self.out, self.index = out, index
        for folder in (out, index):
            folder.mkdir(parents=True, exist_ok=True)
        self.image, self.reference = template(STRUCTURE)
        middle = self.image.ras_of(np.argwhere(self.reference).mean(axis=0))
        self.tour = Tour(self.image, center_ras=middle, across_mm=ACROSS_MM, across_3d_mm=ACROSS_3D_MM)

    def make(self) -> None:
        tour = self.tour
        tour.goTo(self._nextPoint()[0])
        self._save("before", tour.fourUp())
        self._clicks()
        self._history()
        self._options()
        self._box()
        tour.close()

    def _nextPoint(self) -> tuple[NDArray[np.float64], bool]:
        click = next_click(self.reference, self.tour.mask())
        if click is None:
            raise ValueError("the mask is perfect already: take fewer clicks")
        return self.image.ras_of(np.array(click.ijk)), click.is_foreground

    def _clicks(self) -> None:
        """The first click, then corrections: with what they added, with what they removed, and all of them."""
        wanted = {True: "added", False: "removed"}
        for number in range(1, CLICKS + 1):
            ras, isForeground = self._nextPoint()
            if not isForeground and "removed" in wanted.values():
                self._clickIn3D(ras)
            self.tour.click(ras, isForeground=isForeground)
            if number > 1 and isForeground in wanted:
                self._save(wanted.pop(isForeground), self.tour.fourUp())
            self.tour.quiet()
            if number == 2:
                self._drag()
            if number == 1:
                self._save("first-click", self.tour.fourUp(mouseAt=ras))
        if wanted:
            raise ValueError(f"no click of {CLICKS} showed what it {' or '.join(wanted.values())}: take more")
        self.tour.goTo(self.image.ras_of(np.array(next_click(self.reference).ijk)))
        picture = self.tour.fourUp()
        self._save("corrected", picture)
        picture.save(self.index / "screenshot-effect.png", optimize=True)

    def _clickIn3D(self, ras: Sequence[float]) -> None:
        """The same correction made on the surface, and taken back."""
        tour = self.tour
        pixel = tour.pixelOnSurface(ras, wrong=tour.mask() & ~self.reference)
        before = tour.panel("threeD", mouse=pixel)
        tour.views.threeD.click(pixel, ctrl=True)
        tour.chain.settle()
        during = tour.panel("threeD")
        tour.quiet()
        after = tour.panel("threeD")
        self._save("click-in-3d", captioned([before, during, after], ["Ctrl + click here", "removed", "the mask now"]))
        tour.chain.undo()
        tour.quiet()

    def _history(self) -> None:
        """The first steps, as the slider brings them back."""
        tour = self.tour
        columns, names = [], []
        for position in range(1, STEPS_SHOWN + 1):
            self._show(position)
            columns.append(below([_scaled(tour.panel(name), STEP_PX) for name in ("red", "threeD")]))
            names.append(f"step {position}")
        self._save("history", captioned(columns, names))
        self._show(CLICKS)

    def _drag(self) -> None:
        """The second point moved within its slice, and taken back."""
        tour, red = self.tour, self.tour.views.red
        start = np.array(tour.chain.status().prompts[1].ras)
        end = start + DRAGGED_MM
        before = tour.panel("red", mouse=red.xyOf(start))
        red.drag(red.xyOf(start), red.xyOf(end))
        tour.chain.settle()
        after = tour.panel("red", mouse=red.xyOf(end))
        self._save("drag", captioned([before, after], ["press on a point …", "… and let go: the mask follows"]))
        tour.chain.undo()
        tour.quiet()

    def _show(self, position: int) -> None:
        """What the slider does."""
        self.tour.chain.controller.showStep(position)
        self.tour.chain.settle()
        self.tour.quiet()

    def _options(self) -> None:
        self._save("options", self.tour.optionsPanel(), quality=95)

    def _box(self) -> None:
        """A box, in a second segment."""
        tour = self.tour
        tour.chain.editor.selectSegment("Segment_2")
        corners = np.array(BOX_RAS, dtype=float)
        tour.goTo(corners.mean(axis=0), centred=True)
        tour.drawBox(corners)
        drawn = beside([tour.panel("red"), tour.panel("yellow")])
        tour.chain.controller.onBoxButton()
        tour.chain.settle()
        tour.quiet()
        self._save("box", below([drawn, beside([tour.panel("red"), tour.panel("yellow")])]))

    def _save(self, name: str, picture: Image.Image, *, quality: int = QUALITY) -> None:
        path = self.out / f"{name}.webp"
        picture.save(path, quality=quality, method=6)
        print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size // 1024} KB", flush=True)


def _scaled(picture: Image.Image, width: int) -> Image.Image:
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)


def main(argv: Sequence[str] | None = None) -> int:
    """Make all pictures; 2 with one readable line where they cannot be made."""
    parser = argparse.ArgumentParser(description="Make the pictures of the tutorial.")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the tutorial's pictures")
    parser.add_argument("--index", type=Path, default=INDEX, help="folder of the Extensions Index's screenshot")
    arguments = parser.parse_args(argv)
    try:
        from slicer_host.rendering import renderingBackend

        renderingBackend()
        Pictures(arguments.out, arguments.index).make()
    except (ImportError, RuntimeError, ValueError, OSError) as error:
        print(f"make_pictures.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
