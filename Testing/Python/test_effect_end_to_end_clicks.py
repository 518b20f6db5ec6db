"""The whole chain from the mouse: a click in any view becomes voxels under the mouse, and nothing else is taken."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PySide6")
slicer = pytest.importorskip("slicer")

from PySide6 import QtCore, QtTest  # noqa: E402
from slicer_host.editing import ball, dice  # noqa: E402
from slicer_host.fixtures import chain, makeChain  # noqa: E402, F401

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
CUT = (14, 20, 13)


def isFirstBlob(mask):
    return dice(mask, ball(mask.shape, FIRST, 7)) > 0.8


def isSecondBlob(mask):
    return dice(mask, ball(mask.shape, SECOND, 6)) > 0.8


@pytest.mark.parametrize("name", ["red", "yellow", "green"])
def test_a_click_in_a_slice_view_segments_what_is_under_the_mouse(chain, name):
    chain.press(FIRST, view=getattr(chain.views, name))
    assert isFirstBlob(chain.mask()) and not chain.mask("Segment_2").any()
    assert chain.options.errorLabel.text == "" and chain.options.statusLabel.text.startswith("Predicted IoU 0.90")
    assert "LeftButtonPressEvent" not in chain.editor.passed


@pytest.mark.parametrize("key", ["ctrl", "shift"])
@pytest.mark.parametrize("name", ["red", "yellow", "green"])
def test_with_a_modifier_it_is_background(chain, name, key):
    view = getattr(chain.views, name)
    chain.press(FIRST, view=view)
    before = chain.mask()
    chain.press(CUT, view=view, **{key: True})
    assert before[CUT] and not chain.mask()[CUT] and chain.mask()[FIRST]
    assert [prompt.isForeground for prompt in chain.status().prompts] == [True, False]
    chain.options.outsideButton.click()  # the button turns the signs around
    chain.press(CUT, view=view, **{key: True})
    assert [prompt.isForeground for prompt in chain.status().prompts][-1:] == [True]


def test_a_click_on_a_surface_in_3d_segments_what_lies_under_it(chain):
    """The surface is another segment's; the click counts for the selected one, one voxel under the surface."""
    chain.paint((32, 22, 20), (36, 26, 24), segmentId="Segment_2")
    chain.segmentation.CreateClosedSurfaceRepresentation()
    view = chain.views.threeD
    view.window.Render()
    view.click(view.xyOf(chain.ras(SECOND)))
    chain.settle()
    assert isSecondBlob(chain.mask()) and chain.status().prompts[0].isForeground
    assert chain.mask("Segment_2").sum() == 125


@pytest.mark.parametrize("key", ["ctrl", "shift"])
def test_a_modified_click_on_its_own_surface_in_3d_cuts_there_and_the_surface_follows(chain, key):
    chain.segmentation.CreateClosedSurfaceRepresentation()
    chain.press(FIRST)
    before, view = chain.mask(), chain.views.threeD
    area = surfaceOf(chain).GetNumberOfPoints()
    view.window.Render()
    camera = view.renderer.GetActiveCamera().GetPosition()
    view.click(view.xyOf(chain.ras((14, 20, 22))), **{key: True})  # not on the point: that would flip it
    chain.settle()
    cut = before & ~chain.mask()
    assert cut.any() and not (chain.mask() & ~before).any()
    front = np.argwhere(cut)[:, 1]  # the camera looks from anterior: large j
    assert front.min() > FIRST[1] and before[:, front.max() + 1 :].sum() == 0
    assert surfaceOf(chain).GetNumberOfPoints() != area
    assert view.renderer.GetActiveCamera().GetPosition() == camera


def surfaceOf(chain):
    return chain.segmentation.GetClosedSurfaceInternalRepresentation("Segment_1")


def test_navigation_is_left_to_others_and_asks_for_nothing(chain):
    view, threeD = chain.views.red, chain.views.threeD
    offset, field = view.node.GetSliceOffset(), view.node.GetFieldOfView()
    view.wheel((150, 150))
    view.drag((150, 150), (150, 190), button="Right")
    assert view.node.GetSliceOffset() != offset and view.node.GetFieldOfView() != field
    origin = view.node.GetXYZOrigin()
    view.drag((150, 150), (190, 150), button="Middle")
    assert view.node.GetXYZOrigin() != origin
    camera = threeD.renderer.GetActiveCamera().GetPosition()
    threeD.drag((20, 20), (80, 40))  # nothing to click there
    assert threeD.renderer.GetActiveCamera().GetPosition() != camera
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.AdjustWindowLevel)
    view.drag((150, 150), (170, 170))
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    names = {"MouseWheelForwardEvent", "RightButtonPressEvent", "MiddleButtonPressEvent", "LeftButtonPressEvent"}
    assert names <= set(chain.editor.passed)
    chain.settle()
    assert chain.status().prompts == () and not chain.mask().any() and not chain.editor.logic.CanUndo()


