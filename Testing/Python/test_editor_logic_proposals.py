"""Proposals of the editor logic: one segment per class, where the voxels are, as one undo state."""

from __future__ import annotations

import threading

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

from slicer_host.blob_proposer import CLASSES, BlobProposer  # noqa: E402
from slicer_host.editing import Editing, ball, dice, twoBlobs  # noqa: E402
from slicer_host.fixtures import scene  # noqa: E402, F401
from slicer_host.scene import segmentVoxels  # noqa: E402

from SAM3DSegmentLib.Editor import RequestRunner  # noqa: E402
from SAM3DSegmentLib.Editor.EditorLogic import EditorLogic  # noqa: E402
from SAM3DSegmentLib.Editor.EngineLoading import loadProposer  # noqa: E402
from SAM3DSegmentLib.Editor.InferenceEngine import InferenceEngine  # noqa: E402
from SAM3DSegmentLib.Editor.ProposalEngine import ProposalEngine  # noqa: E402

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
MODEL = "organs.safetensors"
OBLIQUE = np.array([[0.8, -0.5, 0.1, 5], [0.5, 0.9, 0.2, -30], [-0.2, -0.1, 1.6, 12], [0, 0, 0, 1.0]])
OBLIQUE[:3, :3] = np.linalg.qr(OBLIQUE[:3, :3])[0] * (0.9, 1.0, 1.6)


@pytest.fixture
def proposer():
    return BlobProposer()


@pytest.fixture
def makeBench(scene, segmenter, proposer):  # noqa: F811
    """Editing(...) with both stand-ins; `loads` has what was loaded."""
    made = []

    def make(**options):
        loads = []
        proposals = ProposalEngine(lambda name, device: loads.append((name, device)) or proposer)
        logic = EditorLogic(engine=InferenceEngine(lambda name, device: segmenter), proposals=proposals)
        made.append(Editing(scene, None, twoBlobs(), logic=logic, **options))
        made[-1].loads = loads
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(makeBench):
    return makeBench()


def propose(bench):
    bench.logic.propose(bench.target(), MODEL)
    bench.settle()
    return names(bench)


def names(bench):
    """Segment id by name."""
    segmentation = bench.segmentation.GetSegmentation()
    return {segmentation.GetSegment(n).GetName(): n for n in segmentation.GetSegmentIDs()}


def truth(value):
    return twoBlobs() == value


@pytest.mark.parametrize("mode", ["OverwriteNone", "OverwriteAllSegments"])
def test_every_class_becomes_a_segment_with_its_name_and_colour(bench, proposer, mode):
    bench.parameters.SetOverwriteMode(getattr(slicer.vtkMRMLSegmentEditorNode, mode))
    found = propose(bench)
    assert list(found) == ["Segment_1", "Segment_2", "First", "Second", "Nowhere"]
    assert np.array_equal(bench.mask(found["First"]), truth(200))
    assert np.array_equal(bench.mask(found["Second"]), truth(150))
    assert not bench.mask(found["Nowhere"]).any()
    for structure in CLASSES:
        segment = bench.segmentation.GetSegmentation().GetSegment(found[structure.name])
        assert segment.GetColor() == structure.color
    proposed = bench.logic.lastProposed
    assert proposed.segmentIds == tuple(found[c.name] for c in CLASSES) and proposed.missing == ("Nowhere",)
    assert bench.events.count("proposed") == 1 and "written" not in bench.events
    assert proposer.asked[0]["spacing_mm"] == (1.0, 1.0, 1.0) and bench.loads == [(MODEL, "auto")]


def test_all_of_it_is_one_undo_state(bench):
    bench.click(FIRST)
    mask = bench.mask()
    propose(bench)
    bench.undo()
    assert list(names(bench)) == ["Segment_1", "Segment_2"] and np.array_equal(bench.mask(), mask)
    assert len(bench.status().prompts) == 1
    bench.redo()
    assert np.array_equal(bench.mask(names(bench)["Second"]), truth(150))


def test_an_empty_segment_of_the_name_is_filled_and_a_full_one_is_left_alone(makeBench):
    bench = makeBench(segments=("Segment_1", "First", "Second"))
    bench.paint((0, 0, 0), (3, 3, 3), segmentId="Second")
    before, color = bench.mask("Second"), bench.segmentation.GetSegmentation().GetSegment("First").GetColor()
    found = propose(bench)
    assert list(found) == ["Segment_1", "First", "Second", "Second_1", "Nowhere"]
    assert np.array_equal(bench.mask("First"), truth(200)) and np.array_equal(bench.mask("Second"), before)
    assert np.array_equal(bench.mask(found["Second_1"]), truth(150))
    assert bench.segmentation.GetSegmentation().GetSegment("First").GetColor() == color
    again = propose(bench)  # what was found nowhere is still empty, the rest comes once more
    assert list(again)[5:] == ["First_1", "Second_2"]


def test_a_click_starts_from_what_was_proposed(bench, segmenter):
    found = propose(bench)
    bench.click((14, 20, 13), isForeground=False, segmentId=found["First"])
    assert segmenter.decoded[-1]["previous"] is not None
    mask = bench.mask(found["First"])
    assert not mask[14, 20, 13] and dice(mask, truth(200)) > 0.8


