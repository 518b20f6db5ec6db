"""What the page shows of a workspace."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("trame_slicer", reason="trame-slicer is not installed: it comes with the extra `viewer`")

import slicer  # noqa: E402
from trame.app import get_server  # noqa: E402

from sam3dseg_viewer.folders import Folders  # noqa: E402
from sam3dseg_viewer.page import Page  # noqa: E402
from sam3dseg_viewer.segments import SegmentRow  # noqa: E402
from sam3dseg_viewer.workspace import Status  # noqa: E402

ROW = SegmentRow("a", "liver", (1.0, 0.5, 0.0), True, 0)


@pytest.fixture
def bench(tmp_path, request):
    """A page of its own server, the workspace that it shows, and the 3D view's camera and how often it was reset."""
    resets, camera = [], [0.0]
    workspace = SimpleNamespace(
        volume=None,
        status=Status("Open an image."),
        segments=[],
        prompts=(),
        selected="",
        can_undo=False,
        can_redo=False,
        model="embedded",
    )
    position = {"offset": 0.0, "lowest": -1.0, "highest": 1.0, "step": 0.1, "text": "S 0.0 mm"}
    views = SimpleNamespace(
        scene=slicer.vtkMRMLScene(),
        position=lambda name: dict(position),
        camera_pose=lambda: tuple(camera),
        threed=SimpleNamespace(reset_view=lambda: (resets.append(1), camera.append(1.0))),
    )
    server = get_server(request.node.name, client_type="vue3")
    page = Page(server, workspace, views, folders=Folders([tmp_path]), models=["embedded"])

    def shown(**changes):
        vars(workspace).update(changes)
        page.refresh()
        return server.state

    return SimpleNamespace(page=page, shown=shown, resets=resets, camera=camera, state=server.state, position=position)


def test_without_an_image_it_says_what_to_do(bench):
    state = bench.shown()
    assert (state.image_name, state.segments, state.status, state.error) == ("", [], "Open an image.", "")
    assert not state.is_busy and not state.is_unsaved


def test_segments_are_listed_with_their_colour(bench):
    state = bench.shown(segments=[ROW], selected="a")
    assert state.segments == [{"id": "a", "name": "liver", "color": "#ff8000", "is_visible": True, "clicks": 0}]
    assert state.selected == "a"


def test_work_is_shown_with_its_progress(bench):
    state = bench.shown(status=Status("Segmenting…", True, 0.25))
    assert (state.is_busy, state.progress, state.status) == (True, 0.25, "Segmenting…")
    bench.page.note = "Opening a.nii…"
    state = bench.shown()
    assert (state.is_busy, state.progress, state.status) == (True, None, "Opening a.nii…")


def test_a_failure_of_the_model_can_be_retried_and_a_refused_command_cannot(bench):
    state = bench.shown(status=Status("", error="the model is missing"))
    assert (state.error, state.can_retry) == ("the model is missing", True)
    bench.page.error = "expected a number"
    state = bench.shown()
    assert (state.error, state.can_retry) == ("expected a number", False)


def test_what_is_not_in_a_file_is_known(bench):
    assert not bench.shown(segments=[ROW]).is_unsaved  # nothing is lost with an empty segment
    assert bench.shown(segments=[replace(ROW, clicks=1)]).is_unsaved
    bench.page.note_saved()
    assert not bench.shown().is_unsaved
    assert not bench.shown(segments=[replace(ROW, clicks=1, is_visible=False)]).is_unsaved
    assert bench.shown(segments=[replace(ROW, clicks=2)]).is_unsaved


def test_the_camera_follows_the_surfaces_until_it_is_moved(bench):
    bench.shown(segments=[ROW])
    assert not bench.state.has_surface and bench.resets == []
    bench.shown(segments=[replace(ROW, clicks=1)])
    bench.shown(status=Status("Segmenting…", True, 0.5))  # nothing new to see
    assert bench.state.has_surface and len(bench.resets) == 1
    bench.shown(segments=[replace(ROW, clicks=2), replace(ROW, id="b", clicks=1)])
    assert len(bench.resets) == 2
    bench.camera.append(7.0)
    bench.shown(segments=[replace(ROW, clicks=3)])
    assert len(bench.resets) == 2
    bench.shown(segments=[ROW])  # all undone: the next surface is a first one
    bench.shown(segments=[replace(ROW, clicks=1)])
    assert len(bench.resets) == 3


def test_only_slices_that_moved_are_sent_anew(bench):
    bench.position["offset"] = 5.0
    bench.page.show_positions(["green"])
    assert {name: position["offset"] for name, position in bench.state.positions.items()} == {
        "red": 0.0,
        "green": 5.0,
        "yellow": 0.0,
    }
