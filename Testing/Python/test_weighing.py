"""Corrections of the model's own mask: what may change, what is told of it, and what becomes of the judge's belief."""

from __future__ import annotations

import numpy as np
import pytest

from sam3dseg.levels import sureness
from sam3dseg.weighing import (
    AGREEMENT,
    DEEPEST,
    DOUBT,
    FEATURES,
    NEAR,
    SURE,
    SURE_DOUBT,
    SUREST,
    TAKEN,
    changes,
    levelled,
    weighed,
)

SHAPE = (40, 40, 40)
SEED = np.array((25, 20, 20))


def ball(centre, radius, shape=SHAPE) -> np.ndarray:
    return sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)) <= radius**2


def logits(mask, strength=2.0) -> np.ndarray:
    return np.where(mask, strength, -strength).astype(np.float32)


def believing(features):
    return np.full(len(features), 2 * DOUBT, np.float32)


def doubting(features):
    return -np.ones(len(features), np.float32)


def column(found, name):
    return found.features[:, FEATURES.index(name)]


BODY = ball((12, 20, 20), 8)
MISSED, ELSEWHERE = ball(SEED, 4), ball((12, 33, 20), 3) & ~BODY


def test_what_may_change_is_what_differs_and_what_is_near_the_click():
    found = changes(logits(BODY), logits(BODY | ELSEWHERE), SEED, True, 1)
    depth = 4.5  # five cells from the body, whose last cell lies at 20
    near = ball(SEED, NEAR * depth) & ~BODY
    expected = np.flatnonzero(near | ELSEWHERE)
    np.testing.assert_array_equal(found.cells, expected)
    assert found.features.shape == (len(expected), len(FEATURES)) and found.features.dtype == np.float32


def test_what_is_told_of_a_change():
    before, answer = logits(BODY, 3.0), logits((BODY & ~ball((5, 20, 20), 2)) | MISSED | ELSEWHERE, 1.5)
    found = changes(before, answer, SEED, True, 2)
    mask, wanted = BODY.ravel()[found.cells], (answer > 0).ravel()[found.cells]
    in_missed, in_other = MISSED.ravel()[found.cells], ELSEWHERE.ravel()[found.cells]
    differs = mask != wanted
    np.testing.assert_array_equal(column(found, "logit"), np.where(differs, 1.5, -1.5))
    np.testing.assert_array_equal(column(found, "confidence"), 3.0)
    np.testing.assert_array_equal(column(found, "wanted"), ~mask)
    np.testing.assert_array_equal(column(found, "connected"), in_missed)
    assert in_other.any() and mask.any()
    distance = np.linalg.norm(np.stack(np.unravel_index(found.cells, SHAPE), 1) - SEED, axis=1) / 4.5
    np.testing.assert_allclose(column(found, "distance"), np.log(np.maximum(distance, 0.1)), rtol=1e-5)
    alone = {"depth": np.log(4.5), "adds": 1, "clicks": np.log(2)}
    radius = np.cbrt(0.75 * BODY.sum() / np.pi)
    alone |= {"depth_share": 4.5 / radius, "radius": np.log(radius)}
    both, sizes = (BODY & (answer > 0)).sum(), (BODY.sum(), (answer > 0).sum())
    volume = BODY.sum()
    inside, outside = 1 / (1 + np.exp(-3.0)), 1 / (1 + np.exp(3.0))
    expected = volume * inside + (BODY.size - volume) * outside
    alone |= {"sureness": 2 * volume * inside / (volume + expected)}
    alone |= {"agreement": 2 * both / sum(sizes), "growth": np.log((sizes[1] + 1) / (sizes[0] + 1))}
    for name, value in alone.items():
        np.testing.assert_allclose(column(found, name), value, rtol=1e-5)


def test_the_border_is_counted_in_steps_through_faces_on_either_side():
    mask = np.zeros(SHAPE, bool)
    mask[:20] = True
    answer = logits(np.zeros(SHAPE, bool))
    found = changes(logits(mask), answer, np.array((15, 20, 20)), False, 1)
    layers = np.unravel_index(found.cells, SHAPE)[0]
    np.testing.assert_array_equal(column(found, "border"), np.minimum(20 - layers, DEEPEST))
    found = changes(logits(mask), -answer, np.array((24, 20, 20)), True, 1)
    layers = np.unravel_index(found.cells, SHAPE)[0]
    np.testing.assert_array_equal(column(found, "border"), np.minimum(layers - 19, DEEPEST))
    np.testing.assert_allclose(column(found, "border_share"), np.minimum(column(found, "border") / 4.5, 6), rtol=1e-6)


