"""Where a mask is cut: on edges of the picture, or where it agrees with another mask."""

from __future__ import annotations

import numpy as np
import pytest

from sam3dseg.levels import FEWEST, LEVELS, agreeing_level, edge_level, sureness

SHAPE = (32, 32, 32)
MIDDLE = np.array([[12, 16, 16]])
BESIDE = np.array([[25, 16, 16]])


def distance(centre) -> np.ndarray:
    return np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices(SHAPE), centre, strict=True)))


def logits(radius, centre=MIDDLE[0], slope=0.5) -> np.ndarray:
    """0 at `radius` from the centre, falling outwards."""
    return (slope * (radius - distance(centre))).astype(np.float32)


def picture(radius, centre=MIDDLE[0]) -> np.ndarray:
    return (distance(centre) < radius).astype(np.float32)


@pytest.mark.parametrize("true", [7.0, 8.0, 9.0, 10.0, 11.0])
@pytest.mark.parametrize("contrast", [1.0, -0.2])
def test_the_border_goes_to_the_edge(true, contrast):
    assert edge_level(logits(9.0), contrast * picture(true), MIDDLE) == pytest.approx(0.5 * (9.0 - true), abs=0.5)
    assert edge_level(logits(true), contrast * picture(true), MIDDLE) == 0


def test_without_edges_the_mask_stays_as_it_is():
    assert edge_level(logits(9.0), np.zeros(SHAPE, np.float32), MIDDLE) == 0
    assert edge_level(np.full(SHAPE, -9.0, np.float32), picture(9.0), MIDDLE) == 0
    assert edge_level(np.full(SHAPE, 9.0, np.float32), picture(9.0), MIDDLE) == 0


def test_edges_of_either_sign_on_one_border_cancel():
    """A border through noise is no better than one along nothing."""
    stripes = np.where(np.indices(SHAPE)[2] % 8 < 4, 1.0, -1.0)
    steps = (picture(9.0) + 3 * (picture(11.0) - picture(9.0)) * stripes).astype(np.float32)
    assert abs(edge_level(logits(9.0), steps, MIDDLE)) <= 0.5


def test_a_steep_border_is_preferred_to_a_flat_one():
    gentle = logits(9.0, slope=0.25)
    steep = np.where(gentle > 0.9, gentle + 1.0, gentle)  # a cliff of 1 within the mask
    both = (picture(5.5) + picture(11.0)) / 2  # two edges of one height
    assert edge_level(steep.astype(np.float32), both, MIDDLE) > 0.5


def test_only_what_was_clicked_counts():
    both = np.maximum(logits(7.0), logits(4.0, BESIDE[0]))
    shown = picture(7.0) + 5 * picture(5.5, BESIDE[0])  # the other one would be cut lower
    assert edge_level(both, shown, MIDDLE) == 0
    assert edge_level(both, shown, BESIDE) < 0


def test_what_is_too_small_has_no_border():
    tiny = np.full(SHAPE, -5.0, np.float32)
    tiny[12, 16, 16 : 16 + FEWEST - 1] = 1.2
    assert edge_level(tiny, (tiny > 0).astype(np.float32), MIDDLE) == 0


@pytest.mark.parametrize("true", [6.0, 7.0, 9.0, 11.0])
def test_an_answer_is_cut_where_it_agrees_with_a_mask(true):
    assert agreeing_level(logits(9.0), picture(true) > 0) == pytest.approx(0.5 * (9.0 - true), abs=0.26)


def test_of_levels_that_agree_equally_the_nearest_to_zero_is_taken():
    mask = picture(9.0) > 0
    assert agreeing_level(np.where(mask, 5.0, -5.0).astype(np.float32), mask) == 0
    assert [abs(level) for level in LEVELS] == sorted(abs(level) for level in LEVELS)
    assert agreeing_level(np.full(SHAPE, -5.0, np.float32), np.zeros(SHAPE, bool)) == 0


def test_sureness_is_the_dice_that_logits_expect():
    mask = picture(9.0) > 0
    size, rest = np.count_nonzero(mask), np.count_nonzero(~mask)
    odds = np.log(9.0)  # 90 % sure of every cell
    expected = 2 * 0.9 * size / (size + 0.9 * size + 0.1 * rest)
    assert sureness(np.where(mask, odds, -odds).astype(np.float32)) == pytest.approx(expected, rel=1e-5)
    assert sureness(np.where(mask, 50.0, -50.0).astype(np.float32)) == pytest.approx(1.0)
    assert sureness(np.full(SHAPE, -1.0, np.float32)) == 0
