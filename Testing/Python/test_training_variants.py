"""Variants of a case: the same ones every time, with labels that stay on their tissue."""

from __future__ import annotations

import numpy as np
from training_cases import SPACING_MM, volume

from sam3dseg_training.data.variants import LARGEST_ANGLE_DEGREES, STRETCH, Variant

PLAIN = Variant()


def test_the_first_variant_is_the_case_itself_and_the_others_follow_from_their_number():
    first, *others = (Variant.of(n, seed=1, case="toy/a", mirror="RS") for n in range(6))
    assert first == PLAIN
    assert len(set(others)) == 5 and Variant.of(3, seed=1, case="toy/a", mirror="RS") == others[2]
    assert Variant.of(3, seed=2, case="toy/a", mirror="RS") != others[2] != Variant.of(3, seed=1, case="b", mirror="RS")
    assert {axis for variant in others for axis in variant.mirrored} == {0, 2}
    assert not any(Variant.of(n, seed=1, case="toy/a", mirror="").mirrored for n in range(9))
    assert all(abs(angle) <= LARGEST_ANGLE_DEGREES for variant in others for angle in variant.angles_degrees)
    assert all(abs(np.log(scale)) <= STRETCH for variant in others for scale in variant.scales)


def test_the_case_itself_is_not_touched():
    image, labels = volume()
    values, classes = PLAIN.apply(image, labels, SPACING_MM)
    assert values is image and classes is labels


def test_a_mirrored_case_is_the_flipped_one():
    image, labels = volume()
    values, classes = Variant(mirrored=(0, 2)).apply(image, labels, SPACING_MM)
    assert np.array_equal(values, image[::-1, :, ::-1]) and np.array_equal(classes, labels[::-1, :, ::-1])


def test_a_turn_by_a_right_angle_is_one_in_millimetres():
    shape = (21, 21, 11)
    labels = np.zeros(shape, np.uint8)
    labels[8:13, 2:19, 3:8] = 5  # 5 x 17 voxels of 2 x 1 mm
    image = 10.0 * labels
    values, classes = Variant(angles_degrees=(0.0, 0.0, 90.0)).apply(image, labels, (2.0, 1.0, 1.0))
    where = np.argwhere(classes == 5)
    extent = where.max(axis=0) - where.min(axis=0) + 1
    assert abs(extent[0] * 2.0 - 17) <= 2 and abs(extent[1] - 10) <= 1 and extent[2] == 5
    assert np.array_equal(classes == 5, values > 25)


def test_image_and_labels_move_together_and_labels_stay_labels():
    image, labels = volume()
    changed = Variant.of(2, seed=3, case="toy/a", mirror="")
    turned = Variant(angles_degrees=changed.angles_degrees, scales=changed.scales)
    values, classes = turned.apply(image, labels, SPACING_MM)
    assert values.shape == classes.shape == image.shape and set(np.unique(classes)) == {0, 1, 2}
    assert not np.array_equal(classes, labels)
    means = [values[classes == label].mean() for label in (0, 1, 2)]
    assert np.allclose(means, [300, 400, 500], atol=40)


def test_other_intensities_leave_the_labels_alone():
    image, labels = volume()
    values, classes = Variant(intensity_seed=7).apply(image, labels, SPACING_MM)
    assert np.array_equal(classes, labels) and not np.array_equal(values, image)
    again, _ = Variant(intensity_seed=7).apply(image, labels, SPACING_MM)
    assert np.array_equal(values, again)
