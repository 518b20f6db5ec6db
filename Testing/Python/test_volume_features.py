"""From a canonical volume to slices and features: geometry, intensities, batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from proposal_networks import tiny_sam_3d, volume

from sam3dseg.proposals.features import SlicedVolume, VolumePlan, features_of
from sam3dseg.slices.preprocessing import PIXEL_DEVIATION, PIXEL_MEAN, volume_window
from sam3dseg.slices.view import SliceView


def plan(axis=2, spacing_mm=(1.0, 1.0, 1.0), normalisation="sam"):
    return VolumePlan(axis, spacing_mm, normalisation)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_lie_as_the_views_show_them(axis):
    image = volume((7, 9, 8))
    turned = plan(axis).turned(image)
    for index in (0, 3):
        np.testing.assert_array_equal(turned[index], SliceView(axis, index).picture(image))
    np.testing.assert_array_equal(plan(axis).turned_back(turned), image)
    assert np.shares_memory(turned, image)


def test_plan_round_trip_and_refusals():
    chosen = plan(1, (2.0, 0.5, 0.25), "medsam")
    assert VolumePlan.from_config(chosen.as_config()) == chosen
    for content, message in (
        ({"axis": 3, "spacing_mm": [1, 1, 1]}, "axis must be 0"),
        ({"axis": 2, "spacing_mm": [1, 1, 0]}, "spacing_mm must be three positive"),
        ({"axis": 2, "spacing_mm": [1, 1, 1], "normalisation": "z"}, "normalisation must be one of sam"),
        ({"axis": 2}, "must have axis, spacing_mm and normalisation"),
    ):
        with pytest.raises(ValueError, match=message):
            VolumePlan.from_config(content)


@pytest.mark.parametrize("method", ["sam", "medsam"])
def test_at_the_image_s_own_spacing_samples_are_voxels_between_zeros(method):
    image = volume((14, 20, 6))  # columns R, rows A, slices S
    slices = SlicedVolume(image, (1, 1, 1), plan(normalisation=method), at_least=(8, 16, 16))
    assert slices.shape == (8, 32, 16)
    values = slices[:]
    assert values.shape == (8, 3, 32, 16)
    inside = (slice(1, 7), slice(None), slice(6, 26), slice(1, 15))
    low, high = volume_window(image)
    level = np.clip((plan().turned(image) - low) / (high - low), 0, 1)
    if method == "sam":
        expected = (255 * level[:, None] - PIXEL_MEAN[:, None, None]) / PIXEL_DEVIATION[:, None, None]
    else:
        lowest, highest = level.min((1, 2), keepdims=True), level.max((1, 2), keepdims=True)
        expected = np.repeat(((level - lowest) / (highest - lowest))[:, None], 3, axis=1)
    np.testing.assert_allclose(values[inside], expected, atol=1e-4)
    values[inside] = 0
    assert not values.any()


def test_spacing_is_that_of_slices_rows_and_columns():
    image = volume((20, 30, 12))
    slices = SlicedVolume(image, (0.5, 1.0, 3.0), plan(1, (2.0, 1.5, 0.25)))
    assert slices.shape == (15, 32, 48)  # 30 mm / 2, 36 mm / 1.5 -> 24, 10 mm / 0.25 -> 40
    ramp = np.broadcast_to(np.arange(20.0)[:, None, None], image.shape)  # along R: the columns, backwards
    values = SlicedVolume(ramp, (0.5, 1.0, 3.0), plan(1, (2.0, 1.5, 0.25)))[7:8]
    row = values[0, 0, 16, 4:44]
    assert (np.diff(row[2:-2]) < 0).all()
    np.testing.assert_allclose(np.diff(row[8:-8]), np.diff(row[8:-8])[0], rtol=1e-3)


@pytest.mark.parametrize("method", ["sam", "medsam", "robust_rank", "zscore_positive"])
def test_parts_are_those_of_the_whole(method):
    image = volume((20, 18, 9))
    slices = SlicedVolume(image, (1, 1.2, 2.5), plan(spacing_mm=(1.7, 1.0, 0.8), normalisation=method))
    np.testing.assert_array_equal(np.concatenate([slices[0:5], slices[5:]]), slices[:])
    assert slices[:].shape[1] == {"sam": 3, "medsam": 3, "robust_rank": 2, "zscore_positive": 1}[method]
    assert all(n % 16 == 0 for n in slices.shape[0 if method[0] in "rz" else 1 :])


@pytest.mark.parametrize("shape", [(1, 20, 20), (20, 1, 20)])
def test_slices_of_one_row_are_refused(shape):
    with pytest.raises(ValueError, match=r"slices of at least 2 x 2 voxels across canonical axis 2, got"):
        SlicedVolume(np.zeros(shape), (1, 1, 1), plan())


@pytest.mark.parametrize("thickness", [0.1, 1.0, 40.0])
def test_a_single_slice_is_seen(thickness):
    image = volume((20, 20, 1))
    slices = SlicedVolume(image, (1, 1, thickness), plan(spacing_mm=(4.0, 1.0, 1.0)), at_least=(8, 32, 32))
    assert np.abs(slices[:]).max() > 0


def test_a_constant_image_has_no_nan():
    for method in ("sam", "medsam", "robust_rank", "zscore_positive"):
        assert np.isfinite(SlicedVolume(np.full((9, 9, 9), 7.0), (1, 1, 1), plan(normalisation=method))[:]).all()


def test_features_are_those_of_every_slice_and_of_a_tensor(monkeypatch):
    network, seen = tiny_sam_3d(), []
    slices = SlicedVolume(volume(), (1, 1, 1), plan())
    monkeypatch.setattr("sam3dseg.proposals.features.BATCH_PIXELS", 5 * 32 * 32)
    found = features_of(network, slices, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(5, 18), (10, 18), (15, 18), (18, 18)]
    assert found.shape == (16, 18, 2, 2)
    torch.testing.assert_close(found, network.encode_slices(torch.from_numpy(slices[:])), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features_of(network, torch.from_numpy(slices[:])), found)


def test_features_of_mirrored_slices():
    network = tiny_sam_3d()
    slices = SlicedVolume(volume(), (1, 1, 1), plan())
    found = features_of(network, slices, flips=(1, 2))
    expected = network.encode_slices(torch.from_numpy(slices[:]).flip(2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_check_stops_the_encoding(monkeypatch):
    class Stop(Exception):
        pass

    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise Stop

    monkeypatch.setattr("sam3dseg.proposals.features.BATCH_PIXELS", 1)
    with pytest.raises(Stop):
        features_of(tiny_sam_3d(), SlicedVolume(volume(), (1, 1, 1), plan()), check=check)
    assert len(calls) == 3
