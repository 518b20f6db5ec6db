"""The viewer's page as its user sees it: what can be clicked, and what can be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slice_projection import FittedVolume

VIEWS = ("view-red", "view-green", "view-yellow", "view-3d")
READY_S, DONE_S = 60, 30
SETTLED_MS = 400  # without a new picture, the views are at rest
LAST_PICTURE = """window.lastPicture = 0;
new MutationObserver(() => { lastPicture = performance.now(); }).observe(
  document, { subtree: true, attributes: true, attributeFilter: ["src"] });"""
AT_REST = f"""() => document.querySelector("[data-testid=status]").dataset.busy === "false"
  && lastPicture && performance.now() - lastPicture > {SETTLED_MS}"""
DRAWN = "names => names.every(name => document.querySelector(`[data-testid=${name}] img`)?.naturalWidth)"
ROWS = """() => [...document.querySelectorAll("[data-testid^=segment-row-]")].map(row => [
  row.querySelector("[data-testid^=segment-name-]").value,
  Number(row.querySelector("[data-testid^=segment-clicks-]").innerText)])"""


class ViewerPage:
    """Drives one browser page; `folder` is where the viewer saves, `errors` what the browser's console reported,
    `volume` the one that is open.
    """

    def __init__(self, page: Any, folder: Path, *, volume: FittedVolume, errors: list[str]) -> None:
        self.page, self.folder, self.volume, self.errors = page, folder, volume, errors
        page.add_init_script(LAST_PICTURE)

    def open(self, url: str) -> None:
        """Go there, and wait until all views show something."""
        self.page.goto(url)
        self.wait_until_drawn()
        self.fit()

    def fit(self) -> None:
        """Show the whole volume in every view."""
        for view in VIEWS:
            self.element(view.replace("view-", "fit-")).click()
        self.page.wait_for_timeout(200)  # until the server has seen it
        self.wait_until_idle()

    def wait_until_drawn(self) -> None:
        self.page.wait_for_function(DRAWN, arg=list(VIEWS), timeout=1e3 * READY_S)
        self.wait_until_idle()

    def element(self, name: str) -> Any:
        """The element of this test id."""
        return self.page.get_by_test_id(name)

    # ---- what is clicked --------------------------------------------------------------------------------------------

    def click_voxel(self, view: str, ijk: Sequence[int], *modifiers: str) -> None:
        """Click the middle of a voxel in "red", "green" or "yellow", and wait for the answer."""
        with self.answered():
            self.press_voxel(view, ijk, *modifiers)

    def press_voxel(self, view: str, ijk: Sequence[int], *modifiers: str) -> None:
        """The same without waiting."""
        box = self.box(f"view-{view}")
        pixel = self.volume.pixel_of(view, ijk, (box["width"], box["height"]))
        self.click_at(f"view-{view}", pixel, *modifiers)

    def click_at(self, view: str, pixel: Sequence[float], *modifiers: str) -> None:
        """Click at pixels from a view's left upper corner, without waiting for an answer."""
        x, y = pixel
        self.element(view).click(position={"x": x, "y": y}, modifiers=list(modifiers), force=True)

    def press(self, name: str) -> None:
        """Press a button that changes segments or points, and wait until they are changed."""
        with self.answered():
            self.element(name).click()

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Wait, after what is done within, until segments or points are others and the views at rest."""
        before = self.segments
        yield
        until(lambda: self.segments != before, DONE_S, "segments or points to change")
        self.wait_until_idle()

    def save(self, name: str) -> Path:
        """Save under a name in the viewer's folder."""
        path = self.folder / name
        self.ask_to_save(name)
        until(lambda: not self.element("save-path").is_visible(), DONE_S, f"{name} to be saved")
        assert path.is_file(), f"{name} was not written"
        return path

    def ask_to_save(self, name: str) -> None:
        self.element("save").click()
        self.element("save-path").fill(name)
        self.element("save-confirm").click()

    def open_file(self, name: str) -> None:
        """Open a file of the viewer's folder."""
        self.ask_to_open(name)
        until(lambda: not self.element("open-path").is_visible(), DONE_S, f"{name} to be opened")
        self.wait_until_idle()

    def wait_for_segments(self, segments: list[tuple[str, int]]) -> None:
        """Until the list of segments is this."""
        until(lambda: self.segments == segments, DONE_S, f"the segments {segments}")
        self.wait_until_idle()

    def ask_to_open(self, name: str) -> None:
        self.element("open").click()
        self.element("open-path").fill(name)
        self.element("open-confirm").click()

    # ---- what is read -----------------------------------------------------------------------------------------------

    def box(self, name: str) -> dict[str, float]:
        """x, y, width and height of an element, in pixels of the page."""
        return self.element(name).bounding_box()

    def picture(self, name: str) -> NDArray[np.uint8]:
        """What an element looks like, (height, width, 3)."""
        from io import BytesIO

        from PIL import Image

        return np.asarray(Image.open(BytesIO(self.element(name).screenshot())).convert("RGB"))

    @property
    def status(self) -> str:
        return self.element("status").inner_text()

    @property
    def error(self) -> str:
        """The message that is shown, or nothing."""
        return self._shown_text(self.element("error"))

    @property
    def dialog_error(self) -> str:
        """The message in the dialog that is open, or nothing."""
        return self._shown_text(self.page.locator("dialog[open] .dialog-error"))

    @property
    def segments(self) -> list[tuple[str, int]]:
        """Name and number of points of every row in the list of segments."""
        return [(name, clicks) for name, clicks in self.page.evaluate(ROWS)]

    def _shown_text(self, element: Any) -> str:
        return " ".join(element.inner_text().split()) if element.is_visible() else ""

    def wait_until_idle(self) -> None:
        """Until nothing is computed any more, and the views are at rest."""
        self.page.wait_for_function(AT_REST, timeout=1e3 * DONE_S)


def until(condition: Callable[[], object], seconds: float, wanted: str) -> None:
    """Wait for a condition. Raises AssertionError that says for what."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {wanted}")
        time.sleep(0.05)
