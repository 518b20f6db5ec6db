"""A view's area in the page: pictures go there, mouse and key events come back."""

from __future__ import annotations

from typing import Any

from trame_rca.view_adapter import RcaViewAdapter

MAX_PIXELS = 2_000_000  # of one picture; a larger area shows it enlarged
USUAL_SCALE, USUAL_HEIGHT = 0.2, 450  # Slicer's; and the pixels above which points grow with the height of the view


class RemoteArea(RcaViewAdapter):
    """Events are scaled from the area of the page that sent them: pages of several sizes may show one view."""

    def __init__(self, window: Any, name: str, *, scheduler: Any, view: Any) -> None:
        super().__init__(window, name, scheduler=scheduler, do_schedule_render_on_interaction=False)
        self._view = view
        self.max_pixel_count = MAX_PIXELS

    def update_size(self, origin: str, size: dict[str, Any]) -> None:
        super().update_size(origin, size)
        self._view.get_view_node().SetScreenScaleFactor(screen_scale(self.image_size[1]))

    def _scale_event(self, event: dict[str, Any]) -> dict[str, Any]:
        return scaled(event, self._view.render_window().GetSize())


def screen_scale(height: int) -> float:
    """What a view node of this height (pixels) takes to draw points of a size that can be seen."""
    return USUAL_SCALE * max(1.0, height / USUAL_HEIGHT)


def scaled(event: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """The event with its position in pixels of a window of this (width, height)."""
    if not (event.get("w") and event.get("h")) or "x" not in event:
        return event
    width, height = size
    x, y = event["x"] * width / event["w"], event["y"] * height / event["h"]
    return {**event, "x": int(x), "y": int(y), "w": width, "h": height}
