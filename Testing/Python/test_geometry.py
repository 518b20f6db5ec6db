from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam3dseg.geometry import Grid, Orientation

ALL_48 = [(perm, signs) for perm in permutations(range(3)) for signs in product((1, -1), repeat=3)]
shapes = st.tuples(*[st.integers(1, 6)] * 3)
orientations = st.sampled_from(ALL_48)


def direction_of(perm, signs):
    """Direction whose index axis perm[a] points along signs[a] * RAS axis a."""
    matrix = np.zeros((3, 3))
    for axis in range(3):
        matrix[axis, perm[axis]] = signs[axis]
    return matrix


@pytest.mark.parametrize(("perm", "signs"), ALL_48)
def test_every_orientation_is_recognised(perm, signs):
    orientation = Orientation.from_direction(direction_of(perm, signs))
    assert orientation.perm == perm
    assert orientation.flips == tuple(s < 0 for s in signs)


@given(orientations, shapes)
def test_arrays_go_there_and_back_without_a_copy(case, shape):
    orientation = Orientation.from_direction(direction_of(*case))
    array = np.arange(np.prod(shape)).reshape(shape)
    canonical = orientation.to_canonical(array)
    assert np.shares_memory(canonical, array)
    assert canonical.shape == orientation.shape_to_canonical(shape)
    np.testing.assert_array_equal(orientation.from_canonical(canonical), array)


@given(orientations, shapes, st.data())
def test_points_follow_their_voxels(case, shape, data):
    orientation = Orientation.from_direction(direction_of(*case))
    ijk = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    array = np.arange(np.prod(shape)).reshape(shape)
    point = orientation.point_to_canonical(ijk, shape)
    assert orientation.to_canonical(array)[tuple(point.astype(int))] == array[ijk]
    np.testing.assert_array_equal(orientation.point_from_canonical(point, shape), ijk)


@given(orientations, st.floats(-0.7, 0.7), st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1)]))
def test_an_oblique_image_takes_the_closest_axes(case, angle, axis):
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    assert Orientation.from_direction(rotation @ direction_of(*case)).perm == case[0]


def test_no_direction_means_ras():
    assert Orientation.from_direction(None) == Orientation()


@pytest.mark.parametrize(
    ("direction", "message"),
    [
        (np.zeros((3, 3)), "singular"),
        (np.ones((3, 3)), "sheared"),
        ([[1, 0.3, 0], [0, 1, 0], [0, 0, 1]], "sheared.*resample"),
        (np.eye(4), r"3x3 matrix, got shape \(4, 4\)"),
        (np.full((3, 3), np.nan), "finite"),
    ],
)
def test_unusable_directions_say_why(direction, message):
    with pytest.raises(ValueError, match=message):
        Orientation.from_direction(direction)


def test_header_rounding_is_not_shear():
    assert Orientation.from_direction([[1, 1e-3, 0], [0, 1, 0], [0, 0, -1]]).flips == (False, False, True)


def test_a_single_slice_does_not_decide_the_spacing():
    grid = Grid((20, 30, 1), (0.5, 0.6, 0.1))
    assert (grid.finest_mm, grid.coarsest_mm) == (0.5, 0.6)
    np.testing.assert_allclose(grid.extent_mm, (10, 18, 0.1))
