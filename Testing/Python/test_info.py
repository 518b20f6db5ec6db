from __future__ import annotations

import numpy as np
import pytest

from sam3dseg.imageio import Image
from sam3dseg.info import describe, orientation_code, volume_text


def image_of(array, direction=None) -> Image:
    return Image(array, (0.5, 0.5, 3.0), np.eye(3) if direction is None else direction, np.zeros(3), "x")


@pytest.mark.parametrize(
    ("direction", "code"),
    [(np.eye(3), "RAS"), (np.diag([-1, -1, 1]), "LPS"), (np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]]), "AIL")],
)
def test_orientation_letters_follow_the_index_axes(direction, code):
    assert orientation_code(image_of(np.zeros((2, 3, 4)), direction)) == code


def test_values_that_are_not_finite_are_counted():
    array = np.ones((2, 3, 4), np.float32)
    array[0, 0, :2] = np.nan, np.inf
    assert "2 voxels (NaN or infinite)" in describe(image_of(array)) and "1 to 1" in describe(image_of(array))
    assert "24 voxels" in describe(image_of(np.full((2, 3, 4), np.nan)))


def test_oblique_and_sheared_directions():
    a = np.radians(10)
    turned = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    assert "RAS, oblique by 10.0 degrees" in describe(image_of(np.zeros((2, 3, 4)), turned))
    with pytest.raises(ValueError, match="sheared"):
        describe(image_of(np.zeros((2, 3, 4)), np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]])))


def test_small_volumes_keep_their_digits():
    image = image_of(np.zeros((2, 3, 4)))  # 0.75 cubic mm per voxel
    found = [volume_text(voxels, image) for voxels in (1, 27, 5000, 200_000, 5_000_000)]
    assert found == ["0.00075 ml", "0.0203 ml", "3.75 ml", "150.0 ml", "3,750.0 ml"]
