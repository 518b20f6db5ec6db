from __future__ import annotations

import numpy as np
import pytest

from sam3dseg.prompts import Click
from sam3dseg.simulated_user import next_click, next_place


def test_first_click_is_the_deepest_voxel(make_ellipsoid):
    reference = make_ellipsoid((30, 40, 20), (11, 25, 9), (5, 8, 4))
    assert next_click(reference) == Click((11, 25, 9), True)


def test_an_empty_mask_counts_as_none(make_ellipsoid):
    reference = make_ellipsoid((20, 20, 20), (9, 9, 9), (4, 4, 4))
    assert next_click(reference, np.zeros_like(reference)) == next_click(reference)


def test_the_image_border_counts_as_outside():
    reference = np.zeros((9, 9, 9), bool)
    reference[:5] = True  # if the border counted as inside, the deepest voxel would lie on face 0
    assert next_click(reference).ijk == (2, 2, 2)
    assert next_click(np.ones((9, 9, 9), bool)).ijk == (4, 4, 4)


def test_missed_part_gets_a_foreground_click_and_spilled_part_a_background_click():
    reference, mask = np.zeros((20, 20, 20), bool), np.zeros((20, 20, 20), bool)
    reference[2:7, 2:7, 2:7] = True
    reference[12:15, 12:15, 12:15] = True
    mask[2:7, 2:7, 2:7] = True
    assert next_click(reference, mask) == Click((13, 13, 13), True)
    mask[12:15, 12:15, 12:15] = True
    mask[2:7, 14:17, 2:7] = True
    assert next_click(reference, mask) == Click((3, 15, 3), False)  # the first of the equally deep voxels


def test_the_largest_error_wins_not_the_deepest():
    reference, mask = np.zeros((40, 12, 12), bool), np.zeros((40, 12, 12), bool)
    reference[20:25, 3:8, 3:8] = True  # 125 voxels, depth 3
    mask[0:18, 0:10, 0:1] = True  # 180 voxels, depth 1
    click = next_click(reference, mask)
    assert not click.is_foreground and click.ijk[2] == 0


def test_parts_are_connected_through_faces_only():
    reference = np.zeros((10, 10, 10), bool)
    reference[1:4, 1:4, 1:4] = True  # 27 voxels
    reference[4:6, 4:6, 4:6] = True  # 8 voxels, touching it at a corner
    mask = np.zeros_like(reference)
    mask[9, 9, 9] = True
    assert next_click(reference, mask).ijk == (2, 2, 2)


def test_nothing_to_correct_is_none(make_ellipsoid):
    reference = make_ellipsoid((12, 12, 12), (6, 6, 6), (3, 3, 3))
    assert next_click(reference, reference) is None
    assert next_click(np.zeros_like(reference)) is None


def test_it_is_deterministic_and_lands_in_the_error():
    rng = np.random.default_rng(1)
    reference, mask = rng.random((15, 16, 17)) > 0.5, rng.random((15, 16, 17)) > 0.5
    click = next_click(reference, mask)
    assert click == next_click(reference.copy(), mask.copy()) and type(click.is_foreground) is bool
    assert (reference[click.ijk], mask[click.ijk]) == ((True, False) if click.is_foreground else (False, True))


def test_an_impatient_user_clicks_anywhere_in_the_error(make_ellipsoid):
    reference = make_ellipsoid((20, 20, 20), (9, 9, 9), (5, 5, 5))
    clicks = {next_click(reference, rng=np.random.default_rng(seed)).ijk for seed in range(8)}
    assert len(clicks) > 4 and all(reference[ijk] for ijk in clicks)


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 4, 4\), not \(4, 4, 5\)"):
        next_click(np.ones((4, 4, 4), bool), np.ones((4, 4, 5), bool))


def test_in_a_picture_it_is_the_same_user():
    reference, mask = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    reference[2:9, 3:10] = True
    assert next_place(reference) == ((5, 6), True)
    mask[2:9, 3:10] = True
    mask[12:17, 20:25] = True
    assert next_place(reference, mask) == ((14, 22), False)
    assert next_place(reference, reference) is None
    places = {next_place(reference, rng=np.random.default_rng(seed))[0] for seed in range(8)}
    assert len(places) > 4 and all(reference[place] for place in places)
