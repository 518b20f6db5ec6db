"""The Slicer module file and its page, under the Qt host."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from slicer_host.qt_host import QtHost

import sam3dseg

HERE = Path(__file__).resolve().parent
MODULE = HERE.parents[1] / "SAM3DSegment"


@pytest.fixture
def host():
    host = QtHost()
    yield host
    host.close()


@pytest.fixture
def module(host):
    import SAM3DSegment

    return SAM3DSegment


class Setup:
    """Stands in for TorchSetup: what is missing, and what installing it comes to."""

    def __init__(self, *missing: str, succeeds: bool = True) -> None:
        self.missing, self.succeeds, self.offered = missing, succeeds, []

    def explanation(self) -> str:
        return "needed" if self.missing else "installed"

    def offer(self, resume) -> bool:
        self.offered.append(resume.place)
        if self.succeeds:
            self.missing = ()
        return self.succeeds


@pytest.fixture
def makePage(host):
    from SAM3DSegmentLib.Page.ModulePage import ModulePage

    pages = []

    def make(setup, **options):
        window = host.qt.QWidget()
        page = ModulePage(host.qt.QVBoxLayout(window), setup=setup, **options)
        pages.append((page, window))
        window.show()
        return page

    yield make
    for page, _window in pages:
        page.close()


def test_module_list_entry(module):
    parent = SimpleNamespace()
    module.SAM3DSegment(parent)
    assert parent.title == "SAM 3D Segment"
    assert parent.categories == ["Segmentation"]
    assert parent.dependencies == ["SegmentEditor"]
    assert module.HOMEPAGE in parent.helpText
    assert parent.contributors and parent.acknowledgementText


def test_the_effect_joins_the_segment_editor_when_the_application_has_started(module, host):
    import slicer

    module.SAM3DSegment(SimpleNamespace())
    registered = slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects
    assert registered() == []
    host.app.emit("startupCompleted()")
    assert [effect.name for effect in registered()] == ["SAM3DSegment"]


def test_the_page_opens_and_closes(module, host):
    widget = module.SAM3DSegmentWidget()
    assert f"sam3dseg {sam3dseg.__version__}, PyTorch is" in widget.page.engineLabel.text
    assert [widget.page.tabs.tabText(i) for i in range(4)] == ["Start", "Models", "Training", "About"]
    widget.enter()
    widget.cleanup()


def test_the_heading_shows_the_module_s_icon(makePage, host):
    page = makePage(Setup())
    sizes = {label.pixmap.width() for label in page.tabs.findChildren(host.qt.QLabel) if not label.pixmap.isNull()}
    assert sizes == {40}


def test_the_page_works_without_a_main_window():
    host = QtHost(mainWindow=False)
    import SAM3DSegment

    widget = SAM3DSegment.SAM3DSegmentWidget()
    widget.cleanup()
    host.close()


def test_the_page_links_and_asks_to_cite(module, host, makePage):
    page = makePage(Setup())
    texts = [label.text for label in page.tabs.findChildren(host.qt.QLabel)]
    assert any(f"{module.HOMEPAGE}/issues" in text for text in texts)
    for words in ("Please cite", "https://arxiv.org/abs/2304.02643", "https://arxiv.org/abs/2310.15161", "Apache-2.0"):
        assert words in page.citationLabel.text


def test_the_page_shows_the_chosen_model(makePage, tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    page = makePage(Setup())
    assert "<b>Embedded model</b>, on the best device" in page.modelLabel.text
    path = tmp_path / "mine.safetensors"
    save_file({"a": np.zeros(4, np.float32)}, path)
    page.manager.store.select(page.manager.store.addOwn(path).key)
    page.manager.store.setDevice("cpu")
    assert "<b>mine.safetensors</b>, on CPU" in page.modelLabel.text


def test_missing_pytorch_is_one_explained_button(makePage):
    setup = Setup("torch")
    page = makePage(setup)
    assert page.torchLabel.text == "needed"
    assert page.torchButton.visible and page.torchLabel.visible
    page.torchButton.click()
    assert setup.offered == ["page"]
    assert not page.torchButton.visible and not page.torchLabel.visible


def test_try_it_opens_the_sample_in_the_editor(makePage):
    opened = []
    page = makePage(Setup(), confirm=lambda text: False, open_=opened.append)
    page.tryButton.click()
    assert [volume.GetName() for volume in opened] == ["SAM3DSegmentSample"]


def test_try_it_asks_before_it_downloads(makePage, monkeypatch):
    downloads, questions = [], []
    logic = SimpleNamespace(downloadMRHead=lambda: downloads.append(1) or "MRHead")
    monkeypatch.setitem(sys.modules, "SampleData", SimpleNamespace(SampleDataLogic=lambda: logic))
    opened = []
    page = makePage(Setup(), confirm=lambda text: questions.append(text) or True, open_=opened.append)
    page.tryButton.click()
    assert "needs no network" in questions[0]
    assert (downloads, opened) == ([1], ["MRHead"])


def test_try_it_installs_pytorch_first(makePage):
    opened = []
    refused = Setup("torch", succeeds=False)
    page = makePage(refused, confirm=lambda text: False, open_=opened.append)
    page.tryButton.click()
    assert (refused.offered, opened) == (["sample"], [])
    accepted = Setup("torch")
    page = makePage(accepted, confirm=lambda text: False, open_=opened.append)
    page.tryButton.click()
    assert len(opened) == 1


def test_a_missing_effect_is_said(makePage, monkeypatch):
    import slicer

    def open_(volume):
        raise RuntimeError("the effect is not in the Segment Editor")

    errors = []
    monkeypatch.setattr(slicer.util, "errorDisplay", errors.append)
    makePage(Setup(), confirm=lambda text: False, open_=open_).tryButton.click()
    assert errors == ["the effect is not in the Segment Editor"]


def test_the_page_goes_on_after_a_restart(makePage):
    from SAM3DSegmentLib.Setup.TorchSetup import PAGE, SAMPLE, Resume

    opened, setup = [], Setup("torch")
    page = makePage(setup, confirm=lambda text: False, open_=opened.append)
    page.resume(Resume(PAGE))
    assert (setup.offered, opened) == (["page"], [])
    page.resume(Resume(SAMPLE))
    assert len(opened) == 1


def test_the_training_tab_asks_the_program_only_when_it_is_opened(makePage, monkeypatch):
    page = makePage(Setup())
    asked = []
    monkeypatch.setattr(page.training, "readCommands", lambda: asked.append(1))
    page.show("models")
    assert asked == []
    page.show("training")
    assert asked == [1]


def test_training_needs_pytorch_too(makePage):
    setup = Setup("torch", succeeds=False)
    page = makePage(setup)
    assert page.training._prepare() is False
    assert setup.offered == ["page"]


def test_a_result_of_training_is_shown_in_the_list_of_models(makePage, tmp_path):
    import numpy as np
    from safetensors.numpy import save_file

    page = makePage(Setup())
    path = tmp_path / "mine.safetensors"
    save_file({"a": np.zeros(4, np.float32)}, path)
    page.training._choose(path)
    table = page.manager.table
    assert table.item(table.rowCount - 1, 0).text() == "✓ mine.safetensors"


def test_start_up_loads_no_torch():
    """Neither the module's entry, nor its effect's registration, nor its page may make Slicer wait for PyTorch."""
    code = """
import sys
from types import SimpleNamespace
from slicer_host.qt_host import QtHost
host = QtHost()
import SAM3DSegment
SAM3DSegment.SAM3DSegment(SimpleNamespace())
assert "SAM3DSegmentLib" not in sys.modules
host.app.emit("startupCompleted()")
SAM3DSegment.SAM3DSegmentWidget()
assert "torch" not in sys.modules
"""
    path = os.pathsep.join(map(str, (HERE, MODULE)))
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


def test_a_closed_page_leaves_no_thread_and_no_listener(module, host):
    before = threading.active_count()
    widget = module.SAM3DSegmentWidget()
    store = widget.page.manager.store
    widget.cleanup()
    assert store._listeners == []
    assert threading.active_count() == before
