"""Undo and redo of the Segment Editor take the clicks along; strokes by others are taken up; steps can be shown."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from slicer_host.fixtures import editing, scene  # noqa: E402, F401

FIRST = (14, 20, 18)
CLICKS = [(FIRST, True), ((14, 20, 13), False), ((14, 25, 18), False), ((9, 20, 18), False), ((14, 20, 23), False)]


def test_five_clicks_undone_and_redone_twice(editing):  # noqa: F811
    masks = [editing.mask()]
    for ijk, isForeground in CLICKS:
        editing.click(ijk, isForeground=isForeground)
        masks.append(editing.mask())
    assert len({mask.tobytes() for mask in masks}) == 6
    for _ in range(2):
        for count in range(4, -1, -1):
            editing.undo()
            assert np.array_equal(editing.mask(), masks[count])
            assert len(editing.status().prompts) == count == editing.status().position
        for count in range(1, 6):
            editing.redo()
            assert np.array_equal(editing.mask(), masks[count])
            assert len(editing.status().prompts) == count == editing.status().position
    assert not editing.editor.CanRedo()


def test_undo_and_redo_are_told(editing):  # noqa: F811
    editing.click(FIRST)
    for step in (editing.undo, editing.redo):
        editing.events.clear()
        step()
        assert editing.events and set(editing.events) == {"changed"}


def test_a_click_after_undo_goes_on_from_there(editing, segmenter):  # noqa: F811
    for ijk, isForeground in CLICKS[:3]:
        editing.click(ijk, isForeground=isForeground)
    editing.undo()
    editing.undo()
    editing.click((14, 20, 23), isForeground=False)
    assert len(segmenter.decoded[-1]["points"]) == 2
    assert (editing.status().position, editing.status().length) == (2, 3)
    mask = editing.mask()
    editing.undo()
    editing.redo()
    assert np.array_equal(editing.mask(), mask) and len(editing.status().prompts) == 2


def test_strokes_between_clicks_are_taken_up_and_undone_in_step(editing, segmenter):  # noqa: F811
    """click, click, paint, click, erase, click: five ways back and forward through it, all in step."""
    states = [(editing.mask(), 0)]

    def remember(prompts):
        assert len(editing.status().prompts) == prompts
        states.append((editing.mask(), prompts))

    editing.click(FIRST)
    remember(1)
    editing.click((14, 20, 13), isForeground=False)
    remember(2)
    editing.paint((16, 18, 16), (24, 22, 20))
    assert editing.status().prompts == ()
    states.append((editing.mask(), 0))
    editing.click((14, 25, 18), isForeground=False)
    last = segmenter.decoded[-1]
    assert last["previous"] is not None and last["labels"].tolist() == [0, 1]  # the new point, and what to keep
    remember(1)
    editing.paint((20, 18, 16), (24, 22, 20), mode="remove")
    states.append((editing.mask(), 0))
    editing.click((9, 20, 18), isForeground=False)
    remember(1)
    for _ in range(5):
        for mask, prompts in states[-2::-1]:
            editing.undo()
            assert np.array_equal(editing.mask(), mask) and len(editing.status().prompts) == prompts
        for mask, prompts in states[1:]:
            editing.redo()
            assert np.array_equal(editing.mask(), mask) and len(editing.status().prompts) == prompts
    editing.click((14, 20, 23), isForeground=False)
    assert len(editing.status().prompts) == 2


def test_undo_while_a_request_runs_drops_its_answer(editing, segmenter):  # noqa: F811
    editing.click(FIRST)
    entered, gate = threading.Event(), threading.Event()
    plain = segmenter.decode

    def decode(*arguments):
        entered.set()
        gate.wait()
        return plain(*arguments)

    segmenter.decode = decode
    editing.click((14, 20, 13), isForeground=False, waits=False)
    assert entered.wait(10)
    editing.undo()
    gate.set()
    editing.settle()
    assert not editing.mask().any() and editing.status().prompts == () and editing.editor.CanRedo()
    editing.redo()
    assert len(editing.status().prompts) == 1


def test_a_click_that_changes_nothing_is_still_one_undo_state(editing):  # noqa: F811
    editing.click(FIRST)
    before = editing.mask()
    editing.click((14, 20, 19))
    if not np.array_equal(editing.mask(), before):
        pytest.skip("the stand-in answered this click with another mask")
    assert len(editing.status().prompts) == 2
    editing.undo()
    assert len(editing.status().prompts) == 1
    editing.redo()
    assert len(editing.status().prompts) == 2


def test_steps_can_be_shown_and_are_one_undo_state(editing):  # noqa: F811
    masks = []
    for ijk, isForeground in CLICKS[:4]:
        editing.click(ijk, isForeground=isForeground)
        masks.append(editing.mask())
    for position in (3, 2, 1):
        editing.logic.showStep(editing.target(), position)
        editing.settle()
        assert np.array_equal(editing.mask(), masks[position - 1])
        assert (editing.status().position, editing.status().length) == (position, 5)
    editing.undo()
    assert np.array_equal(editing.mask(), masks[3]) and len(editing.status().prompts) == 4
    editing.redo()
    assert np.array_equal(editing.mask(), masks[0])
    editing.click((14, 20, 23), isForeground=False)
    assert (editing.status().position, editing.status().length) == (2, 3)
    with pytest.raises(ValueError, match="expected a step from 0 to 2, received 4"):
        editing.logic.showStep(editing.target(), 4)


def test_steps_asked_for_in_a_row_are_answered_once(editing, segmenter):  # noqa: F811
    for ijk, isForeground in CLICKS[:3]:
        editing.click(ijk, isForeground=isForeground)
    count = editing.events.count("written")
    for position in (2, 1, 0):
        editing.logic.showStep(editing.target(), position)
    editing.settle()
    assert not editing.mask().any() and editing.events.count("written") <= count + 2


def test_more_clicks_than_the_history_holds(editing):  # noqa: F811
    editing.click(FIRST)
    for n in range(40):
        editing.click((10 + n % 9, 20, 18))
    assert editing.status().length == 33 and len(editing.status().prompts) == 41
    last = editing.mask()
    for _ in range(8):
        editing.undo()
    assert len(editing.status().prompts) == 33
    for _ in range(8):
        editing.redo()
    assert len(editing.status().prompts) == 41 and np.array_equal(editing.mask(), last)


def test_segments_far_back_are_answered_anew_from_their_tags(editing, segmenter):  # noqa: F811
    """Only a few segments keep their logits; one before them goes on all the same."""
    editing.click(FIRST)
    editing.click((14, 20, 13), isForeground=False)
    segmentation = editing.segmentation.GetSegmentation()
    for n in range(6):
        segmentation.AddEmptySegment(f"More_{n}")
        editing.click((34, 24, 22), segmentId=f"More_{n}")
    assert len(editing.status().prompts) == 2 and editing.status().length == 1
    decoded = len(segmenter.decoded)
    editing.click((14, 25, 18), isForeground=False)
    assert len(segmenter.decoded) > decoded + 1 and len(editing.status().prompts) == 3
    assert not editing.mask()[14, 20, 13] and not editing.mask()[14, 25, 18]
