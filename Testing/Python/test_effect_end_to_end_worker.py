"""The window stays alive while the model works; what is missing or fails is said, and no click is lost."""

from __future__ import annotations

import shutil
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from PySide6 import QtCore, QtTest  # noqa: E402
from slicer_host.editing import ball, dice  # noqa: E402
from slicer_host.fixtures import chain, makeChain  # noqa: E402, F401

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
CUT = (14, 20, 13)
ENGINE_WITH_TORCH = ("sam3dseg.placement", "sam3dseg.segmenter", "sam3dseg.checkpoint")


def isFirstBlob(mask):
    return dice(mask, ball(mask.shape, FIRST, 7)) > 0.8


def sleeps():
    time.sleep(2.0)


def computes():
    """Two seconds of pure Python: the worst that a worker can do to the other threads."""
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        sum(range(1000))


@pytest.mark.parametrize("encode", [sleeps, computes])
def test_the_event_loop_goes_on_while_a_volume_is_encoded(chain, segmenter, encode):
    segmenter.on_encode = encode
    ticks, beats = [], QtCore.QTimer()
    beats.timeout.connect(lambda: ticks.append(chain.logic.isBusy))
    beats.start(20)
    chain.press(FIRST, waits=False)
    assert not chain.mask().any() and not chain.options.cancelButton.isHidden()
    chain.settle()
    beats.stop()
    assert sum(ticks) >= 50  # 100 would be all of them, a window that is blocked has 1
    assert isFirstBlob(chain.mask()) and chain.options.cancelButton.isHidden()


def test_clicks_that_come_meanwhile_are_shown_at_once_and_answered_together(chain, segmenter):
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    for ijk in (FIRST, (16, 20, 18), (12, 21, 18)):
        chain.press(ijk, waits=False)
    assert chain.controller._prompts.markupsNode.GetNumberOfControlPoints() == 3
    assert chain.status().text == "Segmenting…" and chain.events.count("written") == 0
    gate.set()
    chain.settle()
    assert chain.events.count("written") == 2 and len(segmenter.decoded[-1]["points"]) == 3
    assert chain.options.stepLabel.text == "2 / 2" and isFirstBlob(chain.mask())
    chain.undo()
    assert len(chain.status().prompts) == 1


def inView(chain):
    chain.views.red.key("Escape", (150, 150))


def inWindow(chain):
    window = chain.host.mainWindow
    window.activateWindow()
    assert QtTest.QTest.qWaitForWindowActive(window, 2000)
    window.setFocus()
    QtTest.QTest.keyClick(window, QtCore.Qt.Key_Escape)


def byButton(chain):
    chain.options.cancelButton.click()


@pytest.mark.parametrize("cancel", [inView, inWindow, byButton])
def test_escape_cancels_and_nothing_is_written(chain, segmenter, cancel):
    chain.press(FIRST)
    before, gate, entered, plain = chain.mask(), threading.Event(), threading.Event(), segmenter.decode

    def decode(*arguments):
        entered.set()
        gate.wait(30)
        return plain(*arguments)

    segmenter.decode = decode
    chain.press(CUT, ctrl=True, waits=False)
    chain.host.wait(entered.is_set)
    assert len(chain.status().prompts) == 2
    cancel(chain)
    assert not chain.logic.isBusy and len(chain.status().prompts) == 1 and chain.options.cancelButton.isHidden()
    gate.set()
    chain.settle()
    assert np.array_equal(chain.mask(), before) and chain.editor.activeEffect is chain.scripted
    segmenter.decode = plain
    chain.press(CUT, ctrl=True)
    assert not chain.mask()[CUT] and len(chain.status().prompts) == 2


def test_a_failing_worker_is_reported_and_try_again_answers_the_kept_clicks(chain, segmenter):
    def fail():
        raise RuntimeError("the driver is gone")

    segmenter.on_encode = fail
    chain.press(FIRST)
    options = chain.options
    assert "the driver is gone" in options.errorLabel.text and not options.retryButton.isHidden()
    assert options.torchButton.isHidden() and not chain.mask().any() and not chain.editor.logic.CanUndo()
    assert len(chain.status().prompts) == 1 and options.pointLabel.text == "inside, of 1"
    options.retryButton.click()  # still broken: still said, still kept
    chain.settle()
    assert "the driver is gone" in options.errorLabel.text and len(chain.status().prompts) == 1
    segmenter.on_encode = None
    options.retryButton.click()
    chain.settle()
    assert isFirstBlob(chain.mask()) and options.errorLabel.text == "" and options.retryButton.isHidden()


@pytest.fixture
def withoutTorch(monkeypatch):
    """A Python in which PyTorch cannot be imported, until the function that is given is called."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    kept = {name: module for name, module in sys.modules.items() if isTorch(name)}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)

    def install():
        monkeypatch.delitem(sys.modules, "torch")
        for name, module in kept.items():
            monkeypatch.setitem(sys.modules, name, module)

    return install


def isTorch(name):
    return name.split(".")[0] == "torch" or name in ENGINE_WITH_TORCH


class Installer:
    """In the place of TorchSetup: "installs" at a press of the button, when the user agrees."""

    def __init__(self, install):
        self.install, self.agrees, self.offers = install, False, []

    def offer(self, resume):
        self.offers.append(resume)
        if self.agrees:
            self.install()
        return self.agrees


def test_without_torch_a_button_installs_it_and_the_kept_click_is_answered(makeChain, withoutTorch, caplog):
    chain = makeChain(load=None)
    installer = Installer(withoutTorch)
    chain.controller._torchSetup = lambda: installer
    chain.press(FIRST)
    options = chain.options
    assert "PyTorch is needed" in options.errorLabel.text and not options.torchButton.isHidden()
    assert "Traceback" not in caplog.text and not chain.mask().any() and len(chain.status().prompts) == 1
    options.torchButton.click()
    chain.settle()
    assert len(installer.offers) == 1 and not options.torchButton.isHidden() and len(chain.status().prompts) == 1
    installer.agrees = True
    options.torchButton.click()
    chain.settle()
    assert chain.mask()[FIRST] and options.errorLabel.text == "" and options.torchButton.isHidden()
    assert len(chain.status().prompts) == 1


def test_missing_weights_are_named_and_the_click_is_answered_once_they_are_there(makeChain, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from sam3dseg.segmenter import WEIGHTS_FOLDER

    weights = tmp_path / "mine.safetensors"
    chain = makeChain(load=None)
    chain.logic.setModel(str(weights), "cpu")
    chain.press(FIRST)
    options = chain.options
    assert "mine.safetensors" in options.errorLabel.text and not options.retryButton.isHidden()
    assert options.torchButton.isHidden() and not chain.mask().any() and len(chain.status().prompts) == 1
    shutil.copy(next(WEIGHTS_FOLDER.glob("*.safetensors")), weights)
    options.retryButton.click()
    chain.settle()
    assert chain.mask()[FIRST] and options.errorLabel.text == "" and len(chain.status().prompts) == 1
