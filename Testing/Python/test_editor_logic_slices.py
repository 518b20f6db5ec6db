"""Models of slices in the editor logic: their options are like another model, and are kept with the prompts."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from slice_toys import ThresholdSliceSegmenter  # noqa: E402
from slicer_host.editing import Editing, twoBlobs  # noqa: E402
from slicer_host.fixtures import scene  # noqa: E402, F401

from sam3dseg.promptjson import INITIAL_TAG  # noqa: E402
from sam3dseg.slices.options import SliceOptions  # noqa: E402
from SAM3DSegmentLib.Editor.PromptStore import PROMPTS_TAG, PromptStore, tagOf  # noqa: E402

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
ONE_SLICE = {"orientation": "axial", "direction": "none"}
UPWARD = {"orientation": "axial", "direction": "forward"}


@pytest.fixture
def network():
    return ThresholdSliceSegmenter(logits_size=64)


@pytest.fixture
def bench(scene, network):  # noqa: F811
    """Two blobs and a model of slices; `loads` has what was loaded."""
    loads = []
    bench = Editing(scene, lambda name, device: loads.append(name) or network, twoBlobs())
    bench.loads = loads
    bench.logic.setModel("slices", "cpu", ONE_SLICE)
    yield bench
    bench.close()


def tagIn(bench, segmentId="Segment_1"):
    return tagOf(bench.segmentation.GetSegmentation().GetSegment(segmentId), PROMPTS_TAG)


def slicesOf(mask, axis=2):
    """Which slices across an axis hold anything."""
    return np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))).tolist()


@pytest.mark.parametrize(("orientation", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_the_orientation_says_which_slice_a_click_is_for(bench, orientation, axis):
    bench.logic.setModel("slices", "cpu", {"orientation": orientation, "direction": "none"})
    bench.click(FIRST)
    assert slicesOf(bench.mask(), axis) == [FIRST[axis]] and bench.mask()[FIRST]


def test_the_direction_says_where_it_goes_from_there(bench):
    bench.logic.setModel("slices", "cpu", UPWARD)
    bench.click(FIRST)
    found = slicesOf(bench.mask())
    assert found[0] == FIRST[2] and len(found) > 4


def test_options_that_there_are_not_are_refused(bench):
    with pytest.raises(ValueError, match="orientation must be one of"):
        bench.logic.setModel("slices", "cpu", {"orientation": "oblique"})
    bench.click(FIRST)
    assert slicesOf(bench.mask()) == [FIRST[2]]  # the model as it was


def test_other_options_are_like_another_model_but_nothing_is_loaded_anew(bench, network):
    bench.click(FIRST)
    before = bench.mask()
    bench.logic.setModel("slices", "cpu", UPWARD)
    assert bench.status().prompts == () and np.array_equal(bench.mask(), before)
    bench.click((14, 20, 20))
    assert len(bench.status().prompts) == 1 and bench.loads == ["slices"]
    assert bench.mask()[FIRST] and slicesOf(bench.mask())[0] == FIRST[2]  # what was there is still in it
    bench.undo()
    bench.logic.setModel("slices", "cpu", ONE_SLICE)
    assert np.array_equal(bench.mask(), before) and len(bench.status().prompts) == 1


def test_slices_encoded_under_other_options_are_still_there_on_the_way_back(bench, network):
    bench.click(FIRST)
    bench.logic.setModel("slices", "cpu", {"orientation": "coronal", "direction": "none"})
    bench.click(SECOND, segmentId="Segment_2")
    count = len(network.encoded)
    bench.logic.setModel("slices", "cpu", ONE_SLICE)
    bench.click((16, 20, 18))
    assert len(network.encoded) == count


def test_the_same_model_again_changes_nothing(bench):
    bench.click(FIRST)
    bench.events.clear()
    bench.logic.setModel("slices", "cpu", dict(ONE_SLICE))
    assert bench.events == [] and len(bench.status().prompts) == 1


def test_prompts_know_the_options_that_answered_them(bench):
    bench.click(FIRST)
    before = bench.mask()
    kept = json.loads(tagIn(bench))
    assert kept["model"] == "slices" and SliceOptions(**kept["parameters"]["slices"]) == SliceOptions(**ONE_SLICE)
    bench.paint((0, 0, 0), (3, 3, 3))
    bench.logic.setModel("slices", "cpu", UPWARD)
    bench.logic.replay(bench.target())
    bench.settle()
    assert np.array_equal(bench.mask(), before)  # of one slice, as it was answered
    assert json.loads(tagIn(bench))["parameters"]["slices"]["direction"] == "none"


def test_points_of_other_options_are_not_taken_for_the_content_of_a_reopened_scene(bench, scene, network):  # noqa: F811
    bench.click(FIRST)
    tag = tagIn(bench)
    again = Editing(scene, lambda name, device: network, twoBlobs())
    again.paint((0, 0, 0), (0, 0, 0))
    again.logic.setModel("slices", "cpu", ONE_SLICE)
    segment, store = again.segmentation.GetSegmentation().GetSegment("Segment_1"), PromptStore()
    content = again.logic._reader.read(again.segmentation, "Segment_1").digest
    segment.SetTag(PROMPTS_TAG, json.dumps(json.loads(tag) | {"content": content}))
    assert store.read(segment).model.slices == SliceOptions(**ONE_SLICE)
    assert len(again.status().prompts) == 1
    again.logic.setModel("slices", "cpu", UPWARD)
    assert again.status().prompts == ()
    again.close()


def test_prompts_of_before_there_were_options_can_be_read(bench):
    bench.click(FIRST)
    text = json.loads(tagIn(bench))
    del text["parameters"]["slices"]
    segment = bench.segmentation.GetSegmentation().GetSegment("Segment_1")
    segment.SetTag(PROMPTS_TAG, json.dumps(text))
    assert not segment.HasTag(INITIAL_TAG)
    kept = PromptStore().read(segment)
    assert (kept.model.name, kept.model.slices) == ("slices", None) and len(kept.step.clicks) == 1


def test_what_the_engine_has_to_say_is_in_the_status_of_the_step(bench):
    tube = np.full((48, 44, 40), 50, np.int16)
    tube[18:26, 18:26, 5:20] = 200
    tube[4:44, 4:40, 20:30] = 200  # it runs into something much larger
    bench.scene.setVoxels(bench.volume, tube)
    bench.logic.setModel("slices", "cpu", {"orientation": "axial", "direction": "both"})
    bench.click((21, 21, 12))
    notices = bench.status().notices
    assert any("slice k = 20" in notice for notice in notices) and slicesOf(bench.mask())[-1] == 19
    bench.logic.showStep(bench.target(), 0)
    bench.settle()
    assert bench.status().notices == ()
    bench.logic.showStep(bench.target(), 1)
    bench.settle()
    assert bench.status().notices == notices


@pytest.fixture
def halfway(bench, network):
    """A mask of one slice, and a second request that has begun to go upward and is held."""
    bench.click(FIRST)
    before = bench.mask()
    bench.logic.setModel("slices", "cpu", UPWARD)
    entered, gate = threading.Event(), threading.Event()

    def hold():
        if len(network.encoded) > 4:
            entered.set()
            gate.wait(30)

    network.wait = hold
    bench.click((14, 20, 19), waits=False)
    assert entered.wait(30)
    yield before, gate
    gate.set()


def test_progress_is_told_slice_by_slice(bench, halfway):
    bench.logic.poll()
    progress = bench.status().progress
    assert progress.done >= 1 and "slice" in progress.text and "progress" in bench.events
    assert bench.status().text == "Segmenting…" and bench.status("Segment_2").progress is None
    halfway[1].set()
    bench.settle()
    assert bench.status().progress is None and len(bench.status().prompts) == 1


def test_cancelled_half_way_the_segment_is_as_it_was(bench, halfway):
    before, gate = halfway
    bench.logic.cancel()
    assert not bench.logic.isBusy
    gate.set()
    bench.settle()
    assert np.array_equal(bench.mask(), before) and bench.logic.lastError is None
    bench.click((14, 20, 19))  # and the next one goes all the way
    assert len(slicesOf(bench.mask())) > 4
