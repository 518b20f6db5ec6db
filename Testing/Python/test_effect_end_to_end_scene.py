"""The scene around the effect: saved and opened again, another volume or time frame, closed or reloaded meanwhile."""

from __future__ import annotations

import importlib
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("PySide6")
slicer = pytest.importorskip("slicer")

from slicer_host.editing import ball, dice, twoBlobs  # noqa: E402
from slicer_host.fixtures import chain, makeChain  # noqa: E402, F401

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
CUT = (14, 20, 13)
NAME = "SAM3DSegment"


def isFirstBlob(mask, center=FIRST):
    return dice(mask, ball(mask.shape, center, 7)) > 0.8


@pytest.mark.parametrize("suffix", ["mrml", "mrb"])
def test_a_saved_scene_brings_back_points_model_and_parameters_and_replays_them(makeChain, segmenter, tmp_path, suffix):
    file = tmp_path / f"case.{suffix}"
    first = makeChain()
    first.logic.setModel("mine")
    first.paint((12, 18, 20), (16, 22, 28))  # the points start from a mask
    for ijk, keys in ((FIRST, {}), (CUT, {"ctrl": True})):
        first.press(ijk, **keys)
    first.options.nextButton.click()
    first.settle()
    first.options.hintBox.checked = True
    first.controller.setSign(False)
    mask, points = first.mask(), [prompt.ras for prompt in first.status().prompts]
    first.scene.save(file)
    first.close()

    loaded = []
    second = makeChain(lambda name, device: loaded.append(name) or segmenter, sceneFile=file)
    second.logic.setModel("mine")
    assert np.array_equal(second.mask(), mask)
    assert [prompt.isForeground for prompt in second.status().prompts] == [True, False]
    assert np.allclose([prompt.ras for prompt in second.status().prompts], points)
    assert second.controller._prompts.markupsNode.GetNumberOfControlPoints() == 2
    assert second.options.hintBox.checked and second.options.outsideButton.checked
    second.paint((0, 0, 0), (3, 3, 3))
    assert second.options.pointLabel.text == "none yet"
    second.undo()
    assert second.options.pointLabel.text == "outside, of 2"
    second.options.replayButton.click()
    second.settle()
    assert np.array_equal(second.mask(), mask) and loaded == ["mine"] and second.options.errorLabel.text == ""
    second.press((14, 25, 18))  # goes on with the points, as the scene says, outside
    assert len(second.status().prompts) == 3 and not second.mask()[14, 25, 18]


def test_replay_takes_the_model_that_the_scene_names(makeChain, segmenter, tmp_path):
    file = tmp_path / "case.mrb"
    first = makeChain()
    first.logic.setModel("mine")
    first.press(FIRST)
    mask = first.mask()
    first.scene.save(file)
    first.close()
    loaded = []
    second = makeChain(lambda name, device: loaded.append(name) or segmenter, sceneFile=file)
    second.paint((0, 0, 0), (3, 3, 3))
    second.options.replayButton.click()
    second.settle()
    assert loaded == ["mine"] and np.array_equal(second.mask(), mask)


def test_nothing_of_what_is_shown_is_saved(makeChain, tmp_path):
    first = makeChain()
    first.options.hintBox.checked = True
    first.press(FIRST)
    first.options.boxButton.click()
    first.scene.save(tmp_path / "case.mrml")
    text = (tmp_path / "case.mrml").read_text(encoding="utf-8")
    assert "Segmentation" in text and "SAM 3D" not in text


def test_another_source_volume_is_segmented_from_what_is_there(chain, segmenter):
    chain.press(FIRST)
    before = chain.mask()
    other = chain.scene.addVolume(twoBlobs()[::-1, :, :], name="Mirrored", shown=True)
    chain.editor.setSourceVolumeNode(other)
    chain.views.show(other)
    assert chain.status().prompts == () and np.array_equal(chain.mask(), before)
    chain.press((33, 20, 18))
    assert segmenter.decoded[-1]["previous"] is not None and len(segmenter.decoded[-1]["points"]) == 1
    assert chain.mask()[33, 20, 18] and len(chain.status().prompts) == 1
    chain.editor.setSourceVolumeNode(chain.volume)
    assert chain.status().prompts == ()  # given on the other volume


@pytest.fixture
def frames(chain):
    """A sequence of three frames in which the blobs move by four voxels each, shown through its proxy volume."""
    sequence = chain.scene.mrml.AddNewNodeByClass("vtkMRMLSequenceNode")
    for time in range(3):
        frame = chain.scene.addVolume(np.roll(twoBlobs(), 4 * time, axis=1), name=f"Frame {time}")
        sequence.SetDataNodeAtValue(frame, str(time))
        chain.scene.mrml.RemoveNode(frame)
    browser = chain.scene.mrml.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())

    def show(index):
        browser.SetSelectedItemNumber(index)
        chain.scene.logics["sequences"].UpdateProxyNodesFromSequences(browser)
        chain.host.run(0.03)

    show(0)
    chain.volume = browser.GetProxyNode(sequence)
    chain.volume.CreateDefaultDisplayNodes()
    chain.editor.setSourceVolumeNode(chain.volume)
    chain.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(chain.volume)
    chain.views.show(chain.volume)
    return show


