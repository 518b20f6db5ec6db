"""Going on after a restart, under the Qt host."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import slicer
from slicer_host.qt_host import QtHost


@pytest.fixture
def host():
    host = QtHost()
    yield host
    host.close()


@pytest.fixture
def calls(host, monkeypatch):
    """What happened, in order; module pages and dialogs are stand-ins."""
    from SAM3DSegmentLib.Setup import Resumption

    calls = []
    page = SimpleNamespace(resume=lambda point: calls.append(("page", point.place)))
    monkeypatch.setattr(slicer.util, "selectModule", lambda name: calls.append(("module", name)))
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: SimpleNamespace(page=page))
    monkeypatch.setattr(Resumption, "openInEditor", lambda slicer, volume, name: calls.append(("editor", volume, name)))

    def loadVolume(path):
        if "gone" in path:
            raise RuntimeError("no such file")
        return f"volume of {path}"

    monkeypatch.setattr(slicer.util, "loadVolume", loadVolume)
    return calls


class Setup:
    """Stands in for TorchSetup."""

    def __init__(self, point, missing=("torch",)) -> None:
        self.point, self.missing, self.offered = point, missing, []

    def takeResume(self):
        point, self.point = self.point, None
        return point

    def offer(self, point) -> bool:
        self.offered.append(point)
        return True


def test_an_ordinary_start_does_nothing(host, calls):
    from SAM3DSegmentLib.Setup.Resumption import resumeAfterRestart

    assert resumeAfterRestart() is None
    assert calls == []


def test_the_effect_is_opened_on_the_volume_again(host, calls):
    from SAM3DSegmentLib.Setup.Resumption import resumeAfterRestart
    from SAM3DSegmentLib.Setup.TorchSetup import EFFECT, Resume

    setup = Setup(Resume(EFFECT, ("/gone.nrrd", "/ct.nrrd")))
    resumeAfterRestart(setup)
    assert calls == [("editor", "volume of /ct.nrrd", "SAM3DSegment")]
    assert setup.offered == [Resume(EFFECT, ("/gone.nrrd", "/ct.nrrd"))]
    assert resumeAfterRestart(setup) is None


def test_without_the_volume_the_segment_editor_is_opened(host, calls):
    from SAM3DSegmentLib.Setup.Resumption import resumeAfterRestart
    from SAM3DSegmentLib.Setup.TorchSetup import EFFECT, Resume

    setup = Setup(Resume(EFFECT, ("/gone.nrrd",)), missing=())
    resumeAfterRestart(setup)
    assert calls == [("module", "SegmentEditor")]
    assert setup.offered == []


@pytest.mark.parametrize("place", ["page", "sample"])
def test_the_page_goes_on_itself(host, calls, place):
    from SAM3DSegmentLib.Setup.Resumption import resumeAfterRestart
    from SAM3DSegmentLib.Setup.TorchSetup import Resume

    resumeAfterRestart(Setup(Resume(place)))
    assert calls == [("module", "SAM3DSegment"), ("page", place)]


def test_without_a_window_the_note_is_dropped():
    host = QtHost(mainWindow=False)
    from SAM3DSegmentLib.Setup.Resumption import resumeAfterRestart
    from SAM3DSegmentLib.Setup.TorchSetup import Resume

    setup = Setup(Resume())
    assert resumeAfterRestart(setup) is None
    assert setup.offered == []
    host.close()
