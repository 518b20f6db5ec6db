"""Recorded work: played back for known shapes, checked before it is used, given up where it cannot be trusted."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_networks import tiny_sam_med3d  # noqa: E402

from sam3dseg import recorded_calls  # noqa: E402
from sam3dseg.placement import Placement  # noqa: E402
from sam3dseg.recorded_calls import KEPT, RecordedCalls, recorded_on_cuda  # noqa: E402
from sam3dseg.segmenter import TRAITS, TorchSegmenter  # noqa: E402


class Recorder:
    """Records as a GPU does: into fixed places, whose outputs are written over by every playing."""

    def __init__(self, *, offset=0.0, fails=""):
        self.offset, self.fails = offset, fails
        self.recorded, self.played = 0, 0

    def __call__(self, work, inputs):
        if self.fails:
            raise RuntimeError(self.fails)
        self.recorded += 1
        fixed = [given.clone() for given in inputs]
        outputs = work(*fixed)

        def played(*given):
            self.played += 1
            for place, value in zip(fixed, given, strict=True):
                place.copy_(value)
            for place, value in zip(outputs, work(*fixed), strict=True):
                place.copy_(value + self.offset)
            return tuple(output.clone() for output in outputs)

        return played


def doubled(x, y):
    return 2 * x + y, x.sum()[None]


def inputs(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator), torch.randn(size, generator=generator)


def calls_of(recorder, work=doubled):
    return RecordedCalls(work, record=recorder, device_type="cpu")


def test_every_set_of_shapes_is_recorded_once_and_played_from_then_on():
    recorder = Recorder()
    calls = calls_of(recorder)
    for turn, size in enumerate((3, 3, 4, 3, 4, 4)):
        given = inputs(size, turn)
        for found, expected in zip(calls(*given), doubled(*given), strict=True):
            torch.testing.assert_close(found, expected)
    assert recorder.recorded == 2
    assert recorder.played == 2 + 4  # once to compare, then for every call


def test_what_was_given_out_is_not_written_over():
    calls = calls_of(Recorder())
    calls(*inputs(3))
    first = calls(*inputs(3, 1))[0]
    kept = first.clone()
    calls(*inputs(3, 2))
    assert torch.equal(first, kept)


@pytest.mark.parametrize(
    ("recorder", "reason"),
    [
        (Recorder(offset=1.0), "a recording differs by"),
        (Recorder(offset=float("nan")), "a recording differs by nan"),
        (
            Recorder(fails="operation not permitted\nwhen stream is capturing"),
            "recording failed: operation not permitted",
        ),
    ],
)
def test_a_recording_that_fails_or_differs_is_never_used(recorder, reason, caplog):
    calls = calls_of(recorder)
    with caplog.at_level(logging.WARNING):
        for turn in range(3):
            given = inputs(3, turn)
            assert torch.equal(calls(*given)[0], doubled(*given)[0])
    (record,) = caplog.records
    assert record.getMessage().startswith(f"going on without recorded GPU work: {reason}")
    assert "\n" not in record.getMessage()
    assert recorder.played <= 1


def test_work_that_fails_is_not_taken_for_a_recording_that_fails():
    def work(x, y):
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        calls_of(Recorder(), work)(*inputs(3))


def test_work_elsewhere_is_simply_done_and_ends_the_recordings():
    recorder = Recorder()
    calls = calls_of(recorder)
    calls(*inputs(3))
    elsewhere = [given.to("meta") for given in inputs(3)]
    assert calls(*elsewhere)[0].device.type == "meta"
    calls(*inputs(3))
    assert recorder.recorded == 2


def test_only_so_many_recordings_are_kept():
    recorder = Recorder()
    calls = calls_of(recorder)
    for size in range(1, KEPT + 2):
        calls(*inputs(size))
    calls(*inputs(KEPT + 1))
    assert recorder.recorded == KEPT + 1
    calls(*inputs(1))  # the oldest had to go
    assert recorder.recorded == KEPT + 2


def test_threads_do_not_mix_their_inputs():
    calls = calls_of(Recorder())
    calls(*inputs(2000))
    wrong = []

    def run(seed):
        for turn in range(30):
            given = inputs(2000, seed + turn)
            if not torch.equal(calls(*given)[0], doubled(*given)[0]):
                wrong.append(seed)

    threads = [threading.Thread(target=run, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_sam_med3d_clicks_are_the_same_from_recordings(monkeypatch):
    plain = _segmenter(tiny_sam_med3d())
    recorder = Recorder()
    monkeypatch.setattr(
        "sam3dseg.segmenter.RecordedCalls", lambda work: RecordedCalls(work, record=recorder, device_type="cpu")
    )
    recorded = _segmenter(tiny_sam_med3d())
    rng = np.random.default_rng(0)
    for turn in range(2):
        window = rng.normal(size=(1, 128, 128, 128)).astype(np.float32)
        answers = []
        for segmenter in (plain, recorded):
            embedding, previous = segmenter.encode(window), None
            for count in (1, 2):
                points = np.arange(3.0 * count).reshape(count, 3) * 9 + turn
                answer = segmenter.decode(embedding, points, np.ones(count, np.int64), previous)
                previous = answer.logits[0]
            answers.append(answer)
        np.testing.assert_allclose(answers[1].logits, answers[0].logits, atol=1e-4)
        np.testing.assert_allclose(answers[1].iou, answers[0].iou, atol=1e-5)
    assert recorder.recorded == 3  # the encoding, one point, two points
    without_points = recorded.decode(embedding, np.zeros((0, 3)), np.zeros(0, np.int64), previous)
    assert without_points.logits.shape == answers[0].logits.shape and recorder.recorded == 3


def _segmenter(network):
    name = "sam_med3d_vit_b_ori"
    return TorchSegmenter(network, architecture=name, traits=TRAITS[name], placements=[Placement("cpu", "float32")])


@pytest.mark.gpu
def test_a_cuda_graph_gives_what_the_work_gives():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    given = [value.cuda() for value in inputs(5)]
    with torch.inference_mode():
        played = recorded_on_cuda(doubled, given)
        for turn in range(3):
            fresh = [value.cuda() for value in inputs(5, turn)]
            torch.testing.assert_close(played(*fresh)[0], doubled(*fresh)[0])


def test_the_largest_difference_is_relative_to_the_largest_value():
    assert recorded_calls._difference(torch.tensor([100.0, 1.0]), torch.tensor([100.0, 2.0])) == pytest.approx(0.01)
