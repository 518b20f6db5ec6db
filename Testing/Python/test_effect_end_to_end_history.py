"""Undo, redo, strokes of other effects, steps, candidates and points: voxels, points and logits stay in step."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PySide6")
slicer = pytest.importorskip("slicer")

from slicer_host.fixtures import chain, makeChain  # noqa: E402, F401

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
CUTS = [(14, 20, 13), (14, 25, 18), (9, 20, 18), (14, 20, 23)]


def shown(chain):
    """Where the points lie that the views show, in voxels, rounded; and their signs."""
    node = chain.controller._prompts.markupsNode
    count = node.GetNumberOfControlPoints() if node else 0
    points = [tuple(np.round(node.GetNthControlPointPositionWorld(n)).astype(int).tolist()) for n in range(count)]
    return [(point, bool(node.GetNthControlPointSelected(n))) for n, point in enumerate(points)]


def state(chain):
    """All that has to be in step: voxels, points in the views, and what the frame says of them."""
    return chain.mask().tobytes(), tuple(shown(chain)), chain.options.pointLabel.text


def test_five_clicks_undone_and_redone_three_times(chain):
    states = [state(chain)]
    chain.press(FIRST)
    states.append(state(chain))
    for ijk in CUTS:
        chain.press(ijk, ctrl=True)
        states.append(state(chain))
    assert len({mask for mask, _, _ in states}) == 6 and [len(points) for _, points, _ in states] == list(range(6))
    for _ in range(3):
        for expected in states[-2::-1]:
            chain.undo()
            assert state(chain) == expected and chain.options.stepSlider.value == len(expected[1])
        for expected in states[1:]:
            chain.redo()
            assert state(chain) == expected and chain.options.stepSlider.value == len(expected[1])
    assert not chain.editor.logic.CanRedo()


def test_strokes_between_clicks_are_taken_up_and_undone_in_step(chain, segmenter):
    """Click, click, stroke, click, erasure, click; five times back and forward through it."""
    states = [state(chain)]
    chain.press(FIRST)
    states.append(state(chain))
    chain.press(CUTS[0], ctrl=True)
    states.append(state(chain))
    chain.paint((16, 18, 16), (24, 22, 20))
    painted = chain.mask()
    assert painted[24, 20, 18] and shown(chain) == []
    states.append(state(chain))
    chain.press(CUTS[1], ctrl=True)
    given = segmenter.decoded[-1]
    # The stroke is the start, not the points before it: there is the new point, and one inside what to keep.
    assert given["previous"] is not None and given["labels"].tolist() == [0, 1]
    assert chain.mask()[22:25, 20, 18].all() and not chain.mask()[CUTS[1]] and len(shown(chain)) == 1
    states.append(state(chain))
    chain.paint((20, 18, 16), (24, 22, 20), mode="remove")
    states.append(state(chain))
    chain.press(CUTS[2], ctrl=True)
    assert not chain.mask()[20:25, 20, 18].any()
    states.append(state(chain))
    for _ in range(5):
        for expected in states[-2::-1]:
            chain.undo()
            assert state(chain) == expected
        for expected in states[1:]:
            chain.redo()
            assert state(chain) == expected


def test_logits_go_back_with_undo(makeChain, make_segmenter):
    """After undo, the next click starts from the logits of that step: as if the click taken back never was."""
    given = []
    for takesBack in (False, True):
        segmenter = make_segmenter()
        chain = makeChain(lambda name, device, segmenter=segmenter: segmenter)
        chain.press(FIRST)
        chain.press(CUTS[0], ctrl=True)
        if takesBack:
            chain.press(CUTS[1], ctrl=True)
            chain.undo()
        chain.press(CUTS[2], ctrl=True)
        given.append((segmenter.decoded[-1], chain.mask()))
        chain.close()
    (plain, mask), (undone, maskUndone) = given
    assert np.array_equal(plain["previous"], undone["previous"]) and np.array_equal(plain["points"], undone["points"])
    assert np.array_equal(mask, maskUndone)


def test_undo_while_a_request_runs_drops_its_answer(chain, segmenter):
    import threading

    chain.press(FIRST)
    entered, gate, plain = threading.Event(), threading.Event(), segmenter.decode

    def decode(*arguments):
        entered.set()
        gate.wait(30)
        return plain(*arguments)

    segmenter.decode = decode
    chain.press(CUTS[0], ctrl=True, waits=False)
    chain.host.wait(entered.is_set)
    chain.undo()
    gate.set()
    chain.settle()
    assert not chain.mask().any() and shown(chain) == [] and chain.editor.logic.CanRedo()
    chain.redo()
    assert chain.mask()[FIRST] and len(shown(chain)) == 1


def test_the_slider_steps_through_the_refinements(chain):
    masks = [chain.mask()]
    for ijk, keys in ((FIRST, {}), (CUTS[0], {"ctrl": True}), (CUTS[1], {"ctrl": True})):
        chain.press(ijk, **keys)
        masks.append(chain.mask())
    slider = chain.options.stepSlider
    assert (slider.value, slider.maximum, chain.options.stepLabel.text) == (3, 3, "3 / 3")
    for position in (2, 1, 0, 2):
        slider.value = position
        chain.settle()
        assert np.array_equal(chain.mask(), masks[position]) and len(shown(chain)) == position
        assert chain.options.stepLabel.text == f"{position} / 3" and slider.value == position
    chain.undo()  # a run of steps is one state
    assert np.array_equal(chain.mask(), masks[3]) and slider.value == 3 and len(shown(chain)) == 3


def test_a_slider_dragged_fast_ends_where_it_was_let_go(chain):
    masks = [chain.mask()]
    for ijk, keys in ((FIRST, {}), (CUTS[0], {"ctrl": True}), (CUTS[1], {"ctrl": True})):
        chain.press(ijk, **keys)
        masks.append(chain.mask())
    for position in (2, 1, 0, 1, 2, 1):
        chain.options.stepSlider.value = position
    chain.settle()
    assert np.array_equal(chain.mask(), masks[1]) and chain.options.stepSlider.value == 1


def test_candidates_are_stepped_through_and_built_on(chain):
    chain.press(FIRST)
    first = chain.mask()
    assert chain.options.candidateLabel.text == "1 of 4, predicted IoU 0.90"
    chain.options.nextButton.click()
    chain.settle()
    assert chain.options.candidateLabel.text == "2 of 4, predicted IoU 0.80"
    second = chain.mask()
    assert second.sum() < first.sum()
    chain.options.previousButton.click()
    chain.settle()
    chain.options.previousButton.click()  # round to the last one
    chain.settle()
    assert chain.options.candidateLabel.text == "4 of 4, predicted IoU 0.60"
    for expected in (first, second, first):
        chain.undo()
        assert np.array_equal(chain.mask(), expected)
    assert chain.options.candidateLabel.text == "1 of 4, predicted IoU 0.90"


def test_the_hint_is_shown_only_when_asked_for_and_a_click_on_it_counts(chain):
    chain.press(FIRST)
    assert chain.controller._prompts.hintNode is None
    chain.options.hintBox.checked = True
    node = chain.controller._prompts.hintNode
    hint = chain.status().hintRas
    assert node.GetDisplayVisibility() and np.allclose(node.GetNthControlPointPositionWorld(0), hint)
    voxel = tuple(np.round(hint).astype(int).tolist())
    assert not chain.mask()[voxel]
    chain.press(hint)
    assert chain.mask()[voxel] and shown(chain)[1] == (voxel, True)
    chain.options.hintBox.checked = False
    assert not node.GetDisplayVisibility()


def test_points_are_dragged_flipped_and_deleted_in_a_view_and_the_mask_follows(chain):
    view = chain.views.yellow
    chain.press(FIRST, view=view)
    first = chain.mask()
    chain.press((14, 20, 13), view=view, ctrl=True)
    cut = chain.mask()
    view.window.Render()
    view.drag(view.xyOf(chain.ras((14, 20, 13))), view.xyOf(chain.ras((14, 20, 23))))
    chain.settle()
    assert chain.mask()[14, 20, 13] and not chain.mask()[14, 20, 23]
    assert shown(chain) == [(FIRST, True), ((14, 20, 23), False)]
    view.window.Render()
    view.click(view.xyOf(chain.ras((14, 20, 23))), ctrl=True)
    chain.settle()
    assert shown(chain)[1] == ((14, 20, 23), True) and chain.mask()[14, 20, 23]
    view.window.Render()
    view.move(view.xyOf(chain.ras((14, 20, 23))))
    view.key("Delete", view.xyOf(chain.ras((14, 20, 23))))
    chain.settle()
    assert np.array_equal(chain.mask(), first) and shown(chain) == [(FIRST, True)]
    for _ in range(3):
        chain.undo()
    assert np.array_equal(chain.mask(), cut) and shown(chain) == [(FIRST, True), ((14, 20, 13), False)]


def test_points_are_flipped_and_deleted_in_the_frame(chain):
    chain.press(FIRST)
    first = chain.mask()
    chain.press(CUTS[0], ctrl=True)
    options = chain.options
    assert options.pointLabel.text == "outside, of 2"
    options.flipButton.click()
    chain.settle()
    assert options.pointLabel.text == "inside, of 2" and chain.mask()[CUTS[0]]
    options.deleteButton.click()
    chain.settle()
    assert np.array_equal(chain.mask(), first) and options.pointLabel.text == "inside, of 1"
    options.clearButton.click()
    chain.settle()
    assert np.array_equal(chain.mask(), first) and shown(chain) == [] and options.pointLabel.text == "none yet"


def test_what_cannot_be_changed_goes_back_in_the_view(chain):
    chain.press(FIRST)
    before = chain.mask()
    view = chain.views.red
    view.zoom(0.5)
    view.window.Render()
    view.drag(view.xyOf(chain.ras(FIRST)), view.xyOf(chain.ras((60, 20, 18))))
    chain.settle()
    assert "outside Volume" in chain.options.errorLabel.text
    assert shown(chain) == [(FIRST, True)] and np.array_equal(chain.mask(), before)


def test_what_a_click_changed_is_shown_for_a_moment(chain):
    chain.press(FIRST)
    chain.press(CUTS[0], ctrl=True)
    node = chain.controller._changes.segmentationNode
    assert node.GetDisplayVisibility() and node.GetDisplayNode().GetSegmentVisibility("removed")
    removed = slicer.util.arrayFromSegmentBinaryLabelmap(node, "removed", chain.volume).T.astype(bool)
    assert removed[CUTS[0]] and not (removed & chain.mask()).any()
    chain.host.wait(lambda: not node.GetDisplayVisibility(), timeout_s=5)
    chain.options.changeBox.checked = False
    chain.press(CUTS[1], ctrl=True)
    assert not node.GetDisplayVisibility()


def test_replay_gives_the_same_mask_again(chain, segmenter):
    chain.press(FIRST)
    chain.press(CUTS[0], ctrl=True)
    chain.options.nextButton.click()
    chain.settle()
    before, count = chain.mask(), len(segmenter.decoded)
    chain.options.replayButton.click()
    chain.settle()
    assert np.array_equal(chain.mask(), before) and len(segmenter.decoded) >= count + 2
    assert shown(chain) == [(FIRST, True), (CUTS[0], False)]
