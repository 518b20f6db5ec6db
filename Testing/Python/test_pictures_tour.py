"""The bench on which the tutorial's pictures are taken: real views, framed and styled, with what the effect shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs Qt")

from slicer_host.editing import twoBlobs
from slicer_host.rendering import skipWithoutRendering

from sam3dseg.imageio import Image

PICTURES = Path(__file__).resolve().parents[1] / "Pictures"
BLOB, OTHER_BLOB = (14, 20, 18), (34, 24, 22)
BLUE = (np.array([0.30, 0.66, 0.95]) * 255).astype(int)


@pytest.fixture
def tour(segmenter, monkeypatch):
    skipWithoutRendering()
    monkeypatch.syspath_prepend(str(PICTURES))
    from tour import Tour

    array = (twoBlobs() / 200).astype(np.float32)
    image = Image(array, (1.0, 1.0, 1.0), np.eye(3), np.zeros(3), "blobs")
    tour = Tour(image, center_ras=BLOB, across_mm=40, across_3d_mm=40, load=lambda name, device: segmenter)
    yield tour
    tour.close()


def blue(picture) -> int:
    """Pixels of the first segment's contour."""
    return int((np.abs(np.asarray(picture).astype(int) - BLUE).max(axis=2) < 12).sum())


def test_four_views_show_the_segment_once_it_is_there(tour):
    before = tour.fourUp()
    tour.click(BLOB)
    tour.quiet()
    after = tour.fourUp()
    assert tour.mask()[BLOB]
    assert after.size == before.size == (2 * 520 + 2, 2 * 480 + 2)
    assert blue(before) == 0 < blue(tour.panel("red"))
    assert blue(after) > 2 * blue(tour.panel("red"))
    assert np.asarray(tour.panel("threeD")).std() > np.asarray(before.crop((522, 0, 1042, 480))).std()


def test_mouse_pointer_is_drawn_where_it_is_said_to_be(tour):
    plain, pointed = (np.asarray(tour.panel("threeD", mouse=mouse)).astype(int) for mouse in (None, (100, 300)))
    rows, columns = np.nonzero(np.abs(plain - pointed).any(axis=2))
    assert (rows.min(), columns.min()) == (20 + 459 - 300, 100)


def test_pixel_in_3d_shows_the_voxel_that_is_looked_for(tour):
    tour.click(BLOB)
    wrong = tour.mask()
    wrong[: BLOB[0] + 5] = False  # a press nearer to the first point would be that point's
    x, y = tour.pixelOnSurface(BLOB, wrong=wrong)
    tour.views.threeD.click((x, y), ctrl=True)
    tour.chain.settle()
    first, second = tour.chain.status().prompts
    assert first.isForeground and not second.isForeground
    assert wrong[tuple(np.round(second.ras).astype(int))]
    with pytest.raises(ValueError, match="nothing that is wrong can be seen"):
        tour.pixelOnSurface(BLOB, wrong=np.zeros_like(wrong))


def test_box_is_drawn_and_used(tour):
    corners = np.array([OTHER_BLOB, OTHER_BLOB]) + [[-8], [8]]
    tour.drawBox(corners.astype(float))
    drawn = np.array(tour.chain.controller._box.corners())
    assert np.allclose([drawn.min(axis=0), drawn.max(axis=0)], corners)


def test_options_panel_is_grabbed_with_its_text(tour):
    panel = tour.optionsPanel()
    assert panel.width >= 420 and np.asarray(panel).std() > 10
