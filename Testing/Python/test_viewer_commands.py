"""What the page asks for: done, or refused in one line. Arguments come from a browser, and may be anything."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("trame_slicer", reason="trame-slicer is not installed: it comes with the extra `viewer`")

from sam3dseg_viewer.commands import Commands  # noqa: E402

MODELS = ("embedded", "medsam")
SEGMENTS = ("a", "b")


class State(SimpleNamespace):
    """The page's variables, as trame keeps them."""

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        return None


class Interactor:
    def __init__(self):
        self.observers = {}

    def AddObserver(self, event, action, priority):
        self.observers[event] = action
        return len(self.observers)


class View:
    """A view of 200 by 100 pixels."""

    def __init__(self):
        self._interactor, self.value, self.resets = Interactor(), 0.0, 0

    def interactor(self):
        return self._interactor

    def render_window(self):
        return SimpleNamespace(GetSize=lambda: (200, 100))

    def set_slice_value(self, value):
        self.value = value

    def reset_view(self):
        self.resets += 1


class Workspace:
    """Records what it is asked; segments are those of SEGMENTS."""

    def __init__(self):
        self.calls, self.problem, self.volume = [], None, None

    def __getattr__(self, name):
        def call(*values):
            if self.problem is not None:
                raise self.problem
            if name in ("select", "remove", "rename", "set_visible") and values[0] not in SEGMENTS:
                raise ValueError(f"expected one of the segments a, b, received {values[0]!r}")
            self.calls.append((name, *values))

        return call


class Bench:
    def __init__(self):
        self.state = State(sign="foreground", large="")
        self.workspace = Workspace()
        slices = {name: View() for name in ("red", "green", "yellow")}
        threed = View()
        self.themes = []
        self.views = SimpleNamespace(
            slices=slices,
            threed=threed,
            all={**slices, "3d": threed},
            paint=self.themes.append,
            position=lambda name: {"offset": slices[name].value, "lowest": -10.0, "highest": 10.0, "step": 2.0},
        )
        self.page = SimpleNamespace(error="", models=MODELS, refresh=lambda: None)
        self.triggers = {}
        server = SimpleNamespace(state=self.state, trigger=lambda name: lambda f: self.triggers.setdefault(name, f))
        ahead = SimpleNamespace(mouse_at=lambda ras: None, forget=lambda: None)
        self.commands = Commands(server, self.workspace, self.views, self.page, ahead=ahead)

    def ask(self, name, *values):
        """What the page then shows as an error."""
        self.triggers[name](*values)
        return self.page.error


@pytest.fixture
def bench():
    return Bench()


def test_a_click_has_the_sign_of_the_switch_and_a_modifier_the_other(bench):
    bench.commands.click((1, 2, 3), False)
    bench.commands.click((1, 2, 3), True)
    bench.ask("toggle_sign")
    bench.commands.click((1, 2, 3), False)
    bench.commands.click((1, 2, 3), True)
    assert [call[2] for call in bench.workspace.calls] == [True, False, False, True]


@pytest.mark.parametrize(
    ("name", "values", "call"),
    [
        ("undo", (), ("undo",)),
        ("redo", (), ("redo",)),
        ("cancel", (), ("cancel",)),
        ("retry", (), ("retry",)),
        ("add_segment", (), ("add_segment",)),
        ("next_segment", (), ("select_next",)),
        ("select_segment", ("b",), ("select", "b")),
        ("rename_segment", ("a", "liver"), ("rename", "a", "liver")),
        ("show_segment", ("a", False), ("set_visible", "a", False)),
        ("remove_segment", ("b",), ("remove", "b")),
        ("set_model", ("medsam",), ("set_model", "medsam")),
    ],
)
def test_what_the_page_asks_reaches_the_workspace(bench, name, values, call):
    assert bench.ask(name, *values) == ""
    assert bench.workspace.calls == [call]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("set_model", ("/etc/passwd",), "expected one of embedded, medsam, received '/etc/passwd'"),
        ("set_model", (None,), "expected one of embedded"),
        ("set_model", ([],), "expected one of embedded"),
        ("set_model", (), "missing 1 required"),
        ("undo", (1, 2), "positional argument"),
        ("select_segment", ("none",), "expected one of the segments a, b, received 'none'"),
        ("remove_segment", (7,), "expected one of the segments"),
        ("move_slice", ("red", "far"), "expected a number, received 'far'"),
        ("move_slice", ("red", float("nan")), "expected a number, received nan"),
        ("move_slice", ("3d", 1.0), "expected one of red, green, yellow, received '3d'"),
        ("move_slice", ({}, 1.0), "expected one of red, green, yellow"),
        ("step_slice", ("red", None), "expected a number, received None"),
        ("click_at", ("blue", 0.5, 0.5, False), "expected one of red, green, yellow, 3d, received 'blue'"),
        ("click_at", ("red", float("inf"), 0.5, False), "expected a number, received inf"),
        ("click_at", ("red", 0.5, 0.5, False), "expected a point on a slice or a surface"),
        ("fit_view", ("none",), "expected one of red"),
        ("enlarge", ("none",), "expected one of red"),
        ("set_theme", ("<b>",), "expected one of dark, light, received '<b>'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_changes_nothing(bench, name, values, message):
    error = bench.ask(name, *values)
    assert message in error and "\n" not in error
    assert bench.workspace.calls == [] and bench.state.large == "" and bench.themes == []
    assert all(view.value == 0.0 for view in bench.views.slices.values())


@pytest.mark.parametrize("problem", [ValueError("a,\n b"), OSError("a, b"), RuntimeError("a, b"), MemoryError("a, b")])
def test_what_goes_wrong_is_shown_until_something_works(bench, problem):
    bench.workspace.problem = problem
    assert bench.ask("undo") == "a, b"
    bench.workspace.problem = None
    assert bench.ask("undo") == ""


def test_an_error_of_a_click_is_shown_too(bench):
    bench.workspace.problem = ValueError("click inside the structure first")
    bench.commands.click((1, 2, 3), True)
    assert bench.page.error == "click inside the structure first"


def test_closing_forgets_the_failure_of_the_workspace_and_cancels_nothing_else(bench):
    bench.page.error = "expected a number"
    assert bench.ask("close_error") == "" and bench.workspace.calls == []
    assert bench.ask("close_error") == "" and bench.workspace.calls == [("cancel",)]


def test_slices_move_and_stop_at_the_end(bench):
    red = bench.views.slices["red"]
    bench.ask("move_slice", "red", 4)
    assert red.value == 4.0
    bench.ask("step_slice", "red", -1)
    assert red.value == 2.0
    bench.ask("step_slice", "red", 1000)
    assert red.value == 10.0
    assert bench.ask("step_slice", "3d", 1) == ""


def test_a_view_is_enlarged_and_put_back(bench):
    bench.ask("enlarge", "3d")
    assert bench.state.large == "3d"
    bench.ask("enlarge", "3d")
    assert bench.state.large == ""
