"""Small parts, holes and rough contours of a mask made slice by slice."""

from __future__ import annotations

import numpy as np
import pytest

from sam3dseg.slices.cleaning import cleaned, smoothed, without_holes, without_small_parts
from sam3dseg.slices.options import SliceOptions

NOWHERE = np.zeros((0, 3), dtype=np.int64)


@pytest.fixture
def parts():
    """Parts of 64, 27 and 1 voxels."""
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[:4, :4, :4] = True
    mask[6:9, 6:9, 6:9] = True
    mask[11, 11, 11] = True
    return mask


@pytest.mark.parametrize(("share", "voxels"), [(0.01, 92), (0.1, 91), (0.43, 64), (1.0, 64)])
def test_parts_below_the_share_of_the_largest_go(parts, share, voxels):
    assert without_small_parts(parts, share).sum() == voxels


def test_a_clicked_part_stays_however_small(parts):
    kept = without_small_parts(parts, 0.5, kept=np.array([[11, 11, 11]]))
    assert kept.sum() == 65 and kept[11, 11, 11]
    assert without_small_parts(parts, 0.5, kept=np.array([[5, 5, 5]])).sum() == 64  # beside every part


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_holes_that_a_slice_encloses_are_filled(axis):
    tube = np.zeros((9, 9, 9), dtype=bool)
    tube[2:7, 2:7, 2:7] = True
    through = [slice(4, 5)] * 3
    through[axis] = slice(None)
    tube[tuple(through)] = False  # open to both ends
    filled = without_holes(tube, axis=axis)
    assert filled.sum() == 125
    other = without_holes(tube, axis=(axis + 1) % 3)  # across it the tube is two bars beside each other
    assert other.sum() == tube.sum()


def test_a_hole_that_was_clicked_stays():
    mask = np.zeros((9, 9, 2), dtype=bool)
    mask[1:8, 1:8] = True
    mask[4, 4] = False
    mask[2, 2] = False
    filled = without_holes(mask, axis=2, kept=np.array([[4, 4, 1]]))
    assert not filled[4, 4, 1] and filled[4, 4, 0] and filled[2, 2].all()


@pytest.mark.parametrize(("axis", "spacing"), [(2, (1.0, 1.0, 5.0)), (0, (5.0, 0.5, 1.0))])
def test_contours_lose_their_teeth_and_keep_their_area(make_ellipsoid, axis, spacing):
    middle, radii = [14, 14, 14], [9, 9, 9]
    ball = make_ellipsoid((29, 29, 29), middle, radii)
    rough = ball ^ (make_ellipsoid((29, 29, 29), middle, (11, 11, 11)) & (np.indices(ball.shape).sum(axis=0) % 3 == 0))
    smooth = smoothed(rough, 4.0, axis=axis, spacing_mm=spacing)
    others = tuple(a for a in range(3) if a != axis)
    np.testing.assert_allclose(smooth.sum(axis=others), rough.sum(axis=others), rtol=0.1, atol=4)

    def edge(mask):
        return sum(np.count_nonzero(np.diff(mask.astype(np.int8), axis=a)) for a in others)

    assert edge(smooth) < 0.7 * edge(rough)


def test_no_slice_is_smoothed_away_nor_into_its_neighbours():
    mask = np.zeros((20, 20, 5), dtype=bool)
    mask[9:11, 9:11, 2] = True
    smooth = smoothed(mask, 6.0, axis=2, spacing_mm=(1, 1, 1))
    np.testing.assert_array_equal(smooth, mask)


def test_nothing_is_done_unasked(parts):
    same = cleaned(parts, SliceOptions(), axis=2, spacing_mm=(1, 1, 1), inside=NOWHERE, outside=NOWHERE)
    np.testing.assert_array_equal(same, parts)


def test_all_that_is_asked_is_done(parts):
    parts[1, 1, :4] = False
    options = SliceOptions(smallest_part=0.5, fill_holes=True, smooth_mm=0.1)
    done = cleaned(parts, options, axis=2, spacing_mm=(1, 1, 1), inside=NOWHERE, outside=NOWHERE)
    assert done.sum() == 64