def test_voxels_land_exactly_in_an_oblique_volume(makeBench, proposer):
    bench = makeBench(ijkToRas=OBLIQUE)
    found = propose(bench)
    assert np.array_equal(bench.mask(found["Second"]), truth(150))
    assert np.allclose(proposer.asked[0]["spacing_mm"], (0.9, 1.0, 1.6))
    assert np.allclose(proposer.asked[0]["direction"], OBLIQUE[:3, :3] / (0.9, 1.0, 1.6))


@pytest.mark.parametrize("which", ["both", "volume", "segmentation"])
def test_parent_transforms(bench, scene, which):  # noqa: F811
    shift = np.eye(4)
    shift[:3, 3] = (4, -5, 3)  # whole voxels, so that every grid has a voxel there
    node = scene.addTransform(shift).GetID()
    if which != "segmentation":
        bench.volume.SetAndObserveTransformNodeID(node)
    if which != "volume":
        bench.segmentation.SetAndObserveTransformNodeID(node)
    found = propose(bench)
    assert np.array_equal(bench.mask(found["Second"]), truth(150))


def test_a_segmentation_on_a_grid_of_its_own(bench, scene):  # noqa: F811
    finer = scene.addVolume(np.zeros((96, 88, 80), np.int16), ijkToRas=np.diag([0.5, 0.5, 0.5, 1]))
    bench.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(finer)
    found = propose(bench)
    fine = segmentVoxels(bench.segmentation, found["First"], finer)
    assert dice(fine, ball(fine.shape, (28, 40, 36), 14)) > 0.95


def test_the_editable_area_limits_proposals(bench):
    bench.paint((14, 12, 10), (17, 27, 25), segmentId="Segment_2")
    bench.parameters.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    bench.parameters.SetMaskSegmentID("Segment_2")
    wall = bench.mask("Segment_2")
    found = propose(bench)
    assert np.array_equal(bench.mask(found["First"]), truth(200) & wall) and not bench.mask(found["Second"]).any()


@pytest.fixture
def held(bench, proposer):
    """A proposal that has begun and waits at the gate."""
    entered, gate = threading.Event(), threading.Event()
    proposer.on_part = lambda: (entered.set(), gate.wait(30))
    bench.logic.propose(bench.target(), MODEL)
    assert entered.wait(30)
    yield gate
    gate.set()


def test_progress_is_told_and_shown_on_every_segment(bench, held, monkeypatch):
    monkeypatch.setattr(RequestRunner, "PROGRESS_S", 0.0)
    bench.logic.poll()
    for segmentId in ("Segment_1", "Segment_2"):
        status = bench.status(segmentId)
        assert (status.text, status.progress.done, status.progress.total) == ("Proposing…", 1, 2)
    assert bench.events.count("progress") == 1
    bench.logic.poll()
    assert bench.events.count("progress") == 1  # nothing new
    held.set()
    bench.settle()
    assert bench.status().progress is None


def test_cancel_leaves_everything_as_it_was(bench, held):
    bench.logic.cancel()
    assert not bench.logic.isBusy
    held.set()
    bench.settle()
    assert list(names(bench)) == ["Segment_1", "Segment_2"] and not bench.editor.CanUndo()
    assert bench.logic.lastError is None and "proposed" not in bench.events


def test_a_second_proposal_waits_for_the_first_to_end(bench, held):
    with pytest.raises(ValueError, match="on its way already"):
        bench.logic.propose(bench.target("Segment_2"), MODEL)
    held.set()
    bench.settle()
    assert bench.events.count("proposed") == 1


def test_clicks_that_come_meanwhile_are_answered_after_it(bench, held):
    bench.click(FIRST, waits=False)
    held.set()
    bench.settle()
    assert bench.mask()[FIRST] and bench.mask(names(bench)["Second"])[SECOND]


def test_the_segmentation_removed_meanwhile(bench, held, scene):  # noqa: F811
    scene.mrml.RemoveNode(bench.segmentation)
    held.set()
    bench.settle()
    assert "proposed" not in bench.events and bench.logic.lastError is None


def test_a_failure_is_said_and_try_again_proposes(bench, proposer):
    def fail():
        raise ValueError("the volume is too small: expected 3 slices, received 1")

    proposer.on_part = fail
    propose(bench)
    assert bench.logic.lastError.message.startswith("the volume is too small") and bench.events.count("failed") == 1
    proposer.on_part = None
    found = propose(bench)
    assert "First" in found and bench.logic.lastError is None


def test_what_cannot_be_used_is_refused_at_once(bench):
    bench.volume.SetAndObserveImageData(None)
    with pytest.raises(ValueError, match="expected a source volume"):
        bench.logic.propose(bench.target(), MODEL)


def test_a_model_for_clicks_is_named_in_the_error(bench):
    pytest.importorskip("torch")
    bench.logic._proposals = ProposalEngine(loadProposer)
    bench.logic.propose(bench.target(), "embedded")
    bench.settle()
    assert "embedded" in bench.logic.lastError.message and bench.logic.lastError.kind == "weights-missing"
