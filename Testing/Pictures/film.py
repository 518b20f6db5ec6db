"""An animated picture of the axial view and the 3D view, with the mouse pointer that pictures of a page lack."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from viewer_page import ViewerPage

VIEWS = ("view-red", "view-3d")
POINTER = ((0, 0), (0, 19), (5, 15), (9, 22), (12, 20), (8, 14), (14, 13))  # x right, y down
RING_PX = 13
MARGIN = 0.18  # of the axial view's width that is left out at its left
MOVE_STEPS, MOVE_MS = 5, 70
TURN_STEPS, TURN_PX, TURN_MS = 16, 22, 110
QUALITY = 72
LARGEST = 2_000_000  # bytes


class Film:
    """Frames of the page, each with how long it is shown."""

    def __init__(self, page: ViewerPage) -> None:
        self._page = page
        boxes = [page.box(name) for name in VIEWS]
        self._left = boxes[0]["width"] * MARGIN
        left, top = boxes[0]["x"] + self._left, boxes[0]["y"]
        right = boxes[1]["x"] + boxes[1]["width"]
        self._clip = {"x": left, "y": top, "width": right - left, "height": boxes[0]["height"]}
        self._pointer = np.array((boxes[0]["width"] * 0.75, boxes[0]["height"] * 0.85))
        self._frames: list[Image.Image] = []
        self._durations_ms: list[int] = []

    def show(self, ms: int, *, is_pressed: bool = False) -> None:
        """One frame of what the views show now, with a ring about the pointer when it was pressed."""
        picture = Image.open(BytesIO(self._page.page.screenshot(clip=self._clip))).convert("RGB")
        self._add(picture, ms, is_pressed=is_pressed)

    def move_to(self, pixel: Sequence[float]) -> None:
        """Move the pointer over the axial view."""
        picture = Image.open(BytesIO(self._page.page.screenshot(clip=self._clip))).convert("RGB")
        start, end = self._pointer, np.asarray(pixel, dtype=float)
        for step in range(1, MOVE_STEPS + 1):
            self._pointer = start + (end - start) * step / MOVE_STEPS
            self._add(picture, MOVE_MS if step < MOVE_STEPS else 500)

    def turn(self) -> None:
        """Turn the 3D view by dragging in it, there and back."""
        box, mouse = self._page.box("view-3d"), self._page.page.mouse
        x, y = box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.85
        self._pointer = np.array((-100.0, -100.0))
        mouse.move(x, y)
        mouse.down()
        for step in [1] * TURN_STEPS + [-1] * TURN_STEPS:
            x += step * TURN_PX
            mouse.move(x, y)
            self._page.page.wait_for_timeout(150)
            self.show(TURN_MS)
        mouse.up()
        self._page.wait_until_idle()
        self.show(1500)

    def save(self, path: Path) -> None:
        """Write it as an animated WebP. Raises ValueError when it is too large for a repository."""
        first, *others = self._frames
        options = {"duration": self._durations_ms, "loop": 0, "quality": QUALITY, "method": 6, "minimize_size": True}
        first.save(path, save_all=True, append_images=others, **options)
        size = path.stat().st_size
        print(f"{path.name}: {len(self._frames)} frames, {first.width} x {first.height}, {size // 1024} KB", flush=True)
        if size > LARGEST:
            raise ValueError(f"expected at most {LARGEST} bytes, received {size}: take fewer frames")

    def _add(self, picture: Image.Image, ms: int, *, is_pressed: bool = False) -> None:
        picture = picture.copy()
        draw = ImageDraw.Draw(picture)
        x, y = self._pointer - (self._left, 0)
        if is_pressed:
            draw.ellipse((x - RING_PX, y - RING_PX, x + RING_PX, y + RING_PX), outline="white", width=2)
        draw.polygon([(x + a, y + b) for a, b in POINTER], fill="white", outline="black", width=2)
        self._frames.append(picture)
        self._durations_ms.append(ms)
