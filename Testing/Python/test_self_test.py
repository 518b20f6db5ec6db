"""The test that runs inside Slicer, run in the headless one: by the module, and as ctest starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from slicer_host.qt_host import QtHost  # noqa: E402
from slicer_host.rendering import skipWithoutRendering  # noqa: E402

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "Slicer"


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import importlib.util
import unittest
from types import SimpleNamespace
from slicer_host.qt_host import QtHost
host = QtHost(mainWindow=False)
import slicer
import SAM3DSegment
widget = SAM3DSegment.SAM3DSegmentWidget()
slicer.modules.sam3dsegment = SimpleNamespace(widgetRepresentation=lambda: SimpleNamespace(self=lambda: widget))
suite = unittest.TestLoader().loadTestsFromName("SAM3DSegmentSelfTest")  # as slicer.testing.runUnitTest does
result = unittest.TextTestRunner(verbosity=2).run(suite)
widget.cleanup()
host.close()
assert host.scene.errors == [], host.scene.errors
sys.exit(not result.wasSuccessful())
"""


@pytest.fixture
def host():
    skipWithoutRendering()
    host = QtHost()
    yield host
    host.close()
    assert host.scene.errors == []


@pytest.mark.slow
def test_reload_and_test(host, monkeypatch):
    import slicer

    import SAM3DSegment

    widget = SAM3DSegment.SAM3DSegmentWidget()
    representation = SimpleNamespace(self=lambda: widget)
    monkeypatch.setattr(
        slicer.modules, "sam3dsegment", SimpleNamespace(widgetRepresentation=lambda: representation), raising=False
    )
    test, shown = SAM3DSegment.SAM3DSegmentTest(), []
    monkeypatch.setattr(test, "delayDisplay", shown.append)
    test.runTest()
    widget.cleanup()
    assert shown[0] == "Skipped: PyTorch is installed in this Slicer"
    assert shown[1].startswith("The embedded model works in ") and "bfloat16: " in shown[1]
    assert shown[2:] == ["Passed: 14 tests of SAM 3D Segment"]


def test_a_failure_is_reported(host, monkeypatch):
    from SAM3DSegmentLib.SelfTest import SelfTest

    class Failing(unittest.TestCase):
        def test_fails(self):
            self.fail("on purpose")

    monkeypatch.setattr(SelfTest, "CASES", (Failing,))
    with pytest.raises(AssertionError, match="1 of 1 tests failed: test_fails"):
        SelfTest.runSelfTest(print)


@pytest.mark.slow
def test_ctest_without_main_window_and_without_pytorch():
    skipWithoutRendering()
    path = os.pathsep.join(map(str, (HERE, FOLDER, HERE.parents[1] / "SAM3DSegment")))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", WITHOUT_TORCH]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "test_missingPyTorchIsSaidAndOffered" in done.stderr
    assert "PyTorch is not installed in this Slicer: masks are not tested" in done.stderr
    assert "OK (skipped=5)" in done.stderr
