from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3dseg.preprocessing import extract_window, logits_to_grid, normalise
from sam3dseg.windows import Window

SPACING = (0.7, 1.0, 2.5)


def ramp(shape, spacing_mm=(1, 1, 1), gradient=(1.0, -2.0, 0.5)):
    """A plane, linear in mm."""
    axes = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing_mm, strict=True)], indexing="ij")
    return sum(g * a for g, a in zip(gradient, axes, strict=True))


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(8, 12)] * 3), st.floats(0.2, 1.0), st.booleans())
def test_a_ramp_is_reproduced_inside_the_image(center, spacing, antialias):
    image = ramp((30, 30, 30), SPACING)
    window = Window(center, spacing * 0.7, 16)
    values, valid = extract_window(image, SPACING, window, antialias=antialias)
    points = window.to_image(np.indices((16, 16, 16)).reshape(3, -1).T, SPACING) * SPACING
    inside = ((points >= 0) & (points <= 29 * np.asarray(SPACING))).all(axis=1)
    np.testing.assert_allclose(values.ravel()[inside], (points @ (1.0, -2.0, 0.5))[inside], atol=1e-3)
    assert valid is None or valid.dtype == bool


def test_native_spacing_on_voxel_centres_copies_voxels(random_image):
    window = Window((3.5, 3.5, 4.5), 1.0, 4)
    values, valid = extract_window(random_image, (1, 1, 1), window, antialias=True)
    np.testing.assert_allclose(values, random_image[2:6, 2:6, 3:7], atol=1e-6)
    assert valid is None


def test_outside_is_zero_and_flagged(random_image):
    values, valid = extract_window(random_image + 5, (1, 1, 1), Window((-0.2, 4, 4.5), 1.0, 8), antialias=True)
    assert not valid[:4].any()
    assert valid[4:].all()
    assert (values[~valid] == 0).all()


def test_a_window_beside_the_image_is_empty(random_image):
    values, valid = extract_window(random_image, (1, 1, 1), Window((100, 4, 4), 1.0, 8), antialias=True)
    assert not valid.any()
    assert (values == 0).all()


def test_antialiasing_averages_and_linear_samples():
    image = np.zeros((64, 64, 64), dtype=np.int16)
    image[::2] = 100
    window = Window((31.5, 31.5, 31.5), 4.0, 16)
    smooth, _ = extract_window(image, (1, 1, 1), window, antialias=True)
    np.testing.assert_allclose(smooth, 50, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64, np.float16, np.float64, bool])
def test_every_dtype_and_memory_layout_gives_the_same_bits(dtype):
    image = np.random.default_rng(1).integers(0, 2, (20, 21, 22)).astype(dtype)
    window = Window((10, 9, 8), 1.3, 16)
    expected, _ = extract_window(image.astype(np.float32), SPACING, window, antialias=True)
    for layout in (image, np.asfortranarray(image), image[::-1].copy()[::-1]):
        np.testing.assert_array_equal(extract_window(layout, SPACING, window, antialias=True)[0], expected)


def test_slabs_do_not_show(monkeypatch, random_image):
    window = Window((4, 4, 5), 0.6, 12)
    expected, _ = extract_window(random_image, (1, 1, 1), window, antialias=True)
    monkeypatch.setattr("sam3dseg.preprocessing.SLAB_BYTES", 1)
    np.testing.assert_allclose(extract_window(random_image, (1, 1, 1), window, antialias=True)[0], expected, atol=1e-6)


def test_a_single_slice_fills_at_least_one_sample():
    values, valid = extract_window(np.ones((30, 30, 1)), (1, 1, 0.1), Window((14.5, 14.5, 0), 1.0, 8), antialias=True)
    assert valid.any()
    assert (values[valid] == 1).all()


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), SPACING])
def test_logits_of_any_resolution_line_up_with_the_grid(size, spacing_mm):
    window = Window((14.3, 13.1, 11.7), 0.5, 32)
    cells = (np.indices((size,) * 3).reshape(3, -1).T + 0.5) * 32 / size - 0.5
    logits = (window.to_image(cells, spacing_mm) @ (1.0, -2.0, 0.5)).reshape((size,) * 3).astype(np.float32)
    crop, where = logits_to_grid(logits, window, spacing_mm, (30, 28, 26))
    voxels = np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in where], indexing="ij"), axis=-1)
    assert window.contains(voxels, spacing_mm, margin=-1e-6).all()
    interior = window.contains(voxels, spacing_mm, margin=32 / size / 2)
    assert interior.any()
    np.testing.assert_allclose(crop[interior], (voxels @ (1.0, -2.0, 0.5))[interior], atol=1e-4)


