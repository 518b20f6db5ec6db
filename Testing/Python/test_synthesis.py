"""Made-up volumes: deterministic, varied, and preprocessed exactly as a click would."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam3dseg.preprocessing import normalise
from sam3dseg_training.synthesis.appearance import fade, render
from sam3dseg_training.synthesis.dataset import SynthesisConfig, SyntheticWindows, choose_target, make_sample, one_side
from sam3dseg_training.synthesis.shapes import SIZE, crop_of_real_map, made_up_map, smooth_noise


def test_noise_has_zero_mean_unit_spread_and_neighbours_alike():
    noise = smooth_noise(np.random.default_rng(0), 48, 4)
    assert abs(noise.mean()) < 1e-4 and abs(noise.std() - 1) < 1e-3
    assert np.abs(np.diff(noise, axis=0)).mean() < 0.2


def test_made_up_maps_repeat_with_the_seed_and_differ_without():
    first, again = (made_up_map(np.random.default_rng(3)) for _ in range(2))
    other = made_up_map(np.random.default_rng(4))
    assert first.shape == (SIZE,) * 3 and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert len(np.unique(first)) >= 3


def test_crop_of_a_real_map_keeps_its_labels():
    volume = np.zeros((90, 80, 70), np.uint8)
    volume[20:60, 20:60, 20:50] = 1
    volume[30:40, 30:40, 30:40] = 2
    labels = crop_of_real_map(np.random.default_rng(1), volume)
    assert labels.shape == (SIZE,) * 3 and labels.max() >= 1


def test_render_is_finite_and_shows_the_labels():
    rng = np.random.default_rng(0)
    labels = np.zeros((40, 44, 36), np.uint8)
    labels[10:30, 10:30, 10:30] = 1
    images = [render(rng, labels) for _ in range(20)]
    assert all(image.shape == labels.shape and np.isfinite(image).all() for image in images)
    contrast = [abs(image[labels == 1].mean() - image[labels == 0].mean()) / (image.std() + 1e-6) for image in images]
    assert np.median(contrast) > 0.3


def test_target_is_one_object_of_the_map():
    labels = np.zeros((32, 32, 32), np.uint8)
    labels[2:10, 2:10, 2:10] = 1
    labels[20:30, 20:30, 20:30] = 1
    sizes = {
        int(t.sum()) for t in (choose_target(np.random.default_rng(s), labels) for s in range(40)) if t is not None
    }
    assert {8**3, 10**3} <= sizes


def test_choose_target_finds_nothing_in_an_empty_window():
    assert choose_target(np.random.default_rng(0), np.zeros((16, 16, 16), np.uint8)) is None


def test_stream_gives_windows_that_the_one_preprocessing_made(monkeypatch):
    seen = []

    def spy(window, valid, method):
        result = normalise(window, valid, method)
        seen.append(result)
        return result

    monkeypatch.setattr("sam3dseg_training.synthesis.dataset.normalise", spy)
    threads = torch.get_num_threads()
    sample = next(iter(SyntheticWindows(SynthesisConfig(window=32, targets=2, seed=1))))
    assert torch.get_num_threads() == threads
    assert sample["image"].shape == (2, 32, 32, 32) and sample["targets"].shape == (2, 16, 16, 16)
    assert np.array_equal(sample["image"].numpy(), seen[-1])
    assert float(sample["targets"].min()) >= 0 and float(sample["targets"].max()) <= 1 + 1e-5


def test_sample_without_an_object_is_skipped():
    empty = np.zeros((SIZE,) * 3, np.uint8)
    assert make_sample(np.random.default_rng(0), empty, SynthesisConfig(window=32)) is None


def test_an_object_fades_into_its_surroundings_and_nothing_else_does():
    mask = np.zeros((40, 40, 40), bool)
    mask[5:15, 5:15, 5:15] = True
    image = mask.astype(np.float32)
    image[30:, 30:, 30:] = 1
    faded = image.copy()
    fade(faded, mask, 2.0)
    assert np.array_equal(faded[25:], image[25:])
    step = [np.abs(np.diff(values[:, 10, 10])).max() for values in (image, faded)]
    assert step == [1, pytest.approx(0.25, abs=0.1)]
    assert faded[10, 10, 10] > 0.9 and faded[1, 1, 1] < 0.1
    untouched = image.copy()
    fade(untouched, np.zeros_like(mask), 2.0)
    assert np.array_equal(untouched, image)


def test_a_cut_leaves_a_fifth_to_four_fifths_on_one_side_of_a_plane():
    grid = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"))
    mask = ((grid - 20) ** 2).sum(0) < 15**2
    shares = []
    for seed in range(12):
        part = mask & one_side(np.random.default_rng(seed), mask)
        shares.append(part.sum() / mask.sum())
        middles = [grid[:, cells].mean(axis=1) for cells in (part, mask & ~part)]
        normal = (middles[1] - middles[0]) / np.linalg.norm(middles[1] - middles[0])
        height = np.tensordot(normal, grid, axes=1)
        edge = np.quantile(height[mask], shares[-1])
        assert np.mean((height[mask] < edge) == part[mask]) > 0.9
    assert 0.19 < min(shares) < 0.4 and 0.6 < max(shares) < 0.81


def test_some_targets_end_inside_their_tissue(monkeypatch):
    labels = np.zeros((32, 32, 32), np.uint8)
    labels[8:24, 8:24, 8:24] = 1

    def shares():
        drawn = (choose_target(np.random.default_rng(seed), labels) for seed in range(60))
        return np.array([t.sum() / 16**3 for t in drawn if t is not None and t[12, 12, 12] + t[20, 20, 20]])

    assert 0.02 < np.mean(shares() < 1) < 0.4
    monkeypatch.setattr("sam3dseg_training.synthesis.dataset.CUT_SHARE", 0.0)
    assert (shares() >= 1).all()


def test_targets_that_leave_the_window_are_drawn_less_often(monkeypatch):
    labels = np.zeros((SIZE,) * 3, np.uint8)
    labels[48:64, 48:64] = 1  # a column through the whole map
    labels[30:42, 50:62, 50:62] = 2

    def columns():
        config = SynthesisConfig(window=32, targets=1)
        samples = (make_sample(np.random.default_rng(seed), labels, config) for seed in range(80))
        targets = [sample["targets"][0] for sample in samples if sample is not None]
        return np.mean([bool(t[1:-1, 1:-1, 1:-1].sum() < 0.96 * t.sum()) for t in targets])

    fewer = columns()
    monkeypatch.setattr("sam3dseg_training.synthesis.dataset._leaves_window", lambda mask: False)
    assert 0.1 < fewer < columns() - 0.1
