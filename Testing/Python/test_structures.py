"""The classes that a model's file lists."""

from __future__ import annotations

import pytest

from sam3dseg.proposals.structures import as_config, color_of, structures_in


def test_round_trip_of_names_and_colours():
    found = structures_in({"classes": as_config(["Liver", "Left kidney"])}, name="m")
    assert [s.name for s in found] == ["Liver", "Left kidney"]
    assert found[1].color == pytest.approx(color_of(1), abs=1e-3)
    assert found[0].color != found[1].color


def test_a_class_without_colour_gets_one():
    assert structures_in({"classes": [{"name": "a"}, {"name": "b"}]}, name="m")[1].color == color_of(1)


@pytest.mark.parametrize(
    "entry", ["Liver", {"color": [1, 0, 0]}, {"name": "a", "color": [2, 0, 0]}, {"name": "a", "color": [1]}]
)
def test_an_unreadable_class_is_named(entry):
    with pytest.raises(ValueError, match="model.safetensors lists a class that cannot be read"):
        structures_in({"classes": [entry]}, name="model.safetensors")


@pytest.mark.parametrize("names", [[], ["a", "a"], [str(n) for n in range(256)]])
def test_none_too_many_or_equal_names_are_refused(names):
    with pytest.raises(ValueError, match=rf"m lists {len(names)} classes of {len(set(names))} names"):
        structures_in({"classes": as_config(names)}, name="m")