@pytest.mark.parametrize(("answer", "isWritten"), [("cancel", False), ("no", True), ("yes", True)])
def test_a_hidden_segment_is_changed_only_when_the_user_agrees(chain, answer, isWritten):
    display = chain.segmentation.GetDisplayNode()
    display.SetSegmentVisibility("Segment_1", False)
    chain.scripted._set(dialogAnswer=answer)
    chain.press(FIRST)
    assert chain.mask().any() == isWritten and chain.scripted.confirmations == 1
    assert display.GetSegmentVisibility("Segment_1") == (answer == "yes")


def test_a_first_click_outside_is_refused_in_one_line_and_the_next_one_counts(chain):
    chain.press(FIRST, ctrl=True)
    assert chain.options.errorLabel.text.startswith("click inside the structure first")
    assert not chain.mask().any() and not chain.options.retryButton.visible
    chain.views.red.zoom(0.5)
    chain.press((60, 20, 18))
    assert "outside Volume" in chain.options.errorLabel.text
    chain.press(FIRST)
    assert chain.options.errorLabel.text == "" and isFirstBlob(chain.mask())


def test_a_box_drawn_with_the_mouse_segments_what_it_encloses(chain):
    view = chain.views.red
    view.node.JumpSlice(*chain.ras(SECOND))
    chain.options.boxButton.click()
    for ijk in ((28, 18, 22), (40, 30, 22)):
        view.window.Render()
        view.click(view.xyOf(chain.ras(ijk)))
    assert not chain.logic.isBusy  # these presses were the box's
    chain.options.boxButton.click()
    chain.settle()
    assert isSecondBlob(chain.mask()) and chain.options.errorLabel.text == ""
    assert not [n for n in range(chain.scene.mrml.GetNumberOfNodes()) if isBox(chain.scene.mrml.GetNthNode(n))]
    chain.press((34, 24, 17), ctrl=True)
    assert not chain.mask()[34, 24, 17] and chain.mask()[SECOND]


def isBox(node):
    return node.IsA("vtkMRMLMarkupsROINode")


def test_refining_takes_what_was_painted_as_the_start(chain, segmenter):
    chain.options.refineButton.click()
    assert "received an empty one" in chain.options.errorLabel.text
    chain.paint((10, 16, 14), (18, 24, 22))
    chain.options.refineButton.click()
    chain.press((14, 20, 12), ctrl=True)
    assert segmenter.decoded[-1]["previous"] is not None and chain.mask()[FIRST]
    assert chain.status().text.startswith("Predicted IoU")


def press(chain, key):
    window = chain.host.mainWindow
    window.activateWindow()
    assert QtTest.QTest.qWaitForWindowActive(window, 2000)
    window.setFocus()
    QtTest.QTest.keyClick(window, key)
    chain.settle()


def test_keys_act_on_what_was_clicked_only_while_the_effect_is_active(chain):
    chain.press(FIRST)
    first = chain.mask()
    chain.press(CUT, ctrl=True)
    press(chain, QtCore.Qt.Key_U)
    assert np.array_equal(chain.mask(), first) and len(chain.status().prompts) == 1
    press(chain, QtCore.Qt.Key_X)
    chain.press(CUT)
    assert not chain.mask()[CUT]
    cut = chain.mask()
    chain.deactivate()
    for key in (QtCore.Qt.Key_U, QtCore.Qt.Key_N, QtCore.Qt.Key_A, QtCore.Qt.Key_X):
        press(chain, key)
    assert np.array_equal(chain.mask(), cut) and chain.editor.node.GetSelectedSegmentID() == "Segment_1"
    assert chain.editor.node.GetAttribute("SAM3DSegment.Sign") == "background"


def test_accepting_goes_on_to_the_next_segment(chain):
    status = slicer.vtkSlicerSegmentationsModuleLogic
    chain.press(FIRST)
    press(chain, QtCore.Qt.Key_A)
    segments = chain.segmentation.GetSegmentation()
    assert status.GetSegmentStatus(segments.GetSegment("Segment_1")) == status.Completed
    assert chain.status().prompts == () and chain.options.pointLabel.text == "none yet"
    chain.press(SECOND)
    assert isFirstBlob(chain.mask()) and isSecondBlob(chain.mask("Segment_2"))
    press(chain, QtCore.Qt.Key_N)
    assert segments.GetNumberOfSegments() == 3 and chain.status().prompts == ()
    chain.press(FIRST)
    assert isFirstBlob(chain.mask(segments.GetNthSegmentID(2)))
