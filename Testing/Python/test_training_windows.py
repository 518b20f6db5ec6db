"""Windows for training: the tensor that clicking gives, targets in their place, and numbers that say all."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import training_cases
from scipy import ndimage

pytest.importorskip("torch")
pytest.importorskip("monai")

import torch

from sam3dseg import Click, Session
from sam3dseg.geometry import Orientation
from sam3dseg.imageio import read_image
from sam3dseg.segmenter import TRAITS
from sam3dseg_training.configs.data import DataConfig
from sam3dseg_training.data.entries import DamagedEntryError
from sam3dseg_training.data.placing import Placer
from sam3dseg_training.data.windows import CaseWindows, HeldOutWindows, NumberBatches, loader

COMPACT = replace(TRAITS["compact"], window_size=32, logits_size=16)
SAM_MED3D = replace(TRAITS["sam_med3d_vit_b_ori"], window_size=32, logits_size=8)
OBLIQUE = (0.0, 0.9998477, -0.0174524, 1.0, 0.0, 0.0, 0.0, -0.0174524, -0.9998477)  # permuted, flipped, 1 degree off


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return training_cases.cached(tmp_path_factory.mktemp("windows"), sdf=True)


def windows(cache, traits=COMPACT, seed=0, with_sdf=False, **config):
    return CaseWindows(cache, cache.keys, DataConfig(path="-", **config), traits, seed, with_sdf=with_sdf)


def session_for(make_segmenter, traits, **kwargs):
    segmenter = make_segmenter(
        window_size=traits.window_size,
        logits_size=traits.logits_size,
        fixed_spacing_mm=traits.fixed_spacing_mm,
        normalisation=traits.normalisation,
        antialias=traits.antialias,
    )
    return segmenter, Session(segmenter, **kwargs)


class TestSameTensorAsClicking:
    @pytest.mark.parametrize("traits", [COMPACT, SAM_MED3D], ids=["compact", "sam_med3d"])
    @pytest.mark.parametrize("direction", [training_cases.LPS, OBLIQUE], ids=["ras", "oblique"])
    def test_a_training_window_is_what_a_click_gives_the_network(self, tmp_path, make_segmenter, traits, direction):
        cache = training_cases.cached(tmp_path, training_cases.write_msd(tmp_path / "toy", direction=direction))
        held_out = HeldOutWindows(cache, cache.keys, DataConfig(path="-"), traits)
        drawn = windows(cache, traits, augment=False)
        for data in (drawn, held_out):
            for number in range(4):
                self.assert_same(cache, data, number, make_segmenter, traits)

    def test_of_a_real_case(self, shared_dir, tmp_path, make_segmenter):
        images = sorted((shared_dir / "data/hippocampus/imagesTr").glob("*.nii.gz"))[:2]
        for image in images:
            for folder, path in (("imagesTr", image), ("labelsTr", image.parents[1] / "labelsTr" / image.name)):
                (tmp_path / "real" / folder).mkdir(parents=True, exist_ok=True)
                (tmp_path / "real" / folder / path.name).symlink_to(path)
        cache = training_cases.cached(tmp_path, tmp_path / "real")
        data = windows(cache, TRAITS["compact"], augment=False)
        self.assert_same(cache, data, 1, make_segmenter, TRAITS["compact"])

    def assert_same(self, cache, data, number, make_segmenter, traits):
        plan = data.plan(number)
        record = next(record for record in cache.records if record.key == plan.key)
        image = read_image(record.image)
        orientation = Orientation.from_direction(image.direction_ras)
        clicked = np.round(orientation.point_from_canonical(plan.point, image.shape)).astype(int)
        segmenter, session = session_for(make_segmenter, traits)
        session.set_image(image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras)
        session.add(Click(tuple(clicked.tolist())))
        np.testing.assert_array_equal(data[number]["image"].numpy(), segmenter.encoded[0])


class TestTargets:
    def test_a_target_covers_its_object_in_the_window(self, cache):
        data = HeldOutWindows(cache, cache.keys, DataConfig(path="-"), COMPACT)
        assert [name for _, name in data.pairs[:2]] == ["Front", "Back"]
        sample, plan = data[0], data.plan(0)
        case = cache.read(plan.key)
        target = sample["targets"][0].numpy()
        assert target.shape == (16, 16, 16) and target.min() >= 0 and target.max() <= 1
        cell_mm = plan.window.extent_mm / 16
        voxels = case.structures["Front"].voxels
        assert target.sum() * cell_mm**3 == pytest.approx(voxels * np.prod(case.spacing_mm), rel=0.02)
        cells = np.array(ndimage.center_of_mass(target))
        samples = (cells + 0.5) * 2 - 0.5
        middle = np.array(ndimage.center_of_mass(case.mask("Front")))
        np.testing.assert_allclose(plan.window.to_image(samples, case.spacing_mm), middle, atol=0.1)

    def test_joined_labels_are_one_object(self, cache):
        both = HeldOutWindows(cache, cache.keys, DataConfig(path="-", labels=["front+back"]), COMPACT)
        assert len(both) == 3
        each = HeldOutWindows(cache, cache.keys, DataConfig(path="-"), COMPACT)
        window, case = both.plan(0).window, cache.read(both.keys[0])
        parts = [each.coverage(case, name, window, 16) for name in ("Front", "Back")]
        np.testing.assert_allclose(both[0]["targets"][0], parts[0] + parts[1], atol=1e-5)

    def test_an_unknown_label_names_the_nearest(self, cache):
        with pytest.raises(ValueError, match="unknown label 'frnt': expected one of Front, Back.*did you mean Front"):
            windows(cache, labels=["frnt"])

    def test_distances_are_negative_exactly_inside(self, cache):
        for labels in ([], ["front+back"]):
            data = windows(cache, augment=False, with_sdf=True, labels=labels)
            sample = data[0]
            target, distance = sample["targets"][0].numpy(), sample["sdf"][0].numpy()
            assert distance.shape == target.shape
            assert (distance[target > 0.95] < 0).all() and (distance[target < 0.05] > 0).all()
            case = cache.read(data.plan(0).key)
            inside = -distance.min()
            assert 0.3 * min(case.spacing_mm) < inside < 10

    def test_distances_grow_outside_the_image(self, cache):
        data = windows(cache, augment=False, with_sdf=True, crop=64)
        distance = data[0]["sdf"][0].numpy()
        cell_mm = data.plan(0).window.extent_mm / 32
        line = distance[:, 16, 16]  # the image begins five cells inside
        np.testing.assert_allclose(np.diff(line[:5]), -cell_mm, rtol=0.3)
        steps = [np.abs(np.diff(distance, axis=axis)).max() for axis in range(3)]
        assert max(steps) <= 1.8 * cell_mm  # a distance cannot change faster than the way

    def test_without_prepared_distances_the_setting_is_named(self, tmp_path):
        cache = training_cases.cached(tmp_path)
        with pytest.raises(ValueError, match=r"prepare it with sdf=true, or set loss\.sdf=0"):
            windows(cache, with_sdf=True)

    def test_an_object_between_the_cells_still_has_one(self, tmp_path):
        root = training_cases.write_msd(tmp_path / "toy", 1)
        labels = np.zeros(training_cases.SHAPE, np.uint8)
        labels[6, 6, 6:8] = 1
        training_cases.write(root / "labelsTr/case_000.nii.gz", labels)
        data = windows(training_cases.cached(tmp_path, root), SAM_MED3D, augment=False)
        assert data[0]["targets"][0].max() > 0.5


class TestNumbers:
    def test_a_sample_is_a_function_of_seed_and_number(self, cache):
        first, again, other = windows(cache), windows(cache), windows(cache, seed=1)
        again[7]  # what was drawn before does not matter
        for number in (3, 4, 5):
            for name, value in first[number].items():
                assert torch.equal(value, again[number][name]), name
        assert not torch.equal(first[3]["image"], other[3]["image"])
        assert not torch.equal(first[3]["image"], first[6]["image"])
        assert first[5]["number"].item() == 5

    def test_every_case_comes_once_in_an_epoch(self, cache):
        data = windows(cache)
        for epoch in range(3):
            assert {data.plan(3 * epoch + index).key for index in range(3)} == set(cache.keys)
        orders = {tuple(data.plan(3 * epoch + index).key for index in range(3)) for epoch in range(8)}
        assert len(orders) > 1

    def test_ranks_share_what_one_process_takes(self):
        alone = iter(NumberBatches(first=8, batch=4))
        ranks = [iter(NumberBatches(first=8, batch=2, rank=rank, world=2)) for rank in range(2)]
        for start in (8, 12, 16):
            assert next(alone) == list(range(start, start + 4))
            assert sorted(next(ranks[0]) + next(ranks[1])) == list(range(start, start + 4))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_batches_and_going_on_from_a_number(self, cache, workers):
        data = windows(cache, with_sdf=True)
        whole = loader(data, 2, workers)
        batches = [next(whole) for _ in range(3)]
        later = next(loader(data, 2, 0, first=4))
        assert batches[0]["image"].shape == (2, 2, 32, 32, 32)
        assert batches[0]["targets"].shape == batches[0]["sdf"].shape == (2, 2, 16, 16, 16)
        assert batches[2]["number"].tolist() == [4, 5] and batches[0]["image"].dtype == torch.float32
        for name, value in later.items():
            assert torch.equal(value, batches[2][name]), name

    def test_windows_go_to_other_processes_without_their_open_files(self, cache):
        data = windows(cache)
        sample = data[0]
        assert torch.equal(pickle.loads(pickle.dumps(data))[0]["image"], sample["image"])


class TestPlacing:
    def test_windows_vary_in_zoom_and_hold_their_click(self, cache):
        data = windows(cache)
        plans = [data.plan(number) for number in range(60)]
        spacings = [plan.window.spacing_mm for plan in plans]
        assert max(spacings) > 1.5 * min(spacings)
        margin = data.placer.policy.edge_margin
        for plan in plans:
            spacing = cache.read(plan.key).spacing_mm
            assert plan.window.contains(plan.point, spacing, margin=margin - 0.5 - 1e-6)

    def test_some_windows_are_a_sessions_first(self, cache):
        data = windows(cache)
        placer = Placer(32, None)
        plans = [data.plan(number) for number in range(60)]
        first = [plan.window == placer.first(cache.read(plan.key).grid, plan.point) for plan in plans]
        assert 0.05 < np.mean(first) < 0.6

    def test_a_crop_is_a_session_with_such_a_model(self, cache, make_segmenter):
        traits = replace(COMPACT, window_size=48, logits_size=24)
        cropped, own = windows(cache, crop=48, augment=False), windows(cache, traits, augment=False)
        assert torch.equal(cropped[0]["image"], own[0]["image"])
        assert cropped[0]["targets"].shape == (2, 24, 24, 24)

    def test_an_impossible_crop_names_the_key(self, cache):
        with pytest.raises(ValueError, match=r"data\.crop must be a multiple of 16, or 0 for 32, not 40"):
            windows(cache, crop=40)


def test_cases_smaller_than_the_window_are_padded_with_zeros(cache):
    sample = windows(cache, augment=False, crop=64)[0]
    assert (sample["image"][:, :2] == 0).all() and sample["image"].abs().max() > 1


def test_cases_without_the_object_are_left_out(tmp_path):
    root = training_cases.write_msd(tmp_path / "toy")
    _, labels = training_cases.volume()
    training_cases.write(root / "labelsTr/case_001.nii.gz", np.where(labels == 2, 0, labels))
    cache = training_cases.cached(tmp_path, root)
    assert windows(cache, labels=["Back"]).keys == ("toy/case_000", "toy/case_002")
    with pytest.raises(ValueError, match="none of 1 cases holds Back"):
        CaseWindows(cache, cache.keys[1:2], DataConfig(path="-", labels=["Back"]), COMPACT, 0)


def test_a_damaged_entry_says_what_to_do(tmp_path):
    cache = training_cases.cached(tmp_path)
    for key in cache.keys:
        (cache.folder / f"cases/{key}.npz").write_bytes(b"nothing")
    with pytest.raises(DamagedEntryError, match="run sam3dseg-train prepare again"):
        windows(cache)[0]
