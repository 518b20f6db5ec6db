"""Mouse and keys in off-screen views: which presses are prompts, and what stays Slicer's own."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from slicer_host.effect_bench import EffectBench  # noqa: E402


@pytest.fixture(scope="module")
def shared():
    bench = EffectBench(withViews=True)
    yield bench
    bench.close()


@pytest.fixture
def bench(shared):
    shared.logic.asked.clear()
    shared.editor.passed.clear()
    shared.logic.status = shared.data.Status()
    shared.logic.refuse = ""
    shared.controller.parameters.set("Sign", "foreground")
    shared.activate()
    yield shared
    shared.deactivate()
    assert shared.scene.errors == []
    assert shared.scripted.warnings == []


def clicks(bench):
    return [arguments for request, arguments in bench.logic.asked if request == "addClick"]


@pytest.mark.parametrize(
    ("keys", "isForeground"),
    [({}, True), ({"ctrl": True}, False), ({"shift": True}, False)],
    ids=["plain", "ctrl", "shift"],
)
def test_left_press_in_a_slice_is_a_prompt(bench, keys, isForeground):
    for view in bench.views.slices:
        ras = (18.0, 23.0, 16.0)
        view.node.JumpSlice(*ras)
        view.click(view.xyOf(ras), **keys)
        (found, sign) = clicks(bench)[-1]
        assert np.linalg.norm(np.subtract(found, ras)) < 0.2
        assert sign is isForeground
    assert len(clicks(bench)) == 3
    assert "LeftButtonPressEvent" not in bench.editor.passed


def test_the_sign_button_turns_clicks_and_modifiers_around(bench):
    bench.options.outsideButton.click()
    bench.views.red.click((150, 150))
    bench.views.red.click((150, 150), ctrl=True)
    assert [sign for _, sign in clicks(bench)] == [False, True]


def test_the_target_is_what_the_editor_edits(bench):
    bench.views.red.click((150, 150))
    target = bench.logic.targets[-1]
    assert (target.volumeNode, target.segmentationNode) == (bench.volume, bench.segmentation)
    assert target.segmentId == target.port.segmentId == "Segment_1"


def test_everything_native_is_passed_on(bench):
    view = bench.views.red
    for button in ("Middle", "Right"):
        view.drag((150, 150), (170, 150), button=button)
    view.wheel((150, 150))
    view.move((100, 100))
    view.key("r", (150, 150))
    assert clicks(bench) == []
    assert {"MiddleButtonPressEvent", "RightButtonPressEvent", "MouseWheelForwardEvent", "KeyPressEvent"} <= set(
        bench.editor.passed
    )


def test_scrolling_and_zooming_still_work(bench):
    view = bench.views.red
    offset, field = view.node.GetSliceOffset(), view.node.GetFieldOfView()[0]
    view.wheel((150, 150))
    assert view.node.GetSliceOffset() != offset
    view.drag((150, 150), (150, 200), button="Right")
    assert view.node.GetFieldOfView()[0] != field
    bench.views.show(bench.volume)


def test_press_on_a_prompt_is_left_to_markups_and_drags_it(bench):
    view, ras = bench.views.red, (22.0, 20.0, 19.5)
    view.node.JumpSlice(*ras)
    bench.logic.status = bench.data.Status(prompts=(bench.data.Prompt(ras, True),))
    bench.controller.refresh()
    view.window.Render()
    start = np.array(view.xyOf(ras))
    view.drag(start, start + (40, 0))
    assert clicks(bench) == []
    index, moved = bench.logic.last("movePrompt")
    assert index == 0
    assert np.linalg.norm(np.subtract(moved, ras)) > 3
    assert np.isclose(moved[2], ras[2], atol=0.1)


@pytest.mark.parametrize("keys", [{"ctrl": True}, {"shift": True}])
def test_modified_press_on_a_prompt_flips_it(bench, keys):
    view, ras = bench.views.red, (22.0, 20.0, 19.5)
    view.node.JumpSlice(*ras)
    bench.logic.status = bench.data.Status(
        prompts=(bench.data.Prompt((1.0, 1.0, 1.0), True), bench.data.Prompt(ras, True))
    )
    bench.controller.refresh()
    view.click(view.xyOf(ras), **keys)
    assert bench.logic.asked == [("flipPrompt", (1,))]


def test_delete_key_on_a_prompt(bench):
    view, ras = bench.views.red, (22.0, 20.0, 19.5)
    view.node.JumpSlice(*ras)
    bench.logic.status = bench.data.Status(prompts=(bench.data.Prompt(ras, True),))
    bench.controller.refresh()
    view.window.Render()
    view.move(view.xyOf(ras))
    view.key("Delete", view.xyOf(ras))
    assert bench.logic.asked == [("deletePrompt", (0,))]


def test_a_change_that_is_refused_goes_back(bench):
    view, ras = bench.views.red, (22.0, 20.0, 19.5)
    view.node.JumpSlice(*ras)
    bench.logic.status = bench.data.Status(prompts=(bench.data.Prompt(ras, True),))
    bench.controller.refresh()
    view.window.Render()
    bench.logic.refuse = "the point would lie outside the volume"
    start = np.array(view.xyOf(ras))
    view.drag(start, start + (40, 0))
    assert bench.options.errorLabel.text == "the point would lie outside the volume"
    shown = bench.controller._prompts.markupsNode.GetNthControlPointPositionWorld(0)
    assert np.allclose(shown, ras)


def test_background_first_is_refused_in_one_line(bench):
    bench.logic.refuse = "click inside the structure first"
    bench.views.red.click((150, 150), ctrl=True)
    assert bench.options.errorLabel.text == "click inside the structure first"
    assert not bench.options.retryButton.visible
    bench.views.red.click((150, 150))
    assert bench.options.errorLabel.text == ""


@pytest.mark.parametrize(("answer", "count", "shown"), [("cancel", 0, False), ("no", 1, False), ("yes", 1, True)])
def test_hidden_segment_is_asked_about(bench, answer, count, shown):
    display = bench.segmentation.GetDisplayNode()
    display.SetSegmentVisibility("Segment_1", False)
    bench.scripted._set(dialogAnswer=answer, _confirmed=None)
    before = bench.scripted.confirmations
    bench.views.red.click((150, 150))
    assert bench.scripted.confirmations == before + 1
    assert len(clicks(bench)) == count
    assert display.GetSegmentVisibility("Segment_1") is shown
    display.SetSegmentVisibility("Segment_1", True)


def test_presses_while_markups_are_placed_are_not_ours(bench):
    interaction = bench.scene.mrml.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    interaction.SetCurrentInteractionMode(interaction.AdjustWindowLevel)
    bench.views.red.press((150, 150))
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    assert clicks(bench) == []
    assert "LeftButtonPressEvent" in bench.editor.passed


def test_alt_press_is_not_ours(bench):
    view = bench.views.red
    view.interactor.SetAltKey(1)
    view.press((150, 150))
    view.interactor.SetAltKey(0)
    assert clicks(bench) == []


def test_empty_3d_view_rotates_natively(bench):
    camera = bench.views.threeD.renderer.GetActiveCamera()
    before = camera.GetPosition()
    bench.views.threeD.drag((150, 150), (200, 170))
    assert clicks(bench) == []
    assert not np.allclose(before, camera.GetPosition())
    bench.views.show(bench.volume)


def test_press_on_a_surface_in_3d_is_a_prompt_inside_it(bench):
    import vtk

    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(19.5, 19.5, 19.5)
    sphere.SetRadius(8)
    sphere.SetThetaResolution(48)
    sphere.SetPhiResolution(48)
    sphere.Update()
    model = bench.scene.mrml.AddNewNodeByClass("vtkMRMLModelNode")
    model.SetAndObserveMesh(sphere.GetOutput())
    model.CreateDefaultDisplayNodes()
    view = bench.views.threeD
    view.window.Render()
    camera = view.renderer.GetActiveCamera().GetPosition()
    view.click(view.xyOf((19.5, 19.5, 19.5)))
    view.click(view.xyOf((19.5, 19.5, 19.5)), ctrl=True)
    bench.scene.mrml.RemoveNode(model)
    assert [sign for _, sign in clicks(bench)] == [True, False]
    distance = np.linalg.norm(np.subtract(clicks(bench)[0][0], 19.5))
    assert 6.5 < distance < 7.5  # one voxel (1 mm) under the surface
    assert np.allclose(camera, view.renderer.GetActiveCamera().GetPosition())


def test_escape_in_a_view_cancels(bench):
    before = bench.logic.cancels
    bench.views.red.key("Escape", (150, 150))
    assert bench.logic.cancels == before + 1


def test_nothing_is_observed_after_the_effect_is_left(bench):
    bench.deactivate()
    bench.views.red.click((150, 150))
    assert clicks(bench) == []


def test_rest_of_the_mouse_encodes_ahead_there(bench):
    view, ras = bench.views.red, (12.0, 25.0, 19.5)
    view.node.JumpSlice(*ras)
    view.move(view.xyOf(ras))
    bench.host.wait(lambda: any(request == "prepare" for request, _ in bench.logic.asked), timeout_s=3)
    assert np.linalg.norm(np.subtract(bench.logic.last("prepare")[0], ras)) < 0.2
