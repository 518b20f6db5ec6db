"""What is encoded before a click: the place where the mouse rests, once."""

from __future__ import annotations

import pytest

from sam3dseg_viewer.ahead import FAR_MM, REST_S, Ahead


@pytest.fixture
def bench():
    """The encoder's helper, the places it asked for, and a clock to set."""

    class Bench:
        now = 0.0

        def __init__(self):
            self.asked = []
            self.ahead = Ahead(self.asked.append, clock=lambda: self.now)

        def rest(self, ras, seconds=2 * REST_S):
            self.ahead.mouse_at(ras)
            self.now += seconds
            self.ahead.poll()

    return Bench()


def test_a_resting_mouse_is_asked_for_once(bench):
    bench.rest((1.0, 2.0, 3.0))
    bench.ahead.poll()
    assert bench.asked == [(1.0, 2.0, 3.0)]


def test_a_moving_mouse_is_not(bench):
    for step in range(5):
        bench.rest((100.0 * step, 0.0, 0.0), REST_S / 2)
    assert bench.asked == []


def test_a_mouse_that_left_is_not(bench):
    bench.ahead.mouse_at((1.0, 2.0, 3.0))
    bench.rest(None)
    assert bench.asked == []


def test_places_near_the_last_are_covered_by_it(bench):
    for x in (0.0, 0.9 * FAR_MM, 1.1 * FAR_MM):
        bench.rest((x, 0.0, 0.0))
    assert bench.asked == [(0.0, 0.0, 0.0), (1.1 * FAR_MM, 0.0, 0.0)]


def test_another_image_is_encoded_again(bench):
    bench.rest((0.0, 0.0, 0.0))
    bench.ahead.forget()
    bench.rest((0.0, 0.0, 0.0))
    assert len(bench.asked) == 2
