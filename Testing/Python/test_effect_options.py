"""The options frame: what it shows of a status, and what its buttons ask for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from slicer_host.effect_bench import EffectBench  # noqa: E402

from sam3dseg.session import Progress, Timing  # noqa: E402


@pytest.fixture
def bench():
    bench = EffectBench()
    bench.activate()
    yield bench
    bench.close()
    assert bench.scene.errors == []


def show(bench, **values):
    bench.logic.status = bench.data.Status(**values)
    bench.logic.tell("changed", None)
    return bench.options


def points(bench, *signs):
    return tuple(bench.data.Prompt((float(n), 0.0, 0.0), sign) for n, sign in enumerate(signs))


def test_status_line_says_what_how_long_where_and_how_much_memory(bench):
    timing = Timing(encode_s=1.0, decode_s=0.2, paste_s=0.05, encodes=1, decodes=1)
    options = show(bench, text="Predicted IoU 0.91", timing=timing, deviceLine="CPU, float32", deviceBytes=52 * 2**20)
    assert options.statusLabel.text == "Predicted IoU 0.91 · 1.25 s (1.00 s for encoding) · CPU, float32 · 52 MB"


def test_status_line_without_encoding(bench):
    options = show(bench, text="x", timing=Timing(decode_s=0.2, decodes=1))
    assert options.statusLabel.text == "x · 0.20 s"


def test_status_line_says_how_far_it_is_and_what_there_is_to_say(bench):
    timing = Timing(encode_s=1.0, decode_s=0.2, paste_s=0.05, encodes=1, decodes=1)
    options = show(bench, text="Segmenting…", timing=timing, deviceLine="CPU", progress=Progress(12, None, "slice 34"))
    assert options.statusLabel.text == "Segmenting… · slice 34, 12 done · CPU"
    show(bench, text="Proposing…", progress=Progress(3, 8, "encoding"))
    assert options.statusLabel.text == "Proposing… · encoding, 3 of 8"
    show(bench, text="Predicted IoU 0.91", notices=("stopped at slice 40",))
    assert options.statusLabel.text == "Predicted IoU 0.91\nstopped at slice 40"


def test_progress_changes_the_status_line_and_nothing_else(bench, monkeypatch):
    bench.logic.status = bench.data.Status(text="Segmenting…", progress=Progress(1, None, "slice 34"), length=7)
    monkeypatch.setattr(bench.controller, "refresh", lambda: pytest.fail("refreshed"))
    bench.logic.tell("progress", None)
    assert bench.options.statusLabel.text == "Segmenting… · slice 34, 1 done"
    monkeypatch.undo()
    bench.deactivate()
    bench.logic.status = bench.data.Status(text="unseen")
    bench.logic.tell("progress", None)
    assert bench.options.statusLabel.text != "unseen"


def test_candidates_are_stepped_through_round_and_round(bench):
    options = show(bench, candidates=(0.9, 0.8, 0.7), chosen=2, predictedIou=0.7)
    assert options.candidateLabel.text == "3 of 3, predicted IoU 0.70"
    options.nextButton.click()
    options.previousButton.click()
    assert bench.logic.asked == [("chooseCandidate", (0,)), ("chooseCandidate", (1,))]


def test_one_candidate_cannot_be_stepped(bench):
    options = show(bench, candidates=(0.9,), predictedIou=0.9)
    assert options.candidateLabel.text == "predicted IoU 0.90"
    assert not options.nextButton.enabled


def test_history_slider_follows_and_asks(bench):
    options = show(bench, position=2, length=5)
    assert (options.stepSlider.value, options.stepSlider.maximum, options.stepLabel.text) == (2, 4, "2 / 4")
    assert bench.logic.asked == []
    options.stepSlider.value = 1
    assert bench.logic.asked == [("showStep", (1,))]


def test_no_history_no_slider(bench):
    assert not show(bench).stepSlider.enabled


def test_points_are_chosen_flipped_and_deleted(bench):
    options = show(bench, prompts=points(bench, True, False, True))
    assert (options.pointBox.value, options.pointLabel.text) == (3, "inside, of 3")
    options.pointBox.value = 2
    assert options.pointLabel.text == "outside, of 3"
    options.flipButton.click()
    options.deleteButton.click()
    assert bench.logic.asked == [("flipPrompt", (1,)), ("deletePrompt", (1,))]
    show(bench, prompts=points(bench, True))
    assert (options.pointBox.value, options.pointLabel.text) == (1, "inside, of 1")
    show(bench)
    assert not options.deleteButton.enabled
    assert options.pointLabel.text == "none yet"


def test_buttons_ask(bench):
    options = show(bench, prompts=points(bench, True))
    for button in (options.refineButton, options.replayButton, options.clearButton):
        button.click()
    assert [request for request, _ in bench.logic.asked] == ["refineSegment", "replay", "clearPrompts"]


def test_without_a_segment_nothing_can_be_asked(bench):
    bench.editor.selectSegment("")
    assert not bench.options.refineButton.enabled
    assert not bench.options.boxButton.enabled
    bench.controller.replay()
    assert bench.options.errorLabel.text == "Choose a source volume and a segment first."


def test_hint_is_shown_where_asked_for(bench):
    options = show(bench, hintRas=(3.0, 4.0, 5.0))
    assert bench.controller._prompts.hintNode is None
    options.hintBox.checked = True
    node = bench.controller._prompts.hintNode
    assert node.GetNthControlPointPositionWorld(0) == pytest.approx((3.0, 4.0, 5.0))
    show(bench)
    assert not node.GetDisplayVisibility()


def test_changes_are_flashed_for_the_edited_segment_only(bench, monkeypatch):
    flashed = []
    monkeypatch.setattr(bench.controller._changes, "flash", lambda *images: flashed.append(images))
    bench.logic.lastWritten = SimpleNamespace(added="added", removed="removed")
    bench.logic.tell("written", SimpleNamespace(segmentationNode=bench.segmentation, segmentId="Segment_2"))
    assert flashed == []
    mine = SimpleNamespace(segmentationNode=bench.segmentation, segmentId="Segment_1")
    bench.logic.tell("written", mine)
    assert flashed == [("added", "removed", bench.segmentation)]
    bench.options.changeBox.checked = False
    bench.logic.tell("written", mine)
    assert len(flashed) == 1


def test_busy_shows_cancel(bench):
    assert bench.options.cancelButton.isHidden()
    bench.logic.isBusy = True
    show(bench)
    assert not bench.options.cancelButton.isHidden()
    bench.options.cancelButton.click()
    assert bench.logic.cancels == 1
    assert bench.options.cancelButton.isHidden()


def fail(bench, message, kind):
    bench.logic.lastError = bench.data.LogicError(message, kind)
    bench.logic.tell("failed", None)
    return bench.options


def test_failure_is_one_line_with_try_again(bench):
    options = fail(bench, "the network file is damaged", "failed")
    assert options.errorLabel.text == "the network file is damaged"
    assert options.torchButton.isHidden()
    options.retryButton.click()
    assert bench.logic.retries == 1
    assert options.errorLabel.text == ""


@pytest.mark.parametrize(("installed", "retries"), [(True, 1), (False, 0)])
def test_missing_torch_has_its_button(bench, installed, retries):
    offered = []

    class Setup:
        def offer(self, resume):
            offered.append(resume)
            return installed

    bench.controller._torchSetup = Setup
    options = fail(bench, "PyTorch is not installed", "torch-missing")
    assert not options.torchButton.isHidden()
    options.torchButton.click()
    assert [resume.place for resume in offered] == ["effect"]
    assert bench.logic.retries == retries
    assert bool(options.errorLabel.text) is not installed


def test_another_model_is_handed_to_the_logic(bench):
    row = bench.controller.modelSelector.deviceBox.findData("cpu")
    bench.controller.modelSelector._onDevice(row)
    assert bench.logic.models == [("embedded", "auto", None), ("embedded", "cpu", None)]


def test_every_button_has_a_tooltip(bench):
    import qt

    names = [name for name in vars(bench.options) if name.endswith(("Button", "Box", "Slider"))]
    assert len(names) > 12
    for name in names:
        widget = getattr(bench.options, name)
        if name == "pointBox":
            continue
        assert widget.toolTip, name
    assert isinstance(bench.options.stepSlider, qt.QSlider)


def test_frame_can_be_drawn(bench, tmp_path):
    show(bench, text="Predicted IoU 0.91", candidates=(0.91, 0.8), predictedIou=0.91, length=3, position=2)
    frame = bench.scripted.optionsFrame()
    frame.resize(360, 300)
    assert frame.grab().save(str(tmp_path / "options.png"))
    assert frame.minimumSizeHint().width() <= 420  # the module panel of Slicer is about that wide