def test_every_time_frame_of_a_sequence_is_its_own_image(chain, frames, segmenter):
    chain.press(FIRST)
    first = chain.mask()
    assert isFirstBlob(first) and chain.options.pointLabel.text == "inside, of 1"
    frames(1)
    assert chain.status().prompts == () and chain.options.pointLabel.text == "none yet"  # given on another image
    assert np.array_equal(chain.mask(), first)
    count = len(segmenter.encoded)
    chain.editor.selectSegment("Segment_2")
    chain.press((14, 24, 18))
    assert isFirstBlob(chain.mask("Segment_2"), (14, 24, 18)) and len(segmenter.encoded) > count
    frames(0)
    chain.editor.selectSegment("Segment_1")
    assert len(chain.status().prompts) == 1  # its points, back with its frame
    chain.press(CUT, ctrl=True)
    assert not chain.mask()[CUT] and chain.mask()[FIRST] and len(chain.status().prompts) == 2


def test_a_frame_that_changes_while_a_request_runs(chain, frames, segmenter):
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    chain.press(FIRST, waits=False)
    frames(2)
    gate.set()
    chain.settle()
    assert isFirstBlob(chain.mask()) and chain.status().prompts == ()  # answered for the frame that was clicked
    chain.press((14, 28, 18))
    assert segmenter.decoded[-1]["previous"] is not None and len(chain.status().prompts) == 1


def test_image_data_replaced_in_place(chain, segmenter):
    chain.press(FIRST)
    slicer.util.arrayFromVolume(chain.volume)[:] = twoBlobs().T[:, :, ::-1]
    slicer.util.arrayFromVolumeModified(chain.volume)
    chain.host.run(0.03)
    assert chain.options.pointLabel.text == "none yet"
    chain.press((33, 20, 18))
    assert segmenter.decoded[-1]["previous"] is not None and chain.mask()[33, 20, 18]


def test_a_scene_closed_while_a_request_runs(chain, segmenter):
    entered, gate = threading.Event(), threading.Event()
    segmenter.on_encode = lambda: (entered.set(), gate.wait(30))
    chain.press(FIRST, waits=False)
    chain.host.wait(entered.is_set)
    chain.scene.mrml.Clear(False)
    assert not chain.logic.isBusy
    gate.set()
    chain.settle()
    assert chain.events.count("written") == 0 and chain.options.errorLabel.text == ""
    segmenter.on_encode = None
    chain.volume = chain.scene.addVolume(twoBlobs(), shown=True)
    chain.segmentation = chain.scene.addSegmentation(chain.volume)
    chain.views.show(chain.volume)
    chain.editor.setLogic(chain.scene.addEditor(chain.segmentation, chain.volume))  # as Slicer does
    assert chain.editor.activeEffect is None
    chain.activate()
    chain.press(FIRST)
    assert isFirstBlob(chain.mask()) and len(chain.status().prompts) == 1


def test_a_segment_removed_while_a_request_runs(chain, segmenter):
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    chain.press(FIRST, waits=False)
    chain.segmentation.GetSegmentation().RemoveSegment("Segment_1")
    gate.set()
    chain.settle()
    assert not chain.mask("Segment_2").any() and chain.options.errorLabel.text == ""
    assert chain.segmentation.GetSegmentation().GetNumberOfSegments() == 1
    chain.editor.selectSegment("Segment_2")
    chain.press(SECOND)
    assert chain.mask("Segment_2")[SECOND] and chain.options.errorLabel.text == ""


def test_a_package_reloaded_while_a_request_runs(chain, segmenter):
    """What was asked is still written by the old copy; a new editor goes on from it with the new one."""
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    chain.press(FIRST, waits=False)
    old = type(chain.effect)
    for name in [name for name in sys.modules if name.split(".")[0] == "SAM3DSegmentLib"]:
        del sys.modules[name]
    chain.host.registerEffect()
    engine = importlib.import_module("SAM3DSegmentLib.Editor.InferenceEngine").InferenceEngine
    logic = importlib.import_module("SAM3DSegmentLib.Editor.EditorLogic")
    new = logic.EditorLogic(engine=engine(lambda name, device: segmenter))
    gate.set()
    chain.settle()
    assert isFirstBlob(chain.mask())
    chain.deactivate()
    oldLogic, chain.logic = chain.logic, new
    chain.editor = chain.addEditor()
    chain.activate()
    assert type(chain.effect) is not old and len(chain.status().prompts) == 1
    chain.press(CUT, ctrl=True)
    assert not chain.mask()[CUT] and len(chain.status().prompts) == 2 and chain.mask()[FIRST]
    oldLogic.close()
