"""Where a slice cuts, in words; and where an event of a page of any size lies in the view."""

from __future__ import annotations

import pytest

pytest.importorskip("trame_slicer", reason="trame-slicer is not installed: it comes with the extra `viewer`")

import numpy as np  # noqa: E402
import slicer  # noqa: E402
import vtk  # noqa: E402
from vtk.util.numpy_support import vtk_to_numpy  # noqa: E402

from sam3dseg_viewer.remote_area import USUAL_SCALE, scaled, screen_scale  # noqa: E402
from sam3dseg_viewer.views import side  # noqa: E402


@pytest.mark.parametrize(
    ("normal", "offset", "expected"),
    [
        ((0, 0, 1), 12.0, "S 12.0 mm"),
        ((0, 0, 1), -12.0, "I 12.0 mm"),
        ((0, 1, 0), 3.25, "A 3.2 mm"),
        ((0, -1, 0), 3.0, "P 3.0 mm"),
        ((-1, 0, 0), -4.0, "R 4.0 mm"),
        ((1, 0, 0), -4.0, "L 4.0 mm"),
        ((0.1, -0.2, 0.97), 5.0, "S 5.0 mm"),
    ],
)
def test_offsets_are_named_by_their_side(normal, offset, expected):
    assert side(normal, offset) == expected


@pytest.mark.parametrize(
    ("event", "size", "expected"),
    [
        ({"x": 50, "y": 25, "w": 100, "h": 50}, (200, 100), (100, 50)),
        ({"x": 50, "y": 25, "w": 100, "h": 50}, (100, 50), (50, 25)),
        ({"x": 50.9, "y": 25.9, "w": 100, "h": 50}, (100, 50), (50, 25)),
        ({"x": 30, "y": 40, "w": 300, "h": 50}, (100, 100), (10, 80)),
    ],
)
def test_events_are_scaled_from_the_page_that_sent_them(event, size, expected):
    placed = scaled({"type": "LeftButtonPress", **event}, size)
    assert (placed["x"], placed["y"]) == expected and (placed["w"], placed["h"]) == size
    assert placed["type"] == "LeftButtonPress"


@pytest.mark.parametrize("event", [{"type": "KeyPress"}, {"x": 1, "y": 1, "w": 0, "h": 0}])
def test_events_without_a_place_stay_as_they_are(event):
    assert scaled(dict(event), (10, 10)) == event


def test_points_grow_with_large_views_only():
    assert screen_scale(100) == screen_scale(400) == USUAL_SCALE
    assert screen_scale(900) > USUAL_SCALE
    assert screen_scale(1800) == pytest.approx(2 * screen_scale(900))


@pytest.fixture
def drawn():
    """Views on an image of one grey with an empty segment, off screen; skips the test without rendering."""
    from slicer_host.rendering import skipWithoutRendering

    skipWithoutRendering()
    import asyncio

    from trame.app import get_server
    from trame_slicer.core import SlicerApp

    from sam3dseg.imageio import Image
    from sam3dseg_viewer.views import Views
    from sam3dseg_viewer.workspace import Workspace

    asyncio.set_event_loop(asyncio.new_event_loop())
    app = SlicerApp()
    views = Views(app, get_server("views", client_type="vue3"))
    workspace = Workspace(app.scene, app.app_logic)
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None], (20, 20, 20))
    workspace.set_image(Image(ramp, (1.0, 1.0, 1.0), np.eye(3), np.zeros(3), "ramp"))
    views.show(workspace.volume)
    yield views, workspace
    workspace.close()


def test_segments_are_drawn_over_the_image_and_let_it_through(drawn):
    views, workspace = drawn
    fill(workspace)
    view = views.slices["red"]
    view.interactor().UpdateSize(100, 100)
    view.interactor().InvokeEvent("WindowResizeEvent")
    view.reset_view()
    view.render_window().Render()
    values = vtk.vtkUnsignedCharArray()
    view.render_window().GetPixelData(0, 0, 99, 99, 0, values, 0)
    red = vtk_to_numpy(values).reshape(100, 100, 3)[50, :, 0].astype(int)
    inside = red[20:80]
    assert np.ptp(inside) > 40, "the image is not seen through the segment"


def fill(workspace):
    """Let the selected segment be the whole image."""
    port = workspace._target().port
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(port.geometry())
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(1)
    port.apply(image, "add")
