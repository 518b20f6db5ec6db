"""The effect's keys: there only while it is active, and Esc first cancels."""

from __future__ import annotations

import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from PySide6 import QtCore, QtGui, QtTest, QtWidgets  # noqa: E402
from slicer_host.effect_bench import EffectBench  # noqa: E402

# Segment Editor, its effects and the views (SLICER.md); views handle their keys only when they have the mouse.
TAKEN = {*"0123456789", "Esc", "Space", "Z", "Y", "Q", "W", "/", "*", ",", ".", "<", ">", "I", "Ctrl+Z", "Ctrl+Y"}


@pytest.fixture
def bench():
    bench = EffectBench()
    yield bench
    bench.close()
    assert bench.scene.errors == []


def press(bench, key):
    window = bench.host.mainWindow
    window.activateWindow()
    assert QtTest.QTest.qWaitForWindowActive(window, 2000)
    window.setFocus()
    QtTest.QTest.keyClick(window, key)


def shortcuts(bench):
    return bench.host.mainWindow.findChildren(QtGui.QShortcut)


def test_keys_are_there_only_while_the_effect_is_active(bench):
    assert shortcuts(bench) == []
    for _ in range(2):
        bench.activate()
        keys = {shortcut.property("key").toString() for shortcut in shortcuts(bench)}
        assert keys == {"N", "X", "U", "A"}
        assert not keys & TAKEN
        bench.deactivate()
        assert shortcuts(bench) == []


def test_x_flips_the_sign(bench):
    bench.activate()
    press(bench, QtCore.Qt.Key_X)
    assert bench.editor.node.GetAttribute("SAM3DSegment.Sign") == "background"
    press(bench, QtCore.Qt.Key_X)
    assert bench.options.insideButton.checked


def test_u_takes_back_the_last_click(bench):
    bench.activate()
    press(bench, QtCore.Qt.Key_U)
    assert bench.logic.asked == []
    bench.logic.status = bench.data.Status(position=3, length=5)
    press(bench, QtCore.Qt.Key_U)
    assert bench.logic.asked == [("showStep", (2,))]


def test_n_goes_to_the_next_segment_and_makes_one_at_the_end(bench):
    bench.activate()
    press(bench, QtCore.Qt.Key_N)
    assert bench.editor.node.GetSelectedSegmentID() == "Segment_2"
    press(bench, QtCore.Qt.Key_N)
    ids = bench.segmentation.GetSegmentation().GetSegmentIDs()
    assert len(ids) == 3
    assert bench.editor.node.GetSelectedSegmentID() == ids[2]


def test_a_accepts(bench):
    import slicer

    logic = slicer.vtkSlicerSegmentationsModuleLogic
    bench.activate()
    press(bench, QtCore.Qt.Key_A)
    segment = bench.segmentation.GetSegmentation().GetSegment("Segment_1")
    assert logic.GetSegmentStatus(segment) == logic.Completed
    assert bench.editor.node.GetSelectedSegmentID() == "Segment_2"


def test_keys_typed_into_a_text_field_are_text(bench):
    bench.activate()
    field = QtWidgets.QLineEdit(bench.host.mainWindow)
    bench.host.mainWindow.setCentralWidget(field)
    bench.host.mainWindow.activateWindow()
    field.setFocus()
    QtTest.QTest.keyClick(field, QtCore.Qt.Key_X)
    assert field.text() == "x"
    assert bench.editor.node.GetAttribute("SAM3DSegment.Sign") == "foreground"


def test_escape_cancels_while_busy_and_leaves_the_effect_otherwise(bench):
    """As the Segment Editor module does, a shortcut for Esc leaves the effect."""
    window = bench.host.mainWindow
    leave = QtGui.QShortcut(QtGui.QKeySequence("Esc"), window)
    leave.activated.connect(bench.deactivate)
    bench.activate()
    bench.logic.isBusy = True
    press(bench, QtCore.Qt.Key_Escape)
    assert bench.logic.cancels == 1
    assert bench.editor.activeEffect is bench.scripted
    press(bench, QtCore.Qt.Key_Escape)
    assert bench.editor.activeEffect is None
    assert bench.logic.cancels == 1
    leave.setParent(None)


def test_escape_takes_a_box_away(bench):
    bench.activate()
    bench.options.boxButton.click()
    assert bench.controller.isDrawingBox
    press(bench, QtCore.Qt.Key_Escape)
    assert not bench.controller.isDrawingBox
    assert bench.options.boxButton.text == "Box"
