"""The whole chain with a small SAM of random weights: slices, their options, progress, Cancel, saved scenes."""

from __future__ import annotations

import importlib
import threading

import numpy as np
import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")
torch = pytest.importorskip("torch")

from PySide6 import QtCore  # noqa: E402
from slicer_host.fixtures import makeChain  # noqa: E402, F401

from sam3dseg.checkpoint import save_checkpoint  # noqa: E402
from sam3dseg.models import build  # noqa: E402
from sam3dseg.prompts import Click  # noqa: E402
from sam3dseg.segmenter import load_segmenter  # noqa: E402
from sam3dseg.session import Session  # noqa: E402
from sam3dseg.slices.options import SliceOptions  # noqa: E402

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
SMALL = {
    "variant": "small",
    "image_size": 64,
    "dim": 32,
    "depth": 2,
    "heads": 2,
    "window": 4,
    "global_blocks": [1],
    "out": 16,
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights of our format: random, but sure of large masks, which go through all slices."""
    torch.manual_seed(1)
    weights, decoder = build("sam", **SMALL).state_dict(), "mask_decoder."
    weights[f"{decoder}iou_prediction_head.layers.2.weight"].zero_()
    weights[f"{decoder}iou_prediction_head.layers.2.bias"].fill_(0.8)
    weights[f"{decoder}output_upscaling.3.bias"].add_(0.1)
    for number in range(4):
        weights[f"{decoder}output_hypernetworks_mlps.{number}.layers.2.bias"].add_(0.1)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(path, architecture="sam", config=SMALL, weights=weights, provenance={})
    return path


@pytest.fixture
def makeSlices(makeChain, file):  # noqa: F811
    """A chain that really loads the model of slices, chosen as the user does it."""

    def make(**options):
        chain = makeChain(load=None, **options)
        store = chain.controller.modelSelector.store
        store.setDevice("cpu")
        store.select(store.addOwn(file).key)
        return chain

    return make


@pytest.fixture
def chain(makeSlices):
    return makeSlices()


def choose(box, value):
    """As the user does it with the mouse."""
    box.setCurrentIndex(box.findData(value))
    box.activated.emit(box.currentIndex)


def answered(chain, file, click, **options):
    """What the engine itself says to a click."""
    geometry = importlib.import_module("SAM3DSegmentLib.Editor.SourceGeometry").SourceGeometry(chain.volume)
    session = Session(load_segmenter(file, device="cpu"), slices=SliceOptions(**options))
    session.set_image(geometry.voxels(), spacing_mm=geometry.spacing_mm, direction=geometry.direction)
    return session.add(Click(click))


def slicesOf(mask, axis):
    """How many slices across an axis hold anything."""
    return int(mask.any(axis=tuple(a for a in range(3) if a != axis)).sum())


@pytest.mark.parametrize(("orientation", "axis", "view"), [("axial", 2, 0), ("coronal", 1, 1), ("sagittal", 0, 2)])
def test_a_click_in_a_slice_view_fills_the_volume_slice_by_slice(chain, file, orientation, axis, view):
    choose(chain.options.slices.orientationBox, orientation)
    choose(chain.options.slices.directionBox, "none")
    view = next(v for v in chain.views.slices if v.node.GetOrientation().lower() == orientation)
    chain.press(FIRST, view=view)
    assert chain.options.errorLabel.text == ""
    one = chain.mask()
    assert slicesOf(one, axis) == 1 and one.take(FIRST[axis], axis).any()
    assert np.array_equal(one, answered(chain, file, FIRST, orientation=orientation, direction="none"))
    choose(chain.options.slices.directionBox, "both")
    chain.editor.selectSegment("Segment_2")
    chain.press(FIRST, view=view)
    whole = chain.mask("Segment_2")
    assert slicesOf(whole, axis) > 10
    assert np.array_equal(whole, answered(chain, file, FIRST, orientation=orientation, direction="both"))


def test_the_window_lives_and_sees_the_slices_go_by(chain, monkeypatch):
    lines, beats = set(), QtCore.QTimer()
    beats.timeout.connect(lambda: lines.add(chain.options.statusLabel.text))
    beats.start(5)
    inner = importlib.import_module("SAM3DSegmentLib.Editor.RequestRunner")
    monkeypatch.setattr(inner, "PROGRESS_S", 0.0)
    chain.press(FIRST)
    beats.stop()
    assert len([line for line in lines if line.startswith("Segmenting…") and " done" in line]) >= 3
    assert chain.mask().any() and "done" not in chain.options.statusLabel.text


@pytest.mark.parametrize("cancel", ["key", "button"])
def test_cancelled_half_way_the_segment_is_as_it_was(chain, monkeypatch, cancel):
    choose(chain.options.slices.directionBox, "none")
    chain.press(FIRST)
    before = chain.mask()
    choose(chain.options.slices.directionBox, "both")
    slices = importlib.import_module("sam3dseg.slices.segmenter").TorchSliceSegmenter
    plain, entered, gate, count = slices.decode, threading.Event(), threading.Event(), []

    def decode(self, *arguments, **options):
        count.append(1)
        if len(count) == 5:
            entered.set()
            gate.wait(30)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(slices, "decode", decode)
    chain.press((16, 20, 18), waits=False)
    chain.host.wait(entered.is_set)
    if cancel == "key":
        chain.views.red.key("Escape", (150, 150))
    else:
        chain.options.cancelButton.click()
    assert not chain.logic.isBusy and chain.options.cancelButton.isHidden()
    gate.set()
    chain.settle()
    assert len(count) <= 6  # it did not go on to the end
    assert np.array_equal(chain.mask(), before) and chain.options.errorLabel.text == ""
    chain.press((16, 20, 18))
    assert slicesOf(chain.mask(), 2) > 10


def test_a_saved_scene_replays_with_the_options_that_it_was_made_with(chain, makeSlices, tmp_path):
    choose(chain.options.slices.orientationBox, "coronal")
    choose(chain.options.slices.directionBox, "forward")
    chain.press(FIRST)
    mask = chain.mask()
    chain.scene.save(tmp_path / "case.mrb")
    chain.close()
    again = makeSlices(sceneFile=tmp_path / "case.mrb")
    rows = again.options.slices
    assert (rows.orientationBox.currentData, rows.directionBox.currentData) == ("coronal", "forward")
    assert len(again.status().prompts) == 1
    choose(rows.orientationBox, "axial")
    assert again.status().prompts == ()  # like another model
    again.paint((0, 0, 0), (3, 3, 3))
    again.options.replayButton.click()
    again.settle()
    assert again.options.errorLabel.text == "" and np.array_equal(again.mask(), mask)


def test_the_mouse_at_rest_encodes_every_slice_that_it_comes_to(chain, monkeypatch):
    slices = importlib.import_module("sam3dseg.slices.segmenter").TorchSliceSegmenter
    plain, calls = slices.encode, []
    monkeypatch.setattr(slices, "encode", lambda self, values: calls.append(1) or plain(self, values))
    choose(chain.options.slices.directionBox, "none")
    chain.controller._ahead.stop()
    for number, k in enumerate((18, 19), start=1):
        chain.controller._ahead.mouseAt(chain.ras((14, 20, k)))
        chain.controller._ahead._onRest()
        chain.settle()
        assert len(calls) == number
    chain.press(FIRST)
    assert len(calls) == 2
