"""Augmentation: image, targets and distances move together; intensities change, and what is outside stays outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import training_cases

pytest.importorskip("torch")
pytest.importorskip("monai")

import torch

from sam3dseg.preprocessing import normalise
from sam3dseg.segmenter import TRAITS
from sam3dseg_training.configs.data import DataConfig
from sam3dseg_training.data.augmentation import Intensities, Placement, RandAnisotropy, turned
from sam3dseg_training.data.windows import CaseWindows, HeldOutWindows

COMPACT = replace(TRAITS["compact"], window_size=32, logits_size=16)
TURN = Placement(flips=(True, False, True), angles=(0.3, -0.2, 0.25), scales=(1.05, 0.95, 1.0))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("augmentation")
    data = training_cases.write_msd(root / "toy")
    for index in range(3):  # an image that is bright exactly where label 1 or 2 is
        _, labels = training_cases.volume()
        training_cases.write(data / f"imagesTr/case_{index:03d}.nii.gz", 1000 * (labels > 0).astype(np.int16))
    return training_cases.cached(root, data, sdf=True)


def test_image_targets_and_distances_are_turned_together(cache):
    config = DataConfig(path="-", labels=["Front+Back"])
    data = HeldOutWindows(cache, cache.keys, config, COMPACT, with_sdf=True)
    plan = data.plan(0)
    case = cache.read(plan.key)
    straight = data[0]
    sample = data.sample(case, [plan.name], plan.window, 0, placement=TURN)
    bright = torch.nn.functional.avg_pool3d(sample["image"][None, :1], 2)[0, 0]
    target, distance = sample["targets"][0], sample["sdf"][0]
    assert bright[target > 0.9].min() > bright[target < 0.1].max()
    assert (distance[target > 0.95] < 0.3).all() and (distance[target < 0.05] > -0.3).all()
    assert target.sum() == pytest.approx(float(straight["targets"].sum()) / np.prod(TURN.scales), rel=0.06)
    assert (target - straight["targets"][0]).abs().max() > 0.5


def test_flips_alone_are_exact(cache):
    data = HeldOutWindows(cache, cache.keys, DataConfig(path="-"), COMPACT, with_sdf=True)
    plan, case = data.plan(0), cache.read(data.plan(0).key)
    flipped = data.sample(case, [plan.name], plan.window, 0, placement=Placement((False, True, False)))
    for name, value in data[0].items():
        if name != "number":
            assert torch.equal(flipped[name], value.flip(2)), name


def test_a_turn_that_loses_the_object_is_left_out(cache):
    data = HeldOutWindows(cache, cache.keys, DataConfig(path="-"), COMPACT)
    plan, case = data.plan(0), cache.read(data.plan(0).key)
    spacing = np.array(case.spacing_mm)
    overlap_mm, edge_mm = 3, 0.7 * 32
    center = np.array(case.structures[plan.name].high) + 0.5 + (edge_mm / 2 - overlap_mm) / spacing
    corner = replace(plan.window, center=tuple(center.tolist()), spacing_mm=0.7)
    straight = data.sample(case, [plan.name], corner, 0)
    assert (straight["targets"] > 0.5).any()
    lost = Placement(angles=(0.0, 0.0, 0.0), scales=(0.5, 0.5, 0.5))
    assert torch.equal(data.sample(case, [plan.name], corner, 0, placement=lost)["targets"], straight["targets"])


def test_turning_looks_beyond_the_window():
    ramp = np.arange(40.0**3, dtype=np.float32).reshape(40, 40, 40)
    values, valid = turned(ramp, None, Placement(angles=(0.1, 0.0, 0.0)), 32)
    assert values.shape == (32, 32, 32)
    assert valid is None
    _, valid = turned(ramp, None, Placement(angles=(0.6, 0.6, 0.0)), 32)
    assert valid is not None and not valid[0, 0, 0] and valid[8:24, 8:24, 8:24].all()


def test_intensities_change_within_the_image_only():
    rng = np.random.default_rng(0)
    values = rng.normal(1000, 50, (24, 24, 24)).astype(np.float32)
    valid = np.zeros(values.shape, bool)
    valid[4:20, 2:22, 3:] = True
    values *= valid
    change = Intensities()
    results = [change(values, valid, np.random.default_rng(seed)) for seed in range(12)]
    again = [change(values, valid, np.random.default_rng(seed)) for seed in range(12)]
    for result, same in zip(results, again, strict=True):
        np.testing.assert_array_equal(result, same)
        assert (result[~valid] == 0).all() and np.isfinite(result).all()
        assert abs(np.median(result[valid]) - 1000) < 150
    changed = [not np.allclose(result, values, rtol=1e-3) for result in results]
    assert 4 <= sum(changed) <= 12
    inputs = {normalise(result, valid, "robust_rank").tobytes() for result in results}
    assert len(inputs) >= sum(changed)


def test_constant_and_empty_windows_stay_as_they_are():
    flat = np.full((8, 8, 8), 3, np.float32)
    np.testing.assert_array_equal(Intensities()(flat, None, np.random.default_rng(0)), flat)
    nothing = np.zeros((8, 8, 8), np.float32)
    np.testing.assert_array_equal(Intensities()(nothing, nothing > 0, np.random.default_rng(0)), nothing)


def test_anisotropy_blurs_one_axis_only():
    noise = torch.randn(1, 24, 24, 24, generator=torch.Generator().manual_seed(0))
    thick = RandAnisotropy(prob=1.0, factors=(3.0, 3.0)).set_random_state(seed=0)(noise)
    rough = [float(thick.diff(dim=axis).abs().mean() / noise.diff(dim=axis).abs().mean()) for axis in (1, 2, 3)]
    assert sorted(rough)[0] < 0.3 and sorted(rough)[1] > 0.4
    assert torch.equal(RandAnisotropy(prob=0.0)(noise), noise)


def test_placements_are_of_both_kinds():
    rng = np.random.default_rng(0)
    drawn = [Placement.draw(rng) for _ in range(200)]
    assert 0.25 < np.mean([placement.angles is not None for placement in drawn]) < 0.55
    assert 0.4 < np.mean([placement.flips for placement in drawn]) < 0.6


def test_augmented_samples_keep_the_object_in_view(cache):
    data = CaseWindows(cache, cache.keys, DataConfig(path="-"), COMPACT, seed=3)
    for number in range(24):
        sample = data[number]
        assert (sample["targets"][0] > 0.5).any()
        assert sample["targets"].min() >= 0 and sample["targets"].max() <= 1.0001
        assert torch.isfinite(sample["image"]).all()
