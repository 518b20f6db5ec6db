"""The Qt half of the headless Slicer refuses what PythonQt refuses."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from slicer_host.effect_host import qSlicerSegmentEditorScriptedEffect  # noqa: E402
from slicer_host.qt_host import QtHost  # noqa: E402


@pytest.fixture
def host():
    host = QtHost()
    yield host
    host.close()
    assert host.scene.errors == []


def test_properties_are_attributes(host):
    import qt

    slider = qt.QSlider()
    slider.maximum = 7
    slider.value = 5
    assert slider.value == 5
    with pytest.raises(TypeError, match="not callable"):
        slider.value()


def test_attributes_that_do_not_exist_cannot_be_set(host):
    import qt

    button = qt.QPushButton("x")
    with pytest.raises(AttributeError, match="'txt' does not exist"):
        button.txt = "y"


def test_own_subclasses_have_attributes(host):
    import qt

    class Filter(qt.QObject):
        def __init__(self):
            qt.QObject.__init__(self)
            self.count = 1

    assert Filter().count == 1


def test_signals_are_connected_by_signature(host):
    import qt

    box, seen = qt.QCheckBox(), []
    box.connect("toggled(bool)", seen.append)
    box.checked = True
    box.disconnect("toggled(bool)", seen.append)
    assert seen == [True]
    with pytest.raises(ValueError, match=r"no signal changed\(\)"):
        box.connect("changed()", print)


@pytest.mark.parametrize("value", [np.bool_(True), np.int64(1)])
def test_numpy_scalars_are_refused(host, value):
    import qt

    box = qt.QCheckBox()
    with pytest.raises(TypeError, match="numpy|bool|int64"):
        box.checked = value
    with pytest.raises(TypeError, match="bool|int64"):
        box.setChecked(value)


def test_numpy_bool_is_no_answer_to_an_event(host):
    effect = qSlicerSegmentEditorScriptedEffect(None)
    effect._set(_python=type("Python", (), {"processInteractionEvents": lambda *_: np.bool_(True)})())
    assert effect.processInteractionEvents(None, 1, None) is False
    assert "expected to return a boolean" in effect.warnings[0]


def test_pyside_names_are_not_in_qt(host):
    import qt

    with pytest.raises(AttributeError):
        qt.Signal  # noqa: B018


def test_settings_are_the_tests_own(host):
    import slicer

    slicer.app.userSettings().setValue("a/b", 3)
    assert slicer.util.settingsValue("a/b", 0, int) == 3
    host.close()
    host.__init__()
    assert slicer.util.settingsValue("a/b", 0, int) == 0


def test_main_window_is_found_by_slicer_util(host):
    import slicer

    assert slicer.util.mainWindow() is host.mainWindow


def test_everything_is_taken_back():
    import sys

    import slicer

    before = {name: sys.modules.get(name) for name in ("qt", "ctk", "slicer.i18n", "SAM3DSegmentLib")}
    app = getattr(slicer, "app", None)
    host = QtHost(mainWindow=False)
    assert sys.modules["qt"] is not before["qt"]
    host.close()
    assert {name: sys.modules.get(name) for name in before} == before
    assert getattr(slicer, "app", None) is app
