"""Requests of the editor logic: answered, gathered, refused, cancelled, failed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from slicer_host.editing import Editing, ball, dice, twoBlobs  # noqa: E402
from slicer_host.fixtures import editing, makeEditing, scene  # noqa: E402, F401

from SAM3DSegmentLib.Editor.EditorData import LogicError  # noqa: E402
from SAM3DSegmentLib.Editor.EditorLogic import EditorLogic, sharedLogic  # noqa: E402
from SAM3DSegmentLib.Editor.EngineLoading import EngineError  # noqa: E402

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
ENGINE_WITH_TORCH = ("sam3dseg.placement", "sam3dseg.segmenter", "sam3dseg.checkpoint")


def test_importing_the_logic_loads_neither_torch_nor_qt_nor_scipy():
    code = (
        "import sys, SAM3DSegmentLib.Editor.EditorLogic; "
        "print([m for m in ('torch', 'qt', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment())
    assert done.stdout.strip() == "[]", done.stderr


def test_a_click_becomes_a_segment(editing):
    editing.click(FIRST)
    assert dice(editing.mask(), ball(editing.mask().shape, FIRST, 7)) > 0.8
    status = editing.status()
    assert status.predictedIou == pytest.approx(0.9) and len(status.candidates) == 4
    assert (status.position, status.length) == (1, 2)
    assert status.prompts[0].isForeground and status.prompts[0].ras == pytest.approx(FIRST)
    assert status.deviceLine == "CPU" and status.deviceBytes == 123
    assert editing.events.count("written") == 1
    assert editing.logic.lastWritten.added is not None and editing.logic.lastWritten.removed is None


def test_a_point_is_shown_where_it_was_clicked_before_it_is_answered(editing):
    editing.logic.addClick(editing.target(), (14.3, 20.2, 17.9), True)
    assert editing.status().prompts[0].ras == pytest.approx((14.3, 20.2, 17.9))
    assert editing.status().text == "Segmenting…"
    editing.settle()
    assert [p.ras for p in editing.status().prompts] == [pytest.approx((14.3, 20.2, 17.9))]


def test_clicks_that_come_while_a_request_runs_are_one_request(editing, segmenter):
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    editing.click(FIRST, waits=False)
    editing.click((15, 20, 18), waits=False)
    editing.click((13, 21, 18), waits=False)
    assert len(editing.status().prompts) == 3
    gate.set()
    editing.settle()
    assert len(segmenter.decoded[-1]["points"]) == 3
    assert (editing.status().position, editing.events.count("written")) == (2, 2)
    editing.undo()
    assert len(editing.status().prompts) == 1


def test_clicks_on_two_segments_keep_apart(editing, segmenter):
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    editing.click(FIRST, waits=False)
    editing.click(SECOND, segmentId="Segment_2", waits=False)
    editing.click((15, 20, 18), waits=False)
    gate.set()
    editing.settle()
    assert editing.mask()[FIRST] and not editing.mask()[SECOND]
    assert editing.mask("Segment_2")[SECOND] and not editing.mask("Segment_2")[FIRST]
    assert len(editing.status().prompts) == 2 and len(editing.status("Segment_2").prompts) == 1


def test_background_cuts_and_asks_for_something_to_cut_from(editing):
    with pytest.raises(ValueError, match="click inside the structure first"):
        editing.click(FIRST, isForeground=False)
    editing.click(FIRST)
    before = editing.mask()
    editing.click((14, 20, 13), isForeground=False)
    assert editing.mask().sum() < before.sum() and not editing.mask()[14, 20, 13]
    assert editing.logic.lastWritten.removed is not None


def test_clicks_that_cannot_be_answered_are_refused_at_once(editing):
    with pytest.raises(ValueError, match=r"outside Volume: voxel \(48, 0, 0\)"):
        editing.click((48, 0, 0))
    nowhere = editing.target("Segment_9")
    with pytest.raises(ValueError, match="expected a segment to edit"):
        editing.logic.addClick(nowhere, (1, 1, 1), True)
    editing.volume.SetAndObserveImageData(None)
    with pytest.raises(ValueError, match="expected a source volume"):
        editing.logic.addClick(editing.target(), (1, 1, 1), True)
    assert editing.status().text.startswith("expected a source volume") and not editing.logic.isBusy


def test_a_box_marks_what_it_encloses(editing):
    editing.logic.addBox(editing.target(), [28, 40, 18, 30, 16, 28])
    editing.settle()
    assert editing.mask()[SECOND] and not editing.mask()[FIRST] and editing.status().prompts == ()
    editing.click((34, 24, 16), isForeground=False)
    assert not editing.mask()[34, 24, 16]
    with pytest.raises(ValueError, match="the box lies outside"):
        editing.logic.addBox(editing.target(), [100, 110, 0, 5, 0, 5])


def test_points_can_be_moved_flipped_and_deleted(editing):
    editing.click(FIRST)
    first = editing.mask()
    editing.click((14, 20, 13), isForeground=False)
    cut = editing.mask()
    target = editing.target()
    editing.logic.movePrompt(target, 1, editing.ras((14, 20, 23)))
    editing.settle()
    assert editing.mask()[14, 20, 13] and not editing.mask()[14, 20, 23]
    editing.logic.movePrompt(target, 1, editing.ras((14, 20, 13)))
    editing.settle()
    assert np.array_equal(editing.mask(), cut)
    editing.logic.flipPrompt(target, 1)
    editing.settle()
    assert [p.isForeground for p in editing.status().prompts] == [True, True] and editing.mask()[14, 20, 13]
    editing.logic.deletePrompt(target, 1)
    editing.settle()
    assert np.array_equal(editing.mask(), first) and len(editing.status().prompts) == 1
    for _ in range(4):
        editing.undo()
    assert np.array_equal(editing.mask(), cut)
    editing.undo()
    assert np.array_equal(editing.mask(), first)


def test_no_edit_leaves_only_background(editing):
    editing.click(FIRST)
    editing.click((14, 20, 13), isForeground=False)
    with pytest.raises(ValueError, match="only background points would be left"):
        editing.logic.deletePrompt(editing.target(), 0)
    with pytest.raises(ValueError, match="expected a point from 0 to 1, received 2"):
        editing.logic.flipPrompt(editing.target(), 2)
    editing.logic.flipPrompt(editing.target(), 1)
    editing.settle()
    editing.logic.flipPrompt(editing.target(), 0)  # the second request now marks the structure
    editing.settle()
    assert [p.isForeground for p in editing.status().prompts] == [False, True]


def test_deleting_the_only_point_empties_the_segment_and_can_be_undone(editing):
    editing.click(FIRST)
    before = editing.mask()
    editing.logic.deletePrompt(editing.target(), 0)
    editing.settle()
    assert not editing.mask().any() and editing.status().prompts == ()
    editing.undo()
    assert np.array_equal(editing.mask(), before) and len(editing.status().prompts) == 1


def test_another_candidate_can_be_chosen_and_is_built_on(editing):
    editing.click(FIRST)
    before = editing.mask()
    editing.logic.chooseCandidate(editing.target(), 1)
    editing.settle()
    assert editing.status().chosen == 1 and editing.status().predictedIou == pytest.approx(0.8)
    assert editing.mask().sum() < before.sum()
    with pytest.raises(ValueError, match="expected a candidate from 0 to 3, received 4"):
        editing.logic.chooseCandidate(editing.target(), 4)
    editing.undo()
    assert editing.status().chosen == 0 and np.array_equal(editing.mask(), before)


def test_refining_starts_from_the_segment(editing, segmenter):
    with pytest.raises(ValueError, match="received an empty one"):
        editing.logic.refineSegment(editing.target())
    editing.paint((10, 16, 14), (18, 24, 22))
    editing.logic.refineSegment(editing.target())
    editing.click((14, 20, 12), isForeground=False)
    last = segmenter.decoded[-1]
    assert last["previous"] is not None and last["labels"].tolist() == [0, 1]  # the model is told what to keep, too
    assert editing.mask()[FIRST] and not editing.mask()[14, 20, 12]
    assert len(editing.status().prompts) == 1


def test_clearing_prompts_keeps_the_mask(editing, segmenter):
    editing.click(FIRST)
    before = editing.mask()
    editing.logic.clearPrompts(editing.target())
    editing.settle()
    assert editing.status().prompts == () and np.array_equal(editing.mask(), before)
    editing.undo()
    assert len(editing.status().prompts) == 1
    editing.redo()
    assert editing.status().prompts == ()


def test_cancel_writes_nothing_and_the_next_click_works(editing, segmenter):
    entered, gate = threading.Event(), threading.Event()
    segmenter.on_encode = lambda: (entered.set(), gate.wait())
    editing.click(FIRST, waits=False)
    editing.click(SECOND, segmentId="Segment_2", waits=False)
    assert entered.wait(10)
    editing.logic.cancel()
    assert not editing.logic.isBusy and editing.status().prompts == ()
    gate.set()
    editing.settle()
    assert not editing.mask().any() and not editing.mask("Segment_2").any() and not editing.editor.CanUndo()
    editing.click(FIRST)
    assert editing.mask()[FIRST] and len(editing.status().prompts) == 1


def test_a_failing_worker_writes_nothing_and_keeps_the_clicks(editing, segmenter):
    def fail():
        raise RuntimeError("the driver is gone")

    segmenter.on_encode = fail
    editing.click(FIRST)
    assert not editing.mask().any() and not editing.editor.CanUndo() and "failed" in editing.events
    assert editing.logic.lastError.kind == "failed" and "the driver is gone" in editing.logic.lastError.message
    assert "the driver is gone" in editing.status().text and len(editing.status().prompts) == 1
    segmenter.on_encode = None
    editing.logic.retry()
    editing.settle()
    assert editing.mask()[FIRST] and editing.logic.lastError is None and len(editing.status().prompts) == 1


@pytest.mark.parametrize("kind", ["torch-missing", "weights-missing"])
def test_what_is_missing_is_said_and_the_clicks_wait_for_it(scene, segmenter, kind):  # noqa: F811
    def load(name, device):
        if missing:
            raise EngineError(LogicError("not there", kind))
        return segmenter

    missing = True
    bench = Editing(scene, load, twoBlobs())
    bench.click(FIRST)
    assert bench.logic.lastError == LogicError("not there", kind) and len(bench.status().prompts) == 1
    missing = False
    bench.click((15, 20, 18))
    assert bench.mask()[FIRST] and len(bench.status().prompts) == 2
    bench.close()


def test_real_weights_that_are_missing_are_weights_missing(scene, tmp_path):  # noqa: F811
    pytest.importorskip("torch", reason="PyTorch is not installed")
    bench = Editing(scene, None, twoBlobs(), logic=EditorLogic())
    bench.logic.setModel(str(tmp_path / "none.safetensors"), "cpu")
    bench.click(FIRST)
    assert bench.logic.lastError.kind == "weights-missing" and "none.safetensors" in bench.logic.lastError.message
    bench.logic.setModel("embedded", "cuda:7")
    bench.logic.retry()
    bench.settle()
    assert bench.logic.lastError.kind == "failed" and "cuda" in bench.logic.lastError.message.lower()
    bench.close()


def test_torch_that_cannot_be_imported_is_torch_missing(scene, monkeypatch):  # noqa: F811
    for name in [m for m in sys.modules if m.split(".")[0] == "torch" or m in ENGINE_WITH_TORCH]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    bench = Editing(scene, None, twoBlobs(), logic=EditorLogic())
    bench.click(FIRST)
    assert bench.logic.lastError.kind == "torch-missing" and not bench.mask().any()
    bench.close()


def test_preparing_encodes_ahead_and_never_disturbs(editing, segmenter):
    editing.logic.prepare(editing.target(), editing.ras(FIRST))
    assert editing.logic.needsPoll and not editing.logic.isBusy
    editing.settle()
    assert len(segmenter.encoded) == 1 and segmenter.decoded == []
    editing.click(FIRST)
    assert len(segmenter.encoded) == 1
    editing.logic.prepare(editing.target(), (1e6, 0, 0))
    segmenter.on_encode = lambda: 1 / 0
    editing.logic.prepare(editing.target("Segment_2"), editing.ras(SECOND))
    editing.settle()
    assert editing.logic.lastError is None and "failed" not in editing.events


def test_another_model_starts_from_what_is_there(editing, segmenter, make_segmenter):
    editing.click(FIRST)
    editing.logic.setModel("other")
    assert editing.status().prompts == ()
    editing.click((14, 20, 13), isForeground=False)
    assert segmenter.decoded[-1]["previous"] is not None and editing.mask()[FIRST]
    assert [p.isForeground for p in editing.status().prompts] == [False]


def test_the_shared_logic_is_one_until_it_is_closed():
    first = sharedLogic()
    assert sharedLogic() is first
    first.close()
    assert sharedLogic() is not first
    sharedLogic().close()


def _environment():
    folder = Path(__file__).parents[2] / "SAM3DSegment"
    return {**os.environ, "PYTHONPATH": str(folder)}
