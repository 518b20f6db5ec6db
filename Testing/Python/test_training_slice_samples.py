"""Slices for training: the tensor and the box that prompting gives, targets in their place, numbers that say all."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import training_cases

pytest.importorskip("torch")
pytest.importorskip("monai")

import torch
from slice_toys import ThresholdSliceSegmenter

from sam3dseg import Session
from sam3dseg.geometry import Orientation
from sam3dseg.imageio import read_image
from sam3dseg.prompts import Box
from sam3dseg.slices.options import SliceOptions
from sam3dseg.slices.preprocessing import logits_to_picture, slice_input
from sam3dseg.slices.view import ORIENTATIONS, SliceView
from sam3dseg_training.configs.data import DataConfig
from sam3dseg_training.configs.slices import SliceConfig
from sam3dseg_training.data.augmentation import Placement
from sam3dseg_training.data.slice_samples import CaseSlices, HeldOutSlices, SlicePlan
from sam3dseg_training.data.windows import loader

SIZE = 64
OBLIQUE = (0.0, 0.9998477, -0.0174524, 1.0, 0.0, 0.0, 0.0, -0.0174524, -0.9998477)  # permuted, flipped, 1 degree off


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return training_cases.cached(tmp_path_factory.mktemp("slices"))


def held_out(cache, method="medsam", labels=(), **slices):
    data, config = DataConfig(path="-", labels=list(labels)), SliceConfig(**slices)
    return HeldOutSlices(cache, cache.keys, data, config, image_size=SIZE, preprocessing=method)


def drawn(cache, method="medsam", seed=0, slices=None, **data):
    data, config = DataConfig(path="-", **data), SliceConfig(**(slices or {}))
    return CaseSlices(cache, cache.keys, data, config, image_size=SIZE, preprocessing=method, seed=seed)


class TestSameTensorAsPrompting:
    @pytest.mark.parametrize("method", ["sam", "medsam"])
    @pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
    @pytest.mark.parametrize("direction", [training_cases.LPS, OBLIQUE], ids=["ras", "oblique"])
    def test_a_training_slice_is_what_a_box_gives_the_network(self, tmp_path, method, axis, direction):
        cache = training_cases.cached(tmp_path, training_cases.write_msd(tmp_path / "toy", 1, direction=direction))
        samples = held_out(cache, method, axis=axis, labels=["Back"])
        plan, sample = samples.plan(0), samples[0]
        image = read_image(cache.records[0].image)
        orientation = Orientation.from_direction(image.direction_ras)
        extent = samples.extent(samples.case(plan.key), "Back")
        corners = np.array([extent.low, extent.high])
        corners[:, plan.view.axis] = plan.view.index
        low, high = np.sort(np.round(orientation.point_from_canonical(corners, image.shape)).astype(int), axis=0)
        segmenter = ThresholdSliceSegmenter(image_size=SIZE, preprocessing=method)
        session = Session(segmenter, slices=SliceOptions(orientation=axis, direction="none"))
        session.set_image(image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras)
        session.add(Box(tuple(low.tolist()), tuple(high.tolist())))
        np.testing.assert_array_equal(sample["image"].numpy(), segmenter.encoded[0])
        np.testing.assert_allclose(sample["boxes"][0].numpy(), segmenter.decoded[0]["box"], rtol=1e-6)
        unchanged = drawn(cache, method, slices={"axis": axis}, augment=False, labels=["Back"])
        assert any(torch.equal(unchanged[n]["image"], sample["image"]) for n in range(60))

    def test_the_volume_and_not_the_slice_decides_on_intensities(self, cache):
        samples = held_out(cache, axis="axial", modality="ct")
        other = held_out(cache, axis="axial")
        assert not torch.equal(samples[0]["image"], other[0]["image"])


class TestTargets:
    @pytest.mark.parametrize("method", ["sam", "medsam"])
    @pytest.mark.parametrize("axis", list(ORIENTATIONS))
    def test_a_target_taken_for_an_answer_gives_the_object_back(self, cache, method, axis):
        samples = held_out(cache, method, axis=axis, labels=["Front+Back"])
        plan, sample = samples.plan(0), samples[0]
        case = samples.case(plan.key)
        expected = plan.view.picture(case.labels) > 0
        mm = plan.view.pixel_mm(case.spacing_mm)
        prepared = slice_input(np.zeros(expected.shape, np.uint8), mm, SIZE, method)
        answer = logits_to_picture(20 * sample["targets"][0].numpy() - 10, prepared, expected.shape) > 0
        assert 2 * (answer & expected).sum() / (answer.sum() + expected.sum()) > 0.9
        x0, y0, x1, y1 = np.round(prepared.to_picture(sample["boxes"][0].numpy())).astype(int)
        rows, columns = np.nonzero(expected)
        assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)

    def test_other_objects_in_the_slice_come_with_it_or_else_the_first_again(self, cache):
        for targets, labels in ((2, []), (3, ["Front", "Back"])):
            samples = drawn(cache, targets=targets, labels=labels, augment=False, slices={"axis": "axial"})
            sample = samples[0]
            assert sample["targets"].shape == (targets, SIZE // 4, SIZE // 4)
            assert not torch.equal(sample["boxes"][0], sample["boxes"][1])
            if targets == 3:
                assert torch.equal(sample["targets"][2], sample["targets"][0])

    def test_a_slice_shows_enough_of_the_object_or_most_of_it(self, cache):
        few, many = (held_out(cache, axis="axial", smallest=n) for n in (1, 10_000))
        key = cache.keys[0]
        assert few.indices(key, "Front", 2).tolist() == list(range(3, 9))
        assert many.indices(key, "Front", 2).tolist() == list(range(3, 9))  # all alike
        assert set(few.indices(key, "Front", 0).tolist()) == set(range(4, 11))

    def test_automatic_slices_lie_across_the_coarsest_axis(self, cache):
        assert {plan.view.axis for plan in map(held_out(cache).plan, range(6))} == {2}  # 1 × 1.2 × 2.5 mm
        every = held_out(cache, axis="all")
        assert {every.plan(n).view.axis for n in range(len(every))} == {0, 1, 2}
        assert len(every) == 3 * len(held_out(cache))


class TestNumbers:
    def test_a_sample_follows_from_its_number_alone(self, cache):
        first, second = drawn(cache), pickle.loads(pickle.dumps(drawn(cache)))
        second[3]
        for name, value in first[7].items():
            assert torch.equal(value, second[7][name]), name
        assert not torch.equal(first[7]["image"], drawn(cache, seed=1)[7]["image"])

    def test_every_case_comes_once_in_an_epoch(self, cache):
        samples = drawn(cache)
        for epoch in range(2):
            assert {samples.drawn_key(3 * epoch + n, 0) for n in range(3)} == set(cache.keys)

    def test_batches_come_from_the_shared_loader(self, cache):
        batch = next(loader(drawn(cache), 2, 0, first=4))
        assert batch["number"].tolist() == [4, 5] and batch["boxes"].shape == (2, 2, 4)


class TestAugmentation:
    def test_picture_masks_and_boxes_are_turned_together(self, tmp_path):
        data = training_cases.write_msd(tmp_path / "toy", 1)
        _, labels = training_cases.volume()
        training_cases.write(data / "imagesTr/case_000.nii.gz", 1000 * (labels == 1).astype(np.int16))
        samples = held_out(training_cases.cached(tmp_path, data), axis="axial", labels=["Front"])
        plan = samples.plan(0)
        straight = samples[0]
        for placement in (Placement((True, False)), Placement((False, True), (0.3,), (1.05, 0.95))):
            sample = samples.sample(plan, [plan.name], 0, placement=placement)
            bright = torch.nn.functional.avg_pool2d(sample["image"][None, :1], 4)[0, 0]
            target = sample["targets"][0]
            assert bright[target > 0.9].min() > bright[target < 0.1].max()
            rows, columns = np.nonzero(target.numpy() > 0.5)
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(sample["boxes"][0].numpy() / 4, edges, atol=1)
            assert (target - straight["targets"][0]).abs().max() > 0.5

    def test_a_turn_that_loses_the_object_is_left_out(self, cache):
        samples = held_out(cache, axis="axial", labels=["Front"])
        plan = samples.plan(0)
        lost = samples.sample(plan, ["Front"], 0, placement=Placement(angles=(0.0,), scales=(200.0, 200.0)))
        assert torch.equal(lost["targets"], samples[0]["targets"])

    def test_intensities_vary_and_stay_in_their_range(self, cache):
        images = torch.stack([drawn(cache)[n]["image"] for n in range(12)])
        assert images.min() >= 0 and images.max() <= 1 and torch.isfinite(images).all()
        assert len({round(float(image.mean()), 5) for image in images}) == 12


def test_a_held_out_number_beyond_the_end_is_refused(cache):
    samples = held_out(cache)
    with pytest.raises(IndexError, match=f"number must be 0 to {len(samples) - 1}, got {len(samples)}"):
        samples[len(samples)]


def test_a_plan_names_its_slice(cache):
    plan = held_out(cache, axis="coronal").plan(1)
    assert isinstance(plan, SlicePlan) and plan.name == "Back" and isinstance(plan.view, SliceView)
    assert plan.view.orientation == "coronal"
