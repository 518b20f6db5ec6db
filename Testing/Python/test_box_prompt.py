"""The box: a markups ROI that the user draws, and its corners in world RAS."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PySide6")
slicer = pytest.importorskip("slicer")

from slicer_host.effect_bench import EffectBench  # noqa: E402
from slicer_host.scene import matrixOf  # noqa: E402


@pytest.fixture
def bench():
    bench = EffectBench(withViews=True)
    bench.activate()
    yield bench
    bench.close()
    assert bench.scene.errors == []


def roi(bench):
    return bench.controller._box.node


def test_two_clicks_draw_it_and_the_button_uses_it(bench):
    view = bench.views.red
    bench.options.boxButton.click()
    assert bench.options.boxButton.text == "Use box"
    assert not roi(bench).GetSaveWithScene()
    for ras in ((14.0, 14.0, 19.5), (28.0, 26.0, 19.5)):
        view.window.Render()
        view.click(view.xyOf(ras))
    assert bench.logic.asked == []  # the presses were the box's
    bench.options.boxButton.click()
    corners = np.array(bench.logic.last("addBox")[0])
    assert corners.shape == (8, 3)
    assert np.allclose(corners.min(axis=0)[:2], (14, 14), atol=0.5)
    assert np.allclose(corners.max(axis=0)[:2], (28, 26), atol=0.5)
    assert roi(bench) is None
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_corners_of_a_turned_box_are_its_own(bench):
    bench.options.boxButton.click()
    turn = np.eye(4)
    turn[:2, :2] = [[np.sqrt(0.5), -np.sqrt(0.5)], [np.sqrt(0.5), np.sqrt(0.5)]]
    node = roi(bench)
    node.SetSize(10, 20, 30)
    node.SetCenter(0, 0, 0)
    node.SetAndObserveTransformNodeID(bench.scene.addTransform(turn).GetID())
    corners = np.array(bench.controller._box.corners())
    expected = np.array([(x, y, z) for x in (-5, 5) for y in (-10, 10) for z in (-15, 15)]) @ turn[:3, :3].T
    assert np.allclose(corners, expected)
    assert matrixOf(turn) is not None


def test_not_drawn_yet(bench):
    bench.options.boxButton.click()
    bench.options.boxButton.click()
    assert "click two opposite corners" in bench.options.errorLabel.text
    assert bench.logic.asked == []
    assert roi(bench) is not None


def test_cross_takes_it_away(bench):
    bench.options.boxButton.click()
    bench.options.boxCancelButton.click()
    assert roi(bench) is None
    assert bench.scene.mrml.GetNumberOfNodesByClass("vtkMRMLMarkupsROIDisplayNode") == 0  # it would go on drawing
    assert bench.options.boxCancelButton.isHidden()
    bench.views.red.click((150, 150))
    assert [request for request, _ in bench.logic.asked] == ["addClick"]


def test_box_that_was_deleted_elsewhere_is_no_more(bench):
    bench.options.boxButton.click()
    bench.scene.mrml.RemoveNode(roi(bench))
    assert not bench.controller.isDrawingBox
    bench.options.boxButton.click()
    assert roi(bench) is not None
