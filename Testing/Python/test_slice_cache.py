"""Slices are encoded on one background thread, ahead of need, within a bound of bytes, and never after a cancel."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sam3dseg.request import Cancelled
from sam3dseg.slices.cache import SliceCache


class Encoder:
    """Makes arrays of 8 bytes; blocks while `gate` is closed."""

    def __init__(self):
        self.made, self.threads = [], set()
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, index):
        self.threads.add(threading.current_thread())
        self.begun.set()
        assert self.gate.wait(10)
        self.made.append(index)
        if index < 0:
            raise MemoryError(f"no room for {index}")
        return np.full(1, index, np.float64)


@pytest.fixture
def encoder():
    return Encoder()


@pytest.fixture
def cache(encoder):
    return SliceCache(encoder)


def fine():
    pass


def settle():
    for thread in threading.enumerate():
        if thread.name == "slice encoder":
            thread.join(10)
            assert not thread.is_alive()


def test_a_slice_is_encoded_once(cache, encoder):
    assert [cache.get(n, check=fine)[0] for n in (3, 4, 3)] == [3, 4, 3]
    assert encoder.made == [3, 4]
    assert threading.current_thread() not in encoder.threads


def test_what_is_ahead_is_there_when_it_is_needed(cache, encoder):
    cache.ahead([5, 6])
    settle()
    assert encoder.made == [5, 6]
    assert cache.get(6, check=fine)[0] == 6
    assert encoder.made == [5, 6]


def test_what_is_waited_for_comes_first(cache, encoder):
    encoder.gate.clear()
    cache.ahead([1, 2, 3])
    assert encoder.begun.wait(10)
    waiting = threading.Thread(target=cache.get, args=(9,), kwargs={"check": encoder.gate.set})
    waiting.start()
    waiting.join(10)
    settle()
    assert encoder.made == [1, 9, 2, 3]


def test_new_plans_replace_old_ones(cache, encoder):
    encoder.gate.clear()
    cache.ahead([1, 2, 3])
    assert encoder.begun.wait(10)
    cache.ahead([7, 1])
    encoder.gate.set()
    settle()
    assert encoder.made == [1, 7]


def test_nothing_is_encoded_after_a_drop_but_what_was_begun(cache, encoder):
    encoder.gate.clear()
    cache.ahead([1, 2, 3])
    assert encoder.begun.wait(10)
    cache.drop()
    encoder.gate.set()
    settle()
    assert encoder.made == [1]
    assert cache.get(1, check=fine)[0] == 1
    assert encoder.made == [1]


def test_a_waiting_request_can_be_cancelled_and_leaves_nothing_queued(cache, encoder):
    encoder.gate.clear()
    cache.ahead([5, 6])
    assert encoder.begun.wait(10)
    looks = []

    def cancelled():
        looks.append(1)
        if len(looks) == 2:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        cache.get(1, check=cancelled)  # returns although the encoder is still busy
    assert encoder.made == []
    encoder.gate.set()
    settle()
    assert encoder.made == [5]
    assert cache.get(5, check=fine)[0] == 5 and encoder.made == [5]


def test_a_cancel_between_slices_needs_no_encoding(cache, encoder):
    cache.get(1, check=fine)

    def cancelled():
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        cache.get(1, check=cancelled)
    assert encoder.made == [1]


def test_the_newest_stay_within_the_bound(encoder):
    cache = SliceCache(encoder, limit_bytes=24)
    for index in (1, 2, 3, 1, 4):
        cache.get(index, check=fine)
    encoder.made.clear()
    for index in (4, 1, 3):
        cache.get(index, check=fine)
    assert encoder.made == []
    cache.get(2, check=fine)
    assert encoder.made == [2]


def test_a_bound_below_one_slice_still_answers(encoder):
    cache = SliceCache(encoder, limit_bytes=1)
    assert cache.get(1, check=fine)[0] == 1
    assert cache.get(2, check=fine)[0] == 2
    assert cache.get(1, check=fine)[0] == 1
    assert encoder.made == [1, 2, 1]


def test_a_failure_reaches_who_waits_and_can_be_tried_again(cache, encoder):
    for _ in range(2):
        with pytest.raises(MemoryError, match="no room for -1"):
            cache.get(-1, check=fine)
    assert encoder.made == [-1, -1]
    assert cache.get(1, check=fine)[0] == 1


def test_a_failure_ahead_is_only_logged(cache, encoder, caplog):
    cache.ahead([-2])
    settle()
    assert "slice -2 could not be encoded ahead: no room for -2" in caplog.text
    assert cache.get(1, check=fine)[0] == 1


def test_the_thread_ends_when_there_is_nothing_to_do(cache, encoder):
    cache.get(1, check=fine)
    cache.ahead([2])
    settle()
    assert not any(thread.name == "slice encoder" for thread in threading.enumerate())
