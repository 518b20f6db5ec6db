from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam3dseg.models.click_memory import ClickMemory

VALUES = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))


class Maker:
    """Makes the highest of rows of VALUES, and counts how many it was asked for."""

    def __init__(self, clicks):
        self.clicks, self.asked = clicks, 0

    def __call__(self, index):
        self.asked += 1
        row = VALUES[self.clicks[index][0]]
        return row.clone(), -row


def ask(memory, source, numbers, kind="kind"):
    clicks = [(n,) for n in numbers]
    maker = Maker(clicks)
    return memory.highest(source, kind, clicks, maker), maker.asked


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 5), min_size=1, max_size=6)), max_size=12))
def test_any_sequence_of_clicks_gives_what_all_at_once_give(sequence):
    memory, sources = ClickMemory(), (torch.zeros(1), torch.zeros(1))
    for which, numbers in sequence:
        found, _ = ask(memory, sources[which], numbers)
        expected = VALUES[numbers].amax(0), -VALUES[numbers].amin(0)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_only_new_clicks_are_asked_for():
    memory, source = ClickMemory(), torch.zeros(1)
    turns = [([0, 1, 2], 3), ([0, 1, 2, 3], 1), ([3, 2, 1, 0], 0), ([0, 1, 2], 0), ([0, 1, 2, 4], 1), ([5], 1)]
    turns.append(([0, 1, 2], 3))  # forgotten: only two sets are kept
    assert [ask(memory, source, numbers)[1] for numbers, _ in turns] == [count for _, count in turns]


def test_kinds_and_tensors_are_kept_apart():
    memory, source = ClickMemory(), torch.zeros(1)
    ask(memory, source, [0, 1])
    assert ask(memory, source, [0, 1], kind="other")[1] == 2
    assert ask(memory, torch.zeros(1), [0, 1])[1] == 2


def test_what_was_given_out_does_not_change():
    memory, source = ClickMemory(), torch.zeros(1)
    first, _ = ask(memory, source, [0])
    before = [m.clone() for m in first]
    ask(memory, source, [0, 1, 2])
    assert all(torch.equal(a, b) for a, b in zip(first, before, strict=True))


def test_the_maps_of_a_tensor_go_with_it():
    memory, source = ClickMemory(), torch.zeros(1)
    maps, _ = ask(memory, source, [0])
    alive = weakref.ref(maps[0])
    del maps, source
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda memory: pickle.loads(pickle.dumps(memory))])
def test_a_copy_remembers_nothing(copied):
    memory, source = ClickMemory(), torch.zeros(1)
    ask(memory, source, [0])
    assert ask(copied(memory), source, [0])[1] == 1
