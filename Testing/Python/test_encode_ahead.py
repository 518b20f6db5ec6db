"""Encoding ahead waits for rest, goes where the mouse is, and does not repeat itself."""

from __future__ import annotations

import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")

from slicer_host.effect_bench import EffectBench  # noqa: E402


@pytest.fixture
def bench():
    bench = EffectBench()
    yield bench
    bench.close()
    assert bench.scene.errors == []


@pytest.fixture
def made(bench):
    from SAM3DSegmentLib.Effect.EncodeAhead import EncodeAhead

    taken = []

    def make(take=True, center=(0.0, 0.0, 0.0)):
        return EncodeAhead(lambda ras: taken.append(ras) or take, lambda: center, rest_ms=20), taken

    return make


def prepared(bench):
    return [arguments[0] for request, arguments in bench.logic.asked if request == "prepare"]


def test_center_of_the_volume_after_activation(bench):
    bench.activate()
    assert prepared(bench) == []
    bench.host.wait(lambda: prepared(bench), timeout_s=3)
    assert prepared(bench)[0] == pytest.approx((19.5, 19.5, 19.5), abs=0.6)


def test_not_while_busy_and_not_once_there_are_points(bench):
    bench.logic.isBusy = True
    bench.activate()
    bench.host.run(0.5)
    assert prepared(bench) == []
    bench.logic.isBusy = False
    bench.logic.status = bench.data.Status(prompts=(bench.data.Prompt((1.0, 1.0, 1.0), True),))
    bench.controller.onViewMoved(None)
    bench.host.run(0.5)
    assert prepared(bench) == []


def test_another_volume_is_encoded_too(bench):
    bench.activate()
    bench.host.wait(lambda: len(prepared(bench)) == 1, timeout_s=3)
    other = bench.scene.addVolume([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], name="Other")
    bench.editor.setSourceVolumeNode(other)
    bench.host.wait(lambda: len(prepared(bench)) == 2, timeout_s=3)
    assert bench.logic.targets[-1].volumeNode is other


def test_left_effect_encodes_nothing(bench):
    bench.activate()
    bench.deactivate()
    bench.host.run(0.5)
    assert prepared(bench) == []


def test_movement_puts_it_off(bench, made):
    ahead, taken = made()
    for _ in range(5):
        ahead.wake()
        bench.host.run(0.01)
    assert taken == []
    bench.host.run(0.06)
    assert taken == [(0.0, 0.0, 0.0)]


def test_near_places_are_not_asked_for_again(bench, made):
    ahead, taken = made()
    for ras in ((1.0, 0.0, 0.0), (11.0, 0.0, 0.0), (40.0, 0.0, 0.0)):
        ahead.mouseAt(ras)
        bench.host.run(0.06)
    assert taken == [(1.0, 0.0, 0.0), (40.0, 0.0, 0.0)]


def test_place_that_was_not_taken_is_offered_again(bench, made):
    ahead, taken = made(take=False)
    for _ in range(2):
        ahead.wake()
        bench.host.run(0.06)
    assert len(taken) == 2


def test_no_volume_no_place(bench, made):
    ahead, taken = made(center=None)
    ahead.wake()
    bench.host.run(0.06)
    assert taken == []
