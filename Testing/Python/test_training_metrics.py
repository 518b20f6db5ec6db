"""The measures of an evaluation against cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("monai")

from sam3dseg_training.evaluation.clicking import area_under, clicks_to, largest_drop
from sam3dseg_training.evaluation.metrics import MEASURES, Scores, chamfer, scores_of, surface_points

SPACING_MM = (1.0, 2.0, 5.0)
SHAPE = (5, 6, 7)


def box(*sides, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def test_equal_masks_are_perfect():
    mask = box((1, 4), (1, 5), (2, 6))
    assert scores_of(mask, mask, spacing_mm=SPACING_MM) == Scores(1, 1, 1, 0, 0)


@pytest.mark.parametrize(("axis", "moved_mm"), [(0, 1.0), (1, 2.0), (2, 5.0)])
def test_one_voxel_moved_along_an_axis_is_as_far_as_that_axis_spacing(axis, moved_mm):
    first, second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    place = [2, 2, 2]
    first[tuple(place)] = True
    place[axis] += 1
    second[tuple(place)] = True
    scores = scores_of(first, second, spacing_mm=SPACING_MM, tolerance_mm=1.5)
    assert (scores.dice, scores.iou) == (0, 0)
    assert scores.hd95_mm == pytest.approx(moved_mm)
    assert scores.chamfer_mm == pytest.approx(moved_mm)
    assert scores.surface_dice == (1.0 if moved_mm <= 1.5 else 0.0)


def test_two_rods_by_hand():
    """Rods of 3 and 2 voxels, end to end in the same line of 2 mm steps: distances 0, 0, 2 and 0, 0."""
    long, short = box((2, 3), (1, 4), (3, 4)), box((2, 3), (1, 3), (3, 4))
    scores = scores_of(long, short, spacing_mm=SPACING_MM, tolerance_mm=1.0)
    assert scores.dice == pytest.approx(2 * 2 / 5)
    assert scores.iou == pytest.approx(2 / 3)
    assert scores.chamfer_mm == pytest.approx((2 / 3 + 0) / 2)
    assert scores.hd95_mm == pytest.approx(np.percentile([0, 0, 2], 95))
    assert scores.surface_dice == pytest.approx(4 / 5)


def test_the_surface_of_a_solid_box_is_its_shell():
    cube = box((1, 4), (1, 4), (1, 4))
    assert len(surface_points(cube, SPACING_MM)) == 27 - 1
    assert [2.0, 4.0, 10.0] not in surface_points(cube, SPACING_MM).tolist()


def test_the_border_of_the_image_counts_as_surface():
    full = np.ones(SHAPE, bool)
    inner = box((1, 4), (1, 5), (1, 6))
    scores = scores_of(full, inner, spacing_mm=(1, 1, 1), tolerance_mm=1.0)
    shell = [1.0] * 94 + [2**0.5] * 48 + [3**0.5] * 8  # its sides, edges and corners
    assert len(surface_points(full, (1, 1, 1))) == len(shell)
    assert scores.hd95_mm == pytest.approx(np.percentile(shell, 95))
    assert scores.chamfer_mm == pytest.approx((np.mean(shell) + 1) / 2)


def test_an_empty_mask_is_as_far_away_as_the_image_is_long():
    some, none = box((1, 2), (1, 2), (1, 2)), np.zeros(SHAPE, bool)
    longest = np.linalg.norm([4 * 1, 5 * 2, 6 * 5])
    for pair in ((some, none), (none, some)):
        scores = scores_of(*pair, spacing_mm=SPACING_MM)
        assert (scores.dice, scores.iou, scores.surface_dice) == (0, 0, 0)
        assert scores.hd95_mm == scores.chamfer_mm == pytest.approx(longest)
    assert scores_of(none, none, spacing_mm=SPACING_MM) == Scores(1, 1, 1, 0, 0)


def test_measures_do_not_depend_on_where_in_the_image_the_masks_lie():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 6, 7, 5)) > 0.6
    alone = scores_of(first, second, spacing_mm=SPACING_MM)
    wide = [np.pad(mask, ((9, 2), (0, 5), (3, 3))) for mask in (first, second)]
    assert scores_of(*wide, spacing_mm=SPACING_MM) == alone


def test_distances_against_all_pairs_of_points():
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 6, 7, 5)) > 0.5
    a, b = surface_points(first, SPACING_MM), surface_points(second, SPACING_MM)
    pairs = np.linalg.norm(a[:, None] - b[None], axis=2)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    scores = scores_of(first, second, spacing_mm=SPACING_MM, tolerance_mm=1.0)
    assert scores.chamfer_mm == pytest.approx((there.mean() + back.mean()) / 2)
    assert chamfer(a, b) == pytest.approx(scores.chamfer_mm)
    assert scores.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert scores.surface_dice == pytest.approx(((there <= 1).sum() + (back <= 1).sum()) / (len(a) + len(b)))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"expected a mask of the reference's shape \(5, 6, 7\), received \(5, 6, 8\)"):
        scores_of(np.zeros((5, 6, 8), bool), np.zeros(SHAPE, bool), spacing_mm=SPACING_MM)


def test_every_measure_is_explained():
    assert [measure.key for measure in MEASURES] == list(Scores.__slots__)


def test_what_a_sequence_of_scores_says():
    scores = (0.5, 0.85, 0.6, 0.8, 0.95)
    assert (clicks_to(scores, 0.8), clicks_to(scores, 0.9), clicks_to(scores, 0.99)) == (2, 5, None)
    assert largest_drop(scores) == pytest.approx(0.25)
    assert largest_drop((0.5,)) == 0
    assert area_under((0.5,)) == 0.5
    assert area_under((0.0, 1.0)) == pytest.approx(0.5)
    assert area_under((0.4, 0.8, 0.6)) == pytest.approx((0.6 + 0.7) / 2)
