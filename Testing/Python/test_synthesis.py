"""Made-up volumes: deterministic, varied, and preprocessed exactly as a click would."""

from __future__ import annotations

import numpy as np
import torch

from sam3dseg.preprocessing import normalise
from sam3dseg_training.synthesis.appearance import render
from sam3dseg_training.synthesis.dataset import SynthesisConfig, SyntheticWindows, choose_target, make_sample
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