def test_what_is_believed_is_taken_and_nothing_else():
    before, answer = logits(BODY), logits((BODY & ~ball((5, 20, 20), 2)) | MISSED | ELSEWHERE)
    all_of_it = weighed(before, answer, SEED, True, 1, judge=believing) > 0
    near = ball(SEED, NEAR * 4.5)
    np.testing.assert_array_equal(all_of_it, (answer > 0) | near)
    hesitating = weighed(before, answer, SEED, True, 1, judge=lambda f: np.full(len(f), DOUBT - 0.1, np.float32)) > 0
    np.testing.assert_array_equal(hesitating, BODY | MISSED | ELSEWHERE | near)  # a removal takes more than that
    only_wanted = weighed(before, answer, SEED, True, 1, judge=lambda f: 6 * f[:, FEATURES.index("wanted")] - 3) > 0
    np.testing.assert_array_equal(only_wanted, BODY | MISSED | ELSEWHERE | near)


def test_a_sure_mask_gives_up_parts_more_easily():
    part = BODY & ~ball((5, 20, 20), 2)

    def hesitating(features):
        return np.full(len(features), (SURE_DOUBT + DOUBT) / 2, np.float32)

    for strength, is_given_up in ((2.0, False), (9.0, True)):
        before = logits(BODY, strength)
        assert (sureness(before) >= SURE) == is_given_up
        after = weighed(before, logits(part | MISSED), SEED, True, 1, judge=hesitating) > 0
        assert after[5, 20, 20] != is_given_up


def rounded(radius, slope=0.5) -> np.ndarray:
    """Logits that are 0 at `radius` from the middle of the body."""
    away = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices(SHAPE), (12, 20, 20), strict=True)))
    return (slope * (radius - away)).astype(np.float32)


def test_an_unsure_answer_goes_towards_the_level_of_the_mask_before():
    np.testing.assert_allclose(levelled(rounded(8.0), rounded(11.0)), rounded(11.0 - 3 * AGREEMENT), atol=1e-5)
    np.testing.assert_array_equal(levelled(rounded(8.0), rounded(8.0)), rounded(8.0))


def test_a_sure_answer_stays_as_it_is():
    answer = np.where(rounded(11.0) > 0, 9.0, -9.0).astype(np.float32) + 0.1 * rounded(11.0)
    assert sureness(answer) >= SURE
    np.testing.assert_array_equal(levelled(rounded(8.0), answer), answer)


@pytest.mark.parametrize("adds", [True, False])
def test_the_clicked_cell_always_gets_its_kind(adds):
    before = logits(BODY) if adds else logits(BODY | MISSED)
    after = weighed(before, before, SEED, adds, 1, judge=doubting)
    assert (after[tuple(SEED)] > 0) == adds and abs(after[tuple(SEED)]) == pytest.approx(TAKEN)
    changed = (after > 0) != (before > 0)
    assert changed.sum() == 1


def test_a_change_is_as_sure_as_the_judge_or_the_answer_and_the_rest_as_sure_as_the_answer():
    before, answer = logits(BODY, 1.0), logits(BODY | ELSEWHERE, 5.0)
    after = weighed(before, answer, SEED, True, 1, judge=lambda f: np.full(len(f), 2.0, np.float32))
    assert after[12, 33, 20] == 5.0 and after[12, 20, 20] == 5.0 and after[0, 0, 0] == -5.0
    assert after[tuple(SEED)] == 2.0
    surest = weighed(before, answer, SEED, True, 1, judge=lambda f: np.full(len(f), 99.0, np.float32))
    assert surest.max() == SUREST
    kept = weighed(before, logits(BODY | ELSEWHERE, 5.0), SEED, True, 1, judge=doubting)
    assert kept[12, 33, 20] == -1.0


def test_a_click_that_corrects_nothing_keeps_the_mask_and_takes_surer_logits():
    before, answer = logits(BODY), logits(ball((12, 20, 20), 12), 5.0)
    seed = np.array((12, 20, 20))
    assert changes(before, answer, seed, True, 1) is None
    after = weighed(before, answer, seed, True, 1, judge=believing)
    np.testing.assert_array_equal(after > 0, BODY)
    assert after[12, 20, 20] == 5.0 and after[39, 0, 0] == -5.0


@pytest.mark.parametrize("value", [False, True])
def test_masks_without_a_border_stay(value):
    before = logits(np.full(SHAPE, value))
    after = weighed(before, -before, np.array((5, 5, 5)), not value, 1, judge=believing)
    np.testing.assert_array_equal(after, before)
