"""Slices as pictures: where the patient's sides are, and both ways between voxels and pixels."""

from __future__ import annotations

import numpy as np
import pytest

from sam3dseg.geometry import Orientation
from sam3dseg.slices.view import ORIENTATIONS, SliceView

SHAPE = (5, 7, 9)


@pytest.fixture
def volume():
    return np.arange(np.prod(SHAPE)).reshape(SHAPE)


@pytest.mark.parametrize(
    ("orientation", "shape", "top_left", "top_right", "bottom_left"),
    [  # corners as (R, A, S), the slice's own coordinate being 2
        ("axial", (7, 5), (4, 6, 2), (0, 6, 2), (4, 0, 2)),  # right at the left, anterior at the top
        ("coronal", (9, 5), (4, 2, 8), (0, 2, 8), (4, 2, 0)),  # right at the left, superior at the top
        ("sagittal", (9, 7), (2, 6, 8), (2, 0, 8), (2, 6, 0)),  # anterior at the left, superior at the top
    ],
)
def test_pictures_look_as_radiologists_expect(volume, orientation, shape, top_left, top_right, bottom_left):
    view = SliceView(ORIENTATIONS[orientation], 2)
    picture = view.picture(volume)
    assert view.orientation == orientation
    assert picture.shape == view.shape(SHAPE) == shape
    assert picture[0, 0] == volume[top_left]
    assert picture[0, -1] == volume[top_right]
    assert picture[-1, 0] == volume[bottom_left]
    assert np.shares_memory(picture, volume)


@pytest.mark.parametrize("axis", range(3))
def test_every_voxel_is_found_in_the_picture_and_back(volume, axis):
    view = SliceView(axis, 3)
    voxels = np.argwhere(np.arange(SHAPE[axis]).reshape([-1 if a == axis else 1 for a in range(3)]) * 0 + volume >= 0)
    voxels = voxels[voxels[:, axis] == 3]
    xy = view.to_picture(voxels, SHAPE)
    columns, rows = xy.T.astype(int)
    assert np.array_equal(view.picture(volume)[rows, columns], volume[tuple(voxels.T)])
    assert np.array_equal(view.to_voxels(xy, SHAPE), voxels)
    assert np.array_equal(view.to_voxels([1.25, 2.5], SHAPE), view.to_voxels([[1.25, 2.5]], SHAPE)[0])


@pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1.0, 1, -1]), np.eye(3)[[2, 0, 1]], -np.eye(3)[[1, 0, 2]]])
@pytest.mark.parametrize("axis", range(3))
def test_a_place_of_a_flipped_or_permuted_file_goes_to_the_picture_and_back(direction, axis):
    orientation = Orientation.from_direction(direction)
    array = np.random.default_rng(0).normal(size=SHAPE)
    canonical = orientation.to_canonical(array)
    ijk = np.array([3, 5, 6])
    point = orientation.point_to_canonical(ijk, SHAPE)
    view = SliceView(axis, int(point[axis]))
    x, y = view.to_picture(point, canonical.shape).astype(int)
    assert view.picture(canonical)[y, x] == array[tuple(ijk)]
    back = orientation.point_from_canonical(view.to_voxels([x, y], canonical.shape), SHAPE)
    assert np.array_equal(back, ijk)


@pytest.mark.parametrize("axis", range(3))
def test_boxes_cover_the_same_voxels_both_ways(volume, axis):
    view = SliceView(axis, 3)
    lower, upper = np.array([1, 2, 3]), np.array([3, 4, 7])
    lower[axis] = upper[axis] = 3
    box = view.box_to_picture(lower, upper, SHAPE)
    x0, y0, x1, y1 = box.astype(int)
    assert x0 <= x1 and y0 <= y1
    inside = volume[tuple(slice(a, b + 1) for a, b in zip(lower, upper, strict=True))]
    assert set(view.picture(volume)[y0 : y1 + 1, x0 : x1 + 1].ravel()) == set(inside.ravel())
    back = view.box_to_voxels(box, SHAPE)
    assert np.array_equal(back, (lower, upper))


def test_pixels_are_as_large_as_the_voxels():
    assert [SliceView(axis, 0).pixel_mm((1.0, 2.0, 3.0)) for axis in range(3)] == [(3, 2), (3, 1), (2, 1)]


def test_a_mask_painted_on_the_picture_lies_in_the_volume():
    mask = np.zeros(SHAPE, bool)
    SliceView(ORIENTATIONS["coronal"], 4).picture(mask)[0, 1] = True
    assert np.argwhere(mask).tolist() == [[3, 4, 8]]
