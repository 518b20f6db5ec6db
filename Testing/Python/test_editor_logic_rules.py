"""Slicer's own rules hold for the answers: editable area, intensity range, overwriting, whoever is selected."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

from slicer_host.editing import dice  # noqa: E402
from slicer_host.fixtures import editing, makeEditing, scene  # noqa: E402, F401

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
SEGMENTS = ("Segment_1", "Segment_2", "Segment_3")
WALL = (slice(14, 18), slice(12, 28), slice(10, 26))  # what Segment_2 holds, through the first blob
FAR = (slice(30, 34), slice(0, 8), slice(0, 8))  # what Segment_3 holds


@pytest.fixture
def rules(makeEditing):  # noqa: F811
    """Three segments: the first is clicked, the second cuts through the blob and is visible, the third is hidden."""
    bench = makeEditing(segments=SEGMENTS)
    bench.paint((14, 12, 10), (17, 27, 25), segmentId="Segment_2")
    bench.paint((30, 0, 0), (33, 7, 7), segmentId="Segment_3")
    bench.paint((10, 18, 16), (11, 21, 19), segmentId="Segment_3")  # a hidden corner within the blob
    bench.segmentation.GetDisplayNode().SetSegmentVisibility("Segment_3", False)
    return bench


@pytest.fixture
def free(makeEditing):  # noqa: F811
    """The mask without any rule."""
    bench = makeEditing()
    bench.click(FIRST)
    return bench.mask()


MODES = {
    "EditAllowedEverywhere": lambda wall, hidden: np.ones_like(wall),
    "EditAllowedInsideAllSegments": lambda wall, hidden: wall | hidden,
    "EditAllowedInsideVisibleSegments": lambda wall, hidden: wall,
    "EditAllowedOutsideAllSegments": lambda wall, hidden: ~(wall | hidden),
    "EditAllowedOutsideVisibleSegments": lambda wall, hidden: ~wall,
    "EditAllowedInsideSingleSegment": lambda wall, hidden: wall,
}


@pytest.mark.parametrize("mode", MODES)
def test_the_editable_area_limits_the_answer(rules, free, mode):
    rules.parameters.SetMaskMode(getattr(slicer.vtkMRMLSegmentationNode, mode))
    rules.parameters.SetMaskSegmentID("Segment_2")
    wall, hidden = rules.mask("Segment_2"), rules.mask("Segment_3")
    rules.click(FIRST)
    assert np.array_equal(rules.mask(), free & MODES[mode](wall, hidden))
    assert np.array_equal(rules.mask("Segment_2"), wall) and np.array_equal(rules.mask("Segment_3"), hidden)
    assert len(rules.status().prompts) == 1  # the masked content is known as this click's
    rules.click((14, 20, 13), isForeground=False)
    assert len(rules.status().prompts) == 2 and not (rules.mask() & ~MODES[mode](wall, hidden) & ~free).any()


def test_the_editable_area_is_that_of_the_clicked_segment_whichever_is_selected(rules, free):
    rules.parameters.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    rules.click(FIRST, waits=False)
    rules.parameters.SetSelectedSegmentID("Segment_2")
    rules.settle()
    wall, hidden = rules.mask("Segment_2"), rules.mask("Segment_3")
    assert np.array_equal(rules.mask(), free & ~wall & ~hidden) and wall[15, 20, 18]
    assert rules.parameters.GetSelectedSegmentID() == "Segment_2"


def test_what_the_rules_kept_out_comes_in_once_they_are_lifted(rules, free):
    rules.parameters.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    rules.click(FIRST)
    rules.parameters.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
    rules.click((15, 20, 18))
    assert dice(rules.mask(), free) > 0.95


def test_the_intensity_range_limits_the_answer(makeEditing):  # noqa: F811
    bench = makeEditing()
    values = slicer.util.arrayFromVolume(bench.volume).T
    values[14:] -= 60 * (values[14:] > 0)  # half of the blob is darker
    slicer.util.arrayFromVolumeModified(bench.volume)
    bench.parameters.SetSourceVolumeIntensityMask(True)
    bench.parameters.SetSourceVolumeIntensityMaskRange(180, 300)
    bench.click((12, 20, 18))
    mask = bench.mask()
    assert mask[12, 20, 18] and mask.sum() > 400 and (values[mask] >= 180).all()


OVERWRITES = {"OverwriteNone": (), "OverwriteVisibleSegments": ("Segment_2",), "OverwriteAllSegments": SEGMENTS[1:]}


@pytest.mark.parametrize("mode", OVERWRITES)
def test_the_overwrite_mode_says_which_neighbours_give_way(rules, free, mode):
    rules.parameters.SetOverwriteMode(getattr(slicer.vtkMRMLSegmentEditorNode, mode))
    before = {name: rules.mask(name) for name in SEGMENTS}
    rules.click(FIRST)
    assert np.array_equal(rules.mask(), free)
    for name in SEGMENTS[1:]:
        expected = before[name] & ~free if name in OVERWRITES[mode] else before[name]
        assert np.array_equal(rules.mask(name), expected), name
    rules.undo()
    for name in SEGMENTS:
        assert np.array_equal(rules.mask(name), before[name]), name


@pytest.mark.parametrize("mode", OVERWRITES)
def test_segments_that_share_a_labelmap_stay_apart(makeEditing, mode):  # noqa: F811
    bench = makeEditing()
    bench.parameters.SetOverwriteMode(getattr(slicer.vtkMRMLSegmentEditorNode, mode))
    bench.click(FIRST)
    bench.click(SECOND, segmentId="Segment_2")
    bench.segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert bench.segmentation.GetSegmentation().GetNumberOfLayers() == 1
    assert len(bench.status().prompts) == 1 and len(bench.status("Segment_2").prompts) == 1
    first, second = bench.mask(), bench.mask("Segment_2")
    bench.click((14, 20, 13), isForeground=False)
    assert np.array_equal(bench.mask("Segment_2"), second) and bench.mask().sum() < first.sum()
    assert len(bench.status().prompts) == 2


def test_strokes_made_while_a_request_runs_survive(makeEditing, segmenter):  # noqa: F811
    import threading

    bench = makeEditing()
    bench.click(FIRST)
    entered, gate = threading.Event(), threading.Event()
    plain = segmenter.decode

    def decode(*arguments):
        entered.set()
        gate.wait()
        return plain(*arguments)

    segmenter.decode = decode
    bench.click((15, 20, 18), waits=False)
    assert entered.wait(10)
    bench.paint((0, 0, 0), (3, 3, 3))
    bench.paint((14, 20, 18), (15, 21, 19), mode="remove")
    gate.set()
    bench.settle()
    assert bench.mask()[:4, :4, :4].all() and not bench.mask()[14:16, 20:22, 18:20].any()
    bench.undo()
    assert bench.mask()[:4, :4, :4].all() and not bench.mask()[14:16, 20:22, 18:20].any()
    bench.redo()
    assert bench.status().prompts == ()  # strokes are foreign: the next click starts from them
    segmenter.decode = plain
    bench.click((14, 20, 12), isForeground=False)
    assert segmenter.decoded[-1]["previous"] is not None and len(bench.status().prompts) == 1


def test_a_request_on_a_segmentation_that_the_editor_left_waits_for_its_return(makeEditing):  # noqa: F811
    bench = makeEditing()
    other = bench.scene.addSegmentation(bench.volume, name="Other")
    bench.click(FIRST, waits=False)
    bench.parameters.SetAndObserveSegmentationNode(other)
    bench.settle()
    assert not bench.mask().any() and "select it again" in bench.logic.lastError.message
    bench.parameters.SetAndObserveSegmentationNode(bench.segmentation)
    bench.logic.retry()
    bench.settle()
    assert bench.mask()[FIRST] and bench.editor.CanUndo()


def test_two_editors_on_two_segmentations(makeEditing):  # noqa: F811
    bench = makeEditing()
    other = bench.scene.addSegmentation(bench.volume, name="Other")
    editor = bench.scene.addEditor(other, bench.volume)
    from SAM3DSegmentLib.Editor.EditorLogic import Target
    from SAM3DSegmentLib.Editor.EditPorts import LogicPort

    there = Target(bench.volume, other, "Segment_1", LogicPort(editor))
    bench.click(FIRST, waits=False)
    bench.logic.addClick(there, bench.ras(SECOND), True)
    bench.settle()
    from slicer_host.scene import segmentVoxels

    theirs = segmentVoxels(other, "Segment_1", bench.volume)
    assert bench.mask()[FIRST] and not bench.mask()[SECOND] and theirs[SECOND] and not theirs[FIRST]
    editor.Undo()
    assert bench.mask()[FIRST] and bench.logic.statusOf(there).prompts == () and len(bench.status().prompts) == 1
