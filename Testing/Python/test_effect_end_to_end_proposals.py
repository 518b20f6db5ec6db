"""The whole chain with a small SAM-3D of random weights: a file of the user's own proposes, clicks correct it."""

from __future__ import annotations

import importlib
import threading

import numpy as np
import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")
pytest.importorskip("torch")

from proposal_networks import tiny_checkpoint, volume  # noqa: E402
from PySide6 import QtCore  # noqa: E402
from slicer_host.fixtures import makeChain  # noqa: E402, F401

from sam3dseg.checkpoint import save_checkpoint  # noqa: E402
from sam3dseg.proposals.proposer import load_proposer  # noqa: E402

TILTED = np.array([[0.9, 0.3, 0, -8], [-0.3, 0.9, 0, 5], [0, 0, 1.2, 3], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "organs.safetensors"
    made = tiny_checkpoint()
    save_checkpoint(path, architecture="sam_3d", config=made.config, weights=made.weights, provenance={})
    return path


@pytest.fixture
def chain(makeChain, file):  # noqa: F811
    """A tilted volume; models are really loaded, and the user has added the file by its path."""
    chain = makeChain(load=None, volume_ijk=volume((40, 44, 30)), ijkToRas=TILTED)
    selector = chain.controller.modelSelector
    selector.store.setDevice("cpu")
    selector._askFile = lambda: str(file)
    selector.fileButton.click()
    yield chain
    chain.close()


def expected(chain, file):
    """Label map (I, J, K) of the engine itself, and its classes."""
    geometry = importlib.import_module("SAM3DSegmentLib.Editor.SourceGeometry").SourceGeometry(chain.volume)
    proposer = load_proposer(file, device="cpu")
    labels = proposer.propose(geometry.voxels(), spacing_mm=geometry.spacing_mm, direction=geometry.direction)
    return labels, proposer.classes


def idOf(chain, name):
    return chain.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)


def test_a_model_added_by_its_path_proposes_all_its_classes_and_a_click_corrects_one(chain, file):
    row, selector = chain.options.proposals, chain.controller.modelSelector
    assert "row Propose" in selector.noteLabel.text and selector.key == "embedded" and not row.widget.isHidden()
    ticks, beats = [], QtCore.QTimer()
    beats.timeout.connect(lambda: ticks.append(chain.logic.isBusy))
    beats.start(5)
    row.proposeButton.click()
    chain.settle()
    beats.stop()
    assert chain.options.errorLabel.text == "" and row.foundLabel.text.startswith("2 proposed") and sum(ticks) >= 3
    labels, classes = expected(chain, file)
    for number, structure in enumerate(classes, start=1):
        found = chain.mask(idOf(chain, structure.name))
        assert np.array_equal(found, labels == number) and found.any()
        color = chain.segmentation.GetSegmentation().GetSegment(idOf(chain, structure.name)).GetColor()
        assert color == pytest.approx(structure.color)
    first = idOf(chain, classes[0].name)
    assert chain.editor.node.GetSelectedSegmentID() == first
    before = chain.mask(first)
    outside = tuple(np.argwhere(~before)[len(before) // 2])
    chain.press(outside)
    assert chain.options.errorLabel.text == "" and not np.array_equal(chain.mask(first), before)
    chain.undo()
    assert np.array_equal(chain.mask(first), before)
    chain.undo()
    assert chain.segmentation.GetSegmentation().GetNumberOfSegments() == 2 and not chain.editor.logic.CanUndo()


def test_escape_cancels_half_way_and_nothing_is_written(chain, monkeypatch):
    proposer = importlib.import_module("sam3dseg.proposals.proposer").Proposer
    plain, entered, gate, ends = proposer.propose, threading.Event(), threading.Event(), []

    def propose(self, *arguments, on_progress, **options):
        def hold(progress):
            on_progress(progress)
            entered.set()
            gate.wait(30)

        try:
            return plain(self, *arguments, on_progress=hold, **options)
        except BaseException as error:
            ends.append(type(error).__name__)
            raise

    monkeypatch.setattr(proposer, "propose", propose)
    chain.options.proposals.proposeButton.click()
    chain.host.wait(entered.is_set)
    chain.host.run(0.15)
    assert chain.options.statusLabel.text.startswith("Proposing… · ") and not chain.options.cancelButton.isHidden()
    chain.views.red.key("Escape", (150, 150))
    assert not chain.logic.isBusy
    gate.set()
    chain.settle()
    assert ends == ["Cancelled"] and chain.options.errorLabel.text == ""
    assert chain.segmentation.GetSegmentation().GetNumberOfSegments() == 2 and not chain.editor.logic.CanUndo()


def test_a_file_that_is_gone_is_named_and_try_again_is_there(chain, file, tmp_path):
    copy = tmp_path / "moved.safetensors"
    copy.write_bytes(file.read_bytes())
    store = chain.controller.modelSelector.store
    chain.controller.setProposer(store.addOwn(copy).key)
    copy.unlink()
    chain.options.proposals.proposeButton.click()
    chain.settle()
    options = chain.options
    assert "moved.safetensors" in options.errorLabel.text and not options.retryButton.isHidden()
    copy.write_bytes(file.read_bytes())
    options.retryButton.click()
    chain.settle()
    assert options.errorLabel.text == "" and idOf(chain, "Anterior")
