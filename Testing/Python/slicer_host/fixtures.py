"""Fixtures on the headless scene; a test module imports those that it uses."""

from __future__ import annotations

import pytest

from slicer_host.editing import Editing, twoBlobs
from slicer_host.scene import Scene


@pytest.fixture
def scene():
    """A fresh scene; the test fails when an observer raised."""
    host = Scene()
    yield host
    host.close()
    assert host.errors == []


@pytest.fixture
def editing(scene, segmenter):
    """Two blobs, two segments, and the stand-in for a network."""
    bench = Editing(scene, lambda name, device: segmenter, twoBlobs())
    yield bench
    bench.close()


@pytest.fixture
def makeEditing(scene, segmenter):
    """Editing(array, ...) with the stand-in for a network; closed at the end."""
    made = []

    def make(array=None, **options):
        made.append(Editing(scene, lambda name, device: segmenter, twoBlobs() if array is None else array, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def makeChain(segmenter):
    """EffectChain(...) with the stand-in for a network, unless `load` is given; closed at the end."""
    from slicer_host.effect_chain import EffectChain  # needs Qt

    made = []

    def make(load=lambda name, device: segmenter, **options):
        made.append(EffectChain(load, **options))
        return made[-1]

    yield make
    for chain in made:
        chain.close()


@pytest.fixture
def chain(makeChain):
    """Two blobs in four views, two empty segments, the effect active."""
    return makeChain()
