"""What can be asked for in the page, each a trigger of its name. What goes wrong is told in one line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .ahead import Ahead
from .display import set_contrast
from .messages import EXPECTED_ERRORS, one_line
from .page import Page
from .picking import Picking
from .views import NAMES, SLICES, Views
from .workspace import Workspace

SIGNS = ("foreground", "background")


class Commands:
    """Does what the page asks for. Arguments come from a browser: each is checked where it is used."""

    def __init__(self, server: Any, workspace: Workspace, views: Views, page: Page, *, ahead: Ahead) -> None:
        self._state, self._workspace, self._views = server.state, workspace, views
        self._page, self._ahead = page, ahead
        self._picking = Picking(views, self.click, ahead.mouse_at, volume=lambda: workspace.volume)
        for name in (
            "toggle_sign", "undo", "redo", "cancel", "retry", "close_error", "set_model", "set_contrast", "set_theme",
            "add_segment", "next_segment", "select_segment", "rename_segment", "show_segment", "remove_segment",
            "move_slice", "step_slice", "click_at", "fit_view", "enlarge",
        ):  # fmt: skip
            server.trigger(name)(self._told(getattr(self, name)))

    # Points

    def click(self, ras: Any, is_other_sign: bool) -> None:
        """A point where the mouse was pressed."""
        self._do(lambda: self._click(ras, is_other_sign))

    def click_at(self, view: str, x: float, y: float, is_other_sign: bool) -> None:
        """A point at a fraction of a view's width and height, from its lower left corner."""
        width, height = self._views.all[_one_of(view, NAMES)].render_window().GetSize()
        ras = self._picking.at(view, (_number(x) * width, _number(y) * height))
        if ras is None:
            raise ValueError("expected a point on a slice or a surface, received one beside them: move the cursor")
        self._click(ras, bool(is_other_sign))

    def _click(self, ras: Any, is_other_sign: bool) -> None:
        self._workspace.click(ras, (self._state.sign == SIGNS[0]) is not is_other_sign)

    def toggle_sign(self) -> None:
        self._state.sign = SIGNS[self._state.sign == SIGNS[0]]

    def undo(self) -> None:
        self._workspace.undo()

    def redo(self) -> None:
        self._workspace.redo()

    def cancel(self) -> None:
        self._workspace.cancel()

    def retry(self) -> None:
        self._workspace.retry()

    def close_error(self) -> None:
        if not self._page.error:
            self._workspace.cancel()  # which forgets the last failure

    def set_model(self, name: str) -> None:
        self._workspace.set_model(_one_of(name, self._page.models))
        self._ahead.forget()

    # Segments

    def add_segment(self) -> None:
        self._workspace.add_segment()

    def next_segment(self) -> None:
        self._workspace.select_next()

    def select_segment(self, segment_id: str) -> None:
        self._workspace.select(segment_id)

    def rename_segment(self, segment_id: str, name: str) -> None:
        self._workspace.rename(segment_id, str(name))

    def show_segment(self, segment_id: str, is_visible: bool) -> None:
        self._workspace.set_visible(segment_id, bool(is_visible))

    def remove_segment(self, segment_id: str) -> None:
        self._workspace.remove(segment_id)

    # Views

    def move_slice(self, view: str, offset: float) -> None:
        self._views.slices[_one_of(view, SLICES)].set_slice_value(_number(offset))

    def step_slice(self, view: str, steps: int) -> None:
        if view in SLICES:
            now = self._views.position(view)
            offset = now["offset"] + _number(steps) * now["step"]
            self.move_slice(view, min(now["highest"], max(now["lowest"], offset)))

    def fit_view(self, view: str) -> None:
        self._views.all[_one_of(view, NAMES)].reset_view()

    def enlarge(self, view: str) -> None:
        self._state.large = "" if self._state.large == view else _one_of(view, NAMES)

    def set_contrast(self, name: str) -> None:
        if self._workspace.volume is not None:
            set_contrast(self._workspace.volume, name)
            self._state.contrast = name

    def set_theme(self, theme: str) -> None:
        self._views.paint(_one_of(theme, ("dark", "light")))

    def _told(self, command: Callable[..., None]) -> Callable[..., None]:
        """A command whose errors appear in the page."""
        return lambda *values: self._do(lambda: command(*values))

    def _do(self, work: Callable[[], None]) -> None:
        error = ""
        with self._state:  # sent at once: the mouse's events come without trame's own flush
            try:
                work()
            except (*EXPECTED_ERRORS, TypeError) as problem:
                error = one_line(problem)
            self._page.error = error
            self._page.refresh()


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"expected a number, received {value!r}")
    return float(value)


def _one_of(value: Any, allowed: Any) -> Any:
    if value not in tuple(allowed):
        raise ValueError(f"expected one of {', '.join(map(str, allowed))}, received {value!r}")
    return value