def test_a_region_is_a_cut_of_the_whole():
    logits = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    window = Window((10, 10, 10), 1.0, 16)
    whole, where = logits_to_grid(logits, window, (1, 1, 1), (20, 20, 20))
    region = (slice(5, 9), slice(0, 20), slice(12, 13))
    part, there = logits_to_grid(logits, window, (1, 1, 1), (20, 20, 20), region=region)
    cut = tuple(slice(t.start - w.start, t.stop - w.start) for t, w in zip(there, where, strict=True))
    np.testing.assert_allclose(part, whole[cut], atol=1e-6)


def test_the_trip_through_a_window_and_back_keeps_a_ramp():
    image = ramp((40, 40, 40))
    window = Window((20, 20, 20), 0.5, 32)
    values, _ = extract_window(image, (1, 1, 1), window, antialias=True)
    back, where = logits_to_grid(values, window, (1, 1, 1), image.shape)
    np.testing.assert_allclose(back[1:-1, 1:-1, 1:-1], image[where][1:-1, 1:-1, 1:-1], atol=1e-3)


def test_zscore_uses_positive_voxels_and_unbiased_deviation():
    window = np.random.default_rng(0).normal(1, 3, (8, 8, 8)).astype(np.float32)
    positive = window[window > 0]
    result = normalise(window, None, "zscore_positive")
    assert result.shape == (1, 8, 8, 8)
    np.testing.assert_allclose(result[0], (window - positive.mean()) / positive.std(ddof=1), rtol=1e-4, atol=1e-5)


def test_zscore_padding_is_zero_before_the_normalisation():
    window = np.full((4, 4, 4), 7.0, dtype=np.float32)
    window[0] = 9
    valid = np.ones_like(window, dtype=bool)
    valid[3] = False
    result = normalise(window, valid, "zscore_positive")
    positive = window[:3]
    np.testing.assert_allclose(result[0, 3], -positive.mean() / positive.std(ddof=1), rtol=1e-4)


def test_robust_rank_standardises_ranks_and_pads_with_zero():
    window = np.random.default_rng(0).gamma(2.0, 100.0, (24, 24, 24)).astype(np.float32)
    valid = np.zeros(window.shape, dtype=bool)
    valid[4:, :, 3:] = True
    result = normalise(window, valid, "robust_rank")
    assert result.shape == (2, 24, 24, 24)
    assert result.dtype == np.float32
    assert (result[:, ~valid] == 0).all()
    assert abs(result[0][valid].mean()) < 1e-3
    assert result[0][valid].std() == pytest.approx(1, abs=1e-3)
    ranks = window[valid].argsort().argsort() / valid.sum() * 2 - 1
    np.testing.assert_allclose(result[1][valid], ranks, atol=0.02)


@given(st.floats(0.01, 1000), st.floats(-1e5, 1e5))
@settings(max_examples=20, deadline=None)
def test_robust_rank_ignores_scale_and_offset(scale, offset):
    window = np.random.default_rng(0).normal(size=(8, 8, 8)) * 100
    expected = normalise(window.astype(np.float32))
    np.testing.assert_allclose(normalise((window * scale + offset).astype(np.float32)), expected, atol=0.15)


@pytest.mark.parametrize("method", ["zscore_positive", "robust_rank"])
@pytest.mark.parametrize("value", [0.0, -5.0, 1.7e6])
def test_a_constant_window_gives_zeros(method, value):
    assert (normalise(np.full((4, 4, 4), value, dtype=np.float32), None, method) == 0).all()


@pytest.mark.parametrize("method", ["zscore_positive", "robust_rank"])
def test_a_window_without_image_gives_zeros(method):
    nothing = np.zeros((4, 4, 4), dtype=bool)
    assert (normalise(np.ones((4, 4, 4), dtype=np.float32), nothing, method) == 0).all()


def test_huge_intensities_stay_finite():
    window = np.random.default_rng(0).uniform(0, 1e30, (8, 8, 8)).astype(np.float32)
    assert np.isfinite(normalise(window)).all()
    assert np.isfinite(normalise(window, None, "zscore_positive")).all()


def test_unknown_normalisation_is_named():
    with pytest.raises(ValueError, match="'minmax' is unknown: expected one of"):
        normalise(np.zeros((2, 2, 2), dtype=np.float32), None, "minmax")
