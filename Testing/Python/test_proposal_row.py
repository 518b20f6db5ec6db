"""The row Propose: there where the user has a model that proposes, and what comes of its button."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from slicer_host.effect_bench import EffectBench  # noqa: E402
from slicer_host.weights_files import addOwn, weightsFile  # noqa: E402


@pytest.fixture
def bench():
    bench = EffectBench()
    bench.activate()
    yield bench
    bench.close()
    assert bench.scene.errors == []


@pytest.fixture
def store(bench):
    store = bench.controller.modelSelector.store
    yield store
    for model in store.proposers():
        store.remove(model.key)


@pytest.fixture
def keys(store, tmp_path):
    """Two own models that propose."""
    return [addOwn(store, weightsFile(tmp_path / f"{name}.safetensors", "sam_3d")) for name in ("liver", "heart")]


def isShown(bench):
    row = bench.options.proposals
    assert row.widget.isHidden() == row._label.isHidden()
    return not row.widget.isHidden()


def test_the_row_comes_and_goes_with_the_models(bench, store, tmp_path):
    assert not isShown(bench)
    addOwn(store, weightsFile(tmp_path / "clicks.safetensors", "compact"))
    assert not isShown(bench)
    key = addOwn(store, weightsFile(tmp_path / "liver.safetensors", "sam_3d"))
    assert isShown(bench) and bench.options.proposals.proposerBox.currentData == key
    store.remove(key)
    assert not isShown(bench)


def test_the_button_proposes_with_the_chosen_model(bench, keys):
    row = bench.options.proposals
    row.proposeButton.click()
    row.proposerBox.setCurrentIndex(1)
    row.proposerBox.activated.emit(1)
    row.proposeButton.click()
    assert bench.logic.asked == [("propose", (keys[0],)), ("propose", (keys[1],))]
    assert bench.editor.node.GetAttribute("SAM3DSegment.Proposer") == keys[1]
    bench.controller.refresh()
    assert row.proposerBox.currentData == keys[1]


def test_a_refusal_is_one_line(bench, keys):
    bench.logic.refuse = "a proposal is on its way already: wait for it, or cancel it"
    bench.options.proposals.proposeButton.click()
    assert "on its way already" in bench.options.errorLabel.text


def test_without_a_segment_there_is_nothing_to_press(bench, keys):
    bench.editor.selectSegment("")
    assert not bench.options.proposals.proposeButton.enabled


def tellProposed(bench, scripted):
    target = SimpleNamespace(
        segmentationNode=bench.segmentation, segmentId="Segment_1", port=SimpleNamespace(scriptedEffect=scripted)
    )
    bench.logic.lastProposed = bench.data.Proposed(target, ("Segment_2", "Segment_1"), ("Nowhere",))
    bench.logic.tell("proposed", target)


def test_the_first_proposed_segment_is_selected_and_the_result_said(bench, keys):
    tellProposed(bench, bench.scripted)
    assert bench.editor.node.GetSelectedSegmentID() == "Segment_2"
    row = bench.options.proposals
    assert row.foundLabel.text == "1 proposed, not found: Nowhere." and not row.foundLabel.isHidden()
    bench.controller.replay()
    assert row.foundLabel.isHidden()


def test_while_another_effect_is_at_work_its_segment_stays_selected(bench, keys):
    bench.deactivate()
    tellProposed(bench, bench.scripted)
    assert bench.editor.node.GetSelectedSegmentID() == "Segment_1"
    assert bench.options.proposals.foundLabel.text.startswith("1 proposed")


def test_what_another_editor_proposed_is_left_to_it(bench, keys):
    tellProposed(bench, object())
    assert bench.editor.node.GetSelectedSegmentID() == "Segment_1" and bench.options.proposals.foundLabel.isHidden()


def test_a_model_that_proposes_is_not_among_those_for_clicks(bench, keys):
    box = bench.controller.modelSelector.modelBox
    assert all(box.findData(key) < 0 for key in keys) and box.findData("embedded") >= 0


def test_the_row_has_tooltips(bench):
    row = bench.options.proposals
    assert row.proposerBox.toolTip and row.proposeButton.toolTip
