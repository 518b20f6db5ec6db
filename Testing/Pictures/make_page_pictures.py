"""Pictures of the browser page at work on the ICBM 152 template that `make demo` uses, by the viewer's own interpreter.

    .venv-viewer/bin/python Testing/Pictures/make_page_pictures.py [--out docs/tutorial/browser] [--index Resources]

The clicks are those of the simulated user on the right lateral ventricle, so other weights give other pictures: look at
them before they are committed.  Beside the tutorial's pictures this makes the screenshot for the Extensions Index.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "SAM3DSegment"))
sys.path.append(str(Path(__file__).resolve().parents[2] / "Viewer"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "Browser"))

from film import Film
from headless_chromium import headless_chromium
from PIL import Image
from playwright.sync_api import Error as BrowserError
from slice_projection import FittedVolume
from viewer_page import ViewerPage
from viewer_process import ViewerProcess

from sam3dseg.demo import STRUCTURE, dice, template
from sam3dseg.imageio import read_image, read_mask
from sam3dseg.prompts import Click
from sam3dseg.simulated_user import next_click
from sam3dseg_viewer.sample import write_sample

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "tutorial" / "browser"
INDEX = ROOT / "Resources"
WINDOW = {"width": 1280, "height": 720}
QUALITY = 88
CLICKS = 3
NAMED_FOLDER = """document.querySelectorAll("label[for=save-path]").forEach(label => {
  label.innerText = "File in /home/me/images"; })"""  # the temporary folder says nothing to a reader


class PagePictures:
    """Clicks along in one page, and saves what it shows."""

    def __init__(self, page: ViewerPage, out: Path, index: Path, image: Path) -> None:
        self.page, self.out, self.index, self.path = page, out, index, image
        self.image = read_image(image)
        self.reference = template(STRUCTURE)[1]
        self.film = Film(page)
        for folder in (out, index):
            folder.mkdir(parents=True, exist_ok=True)

    def make(self) -> None:
        clicks = self._clicks()
        for _ in clicks:
            self.page.press("undo")
        self._go_to(clicks[0].ijk)
        self.film.show(1200)
        self.film.move_to(self._pixel_of(clicks[0]))
        self._frame(clicks)
        for number, click in enumerate(clicks, 1):
            self._go_to(click.ijk)
            if number > 1:
                self.film.move_to(self._pixel_of(click))
                self._click(click)
            self.film.show(1600, is_pressed=True)
            if number == 1:
                self._save("first-click")
        self._save("corrected")
        self._shot().save(self.index / "screenshot-browser.png", optimize=True)
        self.film.turn()
        self.film.save(self.out / "three-clicks.webp")
        self._another_segment()
        self._dialogs()

    def _frame(self, clicks: Sequence[Click]) -> None:
        """Click them all, fit the 3D view to the surface that comes of it, and go back to the first."""
        for click in clicks:
            self._go_to(click.ijk)
            self._click(click)
        self.page.element("fit-3d").click()
        for _ in clicks[1:]:
            self.page.press("undo")

    def _clicks(self) -> list[Click]:
        """The simulated user's clicks, each after it saw the mask of those before."""
        made, mask = [], None
        for _ in range(CLICKS):
            click = next_click(self.reference, mask)
            if click is None:
                raise ValueError("the mask is perfect already: take fewer clicks")
            made.append(click)
            self._go_to(click.ijk)
            self._click(click)
            mask = read_mask(self.page.save("mask.nii.gz"), self.image)
            print(f"click {len(made)}: {click}, Dice {dice(mask, self.reference):.3f}", flush=True)
        return made

    def _click(self, click: Click) -> None:
        self.page.click_voxel("red", click.ijk, *(() if click.is_foreground else ("Control",)))

    def _pixel_of(self, click: Click) -> tuple[float, float]:
        box = self.page.box("view-red")
        return self.page.volume.pixel_of("red", click.ijk, (box["width"], box["height"]))

    def _go_to(self, ijk: Sequence[int]) -> None:
        """Take all slices through a voxel."""
        ras = self.image.ras_of(ijk)
        for view, axis, sign in (("red", 2, 1), ("yellow", 0, -1), ("green", 1, 1)):  # Slicer's sagittal looks left
            self.page.element(f"slice-{view}").evaluate(
                "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }",
                sign * float(ras[axis]),
            )
        self.page.page.wait_for_timeout(500)
        self.page.wait_until_idle()

    def _another_segment(self) -> None:
        """The same structure of the other side, in a segment of its own, and the page in the other theme."""
        mirrored = (self.image.shape[0] - 1 - next_click(self.reference).ijk[0], *next_click(self.reference).ijk[1:])
        self.page.press("segment-add")
        self._go_to(mirrored)
        self.page.click_voxel("red", mirrored)
        self.page.element("fit-3d").click()
        self.page.element("theme").click()
        self.page.page.wait_for_timeout(800)
        self.page.wait_until_idle()
        self._save("two-segments-light")
        self.page.element("theme").click()

    def _dialogs(self) -> None:
        for name in ("save", "help"):
            self.page.element(name).click()
            self.page.page.wait_for_timeout(300)
            self.page.page.evaluate(NAMED_FOLDER)
            self._shot(self.page.page.locator("dialog[open]")).save(
                self.out / f"{name}.webp", quality=QUALITY, method=6
            )
            self.page.page.keyboard.press("Escape")

    def _save(self, name: str) -> None:
        path = self.out / f"{name}.webp"
        self._shot().save(path, quality=QUALITY, method=6)
        print(f"{path.name}: {path.stat().st_size // 1024} KB", flush=True)

    def _shot(self, element: Any | None = None) -> Image.Image:
        return Image.open(BytesIO((element or self.page.page).screenshot())).convert("RGB")


def main(argv: Sequence[str] | None = None) -> int:
    """Make all pictures; 2 with one readable line where they cannot be made."""
    parser = argparse.ArgumentParser(description="Make the pictures of the browser page.")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the tutorial's pictures")
    parser.add_argument("--index", type=Path, default=INDEX, help="folder of the Extensions Index's screenshot")
    arguments = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as name, headless_chromium() as browser:
            path = Path(name) / "ICBM 152 T1.nii.gz"
            image = write_sample(path)
            volume = FittedVolume(image.shape, image.spacing_mm)
            viewer = ViewerProcess(Path(name) / "viewer.txt", [path])
            try:
                context = browser.new_context(viewport=WINDOW, color_scheme="dark")
                page = ViewerPage(context.new_page(), Path(name), volume=volume, errors=[])
                page.open(viewer.url)
                PagePictures(page, arguments.out, arguments.index, path).make()
            finally:
                viewer.stop()
    except (AssertionError, BrowserError, ImportError, RuntimeError, ValueError, OSError) as error:
        print(f"make_page_pictures.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
