"""Proposals: labels in the right place for any grid, mirroring, bad input, cancelling, and a model on disk."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from proposal_networks import CLASSES, Shuffling, tiny_checkpoint, tiny_sam_3d, volume
from tiny_networks import COMPACT, tiny_compact

from sam3dseg.checkpoint import Checkpoint, save_checkpoint
from sam3dseg.placement import Placement
from sam3dseg.proposals.proposer import Proposer, StructureClass, load_proposer, proposer_of
from sam3dseg.request import Cancelled
from sam3dseg.segmenter import load_segmenter

CPU = (Placement("cpu"),)
OBLIQUE = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.diag([1.0, -1, -1])


def proposer(network, count=2):
    classes = [StructureClass(f"class {n}", (1, 0, 0)) for n in range(count)]
    return Proposer(network, classes=classes, placements=CPU, name="toy")


@pytest.mark.parametrize("shape", [(20, 24, 18), (40, 70, 30), (7, 5, 3), (9, 9, 1)])
def test_labels_follow_the_intensities_voxel_by_voxel(shape):
    image = volume(shape)
    low, high = np.percentile(image[image > 0], (0.5, 99.5))
    level = (255 * np.clip((image - low) / (high - low), 0, 1) - 123.675) / 58.395
    found = proposer(Shuffling((-0.5, 0.7))).propose(image, spacing_mm=(1, 1, 1))
    assert found.dtype == np.uint8
    sure = np.abs(level[..., None] - (-0.5, 0.7)).min(axis=-1) > 1e-3
    np.testing.assert_array_equal(found[sure], np.digitize(level, (-0.5, 0.7))[sure])
    assert len(np.unique(found)) == 3


def test_an_anisotropic_volume_is_labelled_on_its_own_grid():
    axes = np.meshgrid(*(s * (np.arange(n) - (n - 1) / 2) for n, s in zip((60, 30, 9), (0.4, 0.8, 3), strict=True)),
                       indexing="ij")  # fmt: skip
    ball = sum(a**2 for a in axes) < 9**2
    found = proposer(Shuffling()).propose(np.where(ball, 900.0, 100.0), spacing_mm=(0.4, 0.8, 3))
    dice = 2 * (found & ball).sum() / (found.sum() + ball.sum())
    assert dice > 0.97


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("direction", [None, OBLIQUE])
def test_a_turned_file_gives_the_turned_labels_exactly(axis, direction):
    network = tiny_sam_3d(plan={"axis": axis, "spacing_mm": [1.0, 1.0, 1.0], "normalisation": "sam"})
    image, spacing = volume((20, 24, 18)), (0.9, 1.1, 1.4)
    matrix = np.eye(3) if direction is None else direction
    expected = proposer(network).propose(image, spacing_mm=spacing, direction=direction)
    assert len(np.unique(expected)) == 3
    flipped = proposer(network).propose(image[::-1, :, ::-1], spacing_mm=spacing, direction=matrix * [-1, 1, -1])
    np.testing.assert_array_equal(flipped[::-1, :, ::-1], expected)
    turned = proposer(network).propose(
        image.transpose(2, 0, 1), spacing_mm=(1.4, 0.9, 1.1), direction=matrix[:, [2, 0, 1]]
    )
    np.testing.assert_array_equal(turned.transpose(1, 2, 0), expected)


def test_mirroring_gives_the_mirrored_labels_of_the_mirrored_patient():
    image = volume((32, 32, 8))  # one patch
    network = tiny_sam_3d()
    for axis in range(3):
        mirrored = np.flip(image, axis)
        plain = [proposer(network).propose(i, spacing_mm=(1, 1, 1)) for i in (image, mirrored)]
        both = [proposer(network).propose(i, spacing_mm=(1, 1, 1), mirror=True) for i in (image, mirrored)]
        assert (np.flip(plain[1], axis) != plain[0]).mean() > 0.01
        assert (np.flip(both[1], axis) != both[0]).mean() < 1e-3  # but for ties


@pytest.mark.parametrize("axis, letter, encodings", [(0, "R", 2), (1, "A", 2), (2, "S", 1)])
def test_only_axes_of_the_training_are_mirrored(axis, letter, encodings):
    image, seen = volume((32, 32, 8)), []
    network = tiny_sam_3d(mirror=letter)
    encode = network.encode_slices
    network.encode_slices = lambda x: seen.append(1) or encode(x)
    both = [proposer(network).propose(i, spacing_mm=(1, 1, 1), mirror=True) for i in (image, np.flip(image, axis))]
    assert (np.flip(both[1], axis) != both[0]).mean() < 1e-3
    assert len(seen) == 2 * encodings  # mirroring across the slices needs no encoding
    other = (axis + 1) % 3
    turned = proposer(network).propose(np.flip(image, other), spacing_mm=(1, 1, 1), mirror=True)
    assert (np.flip(turned, other) != both[0]).mean() > 0.01


def test_a_model_that_was_not_trained_for_it_is_not_mirrored():
    with pytest.raises(ValueError, match="toy was not trained on mirrored volumes: expected mirror to be off"):
        proposer(Shuffling()).propose(volume(), spacing_mm=(1, 1, 1), mirror=True)


def test_with_an_encoder_of_volumes():
    plan = {"axis": 1, "spacing_mm": [1.0, 1.0, 1.0], "normalisation": "robust_rank"}
    network = tiny_sam_3d(encoder={"architecture": "compact", **COMPACT}, plan=plan, patch=[32, 32, 32])
    image = volume((32, 32, 32))
    plain = proposer(network).propose(image, spacing_mm=(1, 1, 1))
    assert plain.shape == image.shape and len(np.unique(plain)) == 3
    both = [proposer(network).propose(i, spacing_mm=(1, 1, 1), mirror=True) for i in (image, image[:, ::-1])]
    assert (both[1][:, ::-1] != both[0]).mean() < 1e-3


def test_reduced_precision_of_the_encoder_changes_little():
    image = volume()
    full, reduced = (
        proposer_of(tiny_checkpoint(), name="toy", device="cpu", precision=p).propose(image, spacing_mm=(1, 1, 1))
        for p in ("float32", "bfloat16")
    )
    assert 0 < (full != reduced).mean() < 0.1


def test_a_device_without_enough_memory_is_left():
    class Hungry(Shuffling):
        refused = False

        def finest(self, features):
            if not self.refused:
                self.refused = True
                raise RuntimeError("CUDA out of memory. Tried to allocate")
            return super().finest(features)

    classes, places = [StructureClass("a", (1, 0, 0))], (Placement("cpu", "bfloat16"), Placement("cpu"))
    tried = Proposer(Hungry(), classes=classes, placements=places, name="toy")
    found = tried.propose(volume(), spacing_mm=(1, 1, 1))
    np.testing.assert_array_equal(found, proposer(Shuffling()).propose(volume(), spacing_mm=(1, 1, 1)))
    assert "out of memory on" in tried.device_line


def test_a_volume_smaller_than_a_patch_is_padded():
    network = Shuffling(patch=(16, 48, 64))
    found = proposer(network).propose(volume((10, 12, 5)), spacing_mm=(1, 1, 1))
    assert found.shape == (10, 12, 5)
    assert network.decoded == [(16, 3, 4)]


def test_a_volume_larger_than_a_patch_is_decoded_in_patches():
    network = Shuffling(patch=(8, 32, 32))
    proposer(network).propose(volume((40, 70, 30)), spacing_mm=(1, 1, 1))
    assert set(network.decoded) == {(8, 2, 2)}
    assert len(network.decoded) > 20


def test_missing_voxels_are_repaired_and_no_image_is_refused(caplog):
    image = volume()
    image[3, 4, 5] = np.nan
    with caplog.at_level(logging.WARNING):
        assert proposer(Shuffling()).propose(image, spacing_mm=(1, 1, 1)).any()
    assert "1 NaN or infinite voxels" in caplog.text
    for bad, message in (
        (np.full((9, 9, 9), np.nan), "no finite voxel"),
        (np.zeros((9, 9, 9, 3)), "one scalar volume"),
    ):
        with pytest.raises(ValueError, match=message):
            proposer(Shuffling()).propose(bad, spacing_mm=(1, 1, 1))
    with pytest.raises(ValueError, match="spacing_mm must be three positive"):
        proposer(Shuffling()).propose(volume(), spacing_mm=(1, 0, 1))
    with pytest.raises(ValueError, match="at least 2 x 2 voxels across canonical axis 2, got 1 x 20"):
        proposer(Shuffling()).propose(volume((20, 1, 20)), spacing_mm=(1, 1, 1))


def test_progress_is_told_and_a_check_cancels():
    seen = []
    proposer(Shuffling()).propose(volume(), spacing_mm=(1, 1, 1), on_progress=seen.append)
    assert {p.text for p in seen} == {"encoding", "decoding"}
    assert all(0 < p.done <= p.total for p in seen)
    calls = []

    def check():
        calls.append(1)
        if len(calls) == len(seen):  # at the very last patch
            raise Cancelled

    with pytest.raises(Cancelled):
        proposer(Shuffling()).propose(volume(), spacing_mm=(1, 1, 1), check=check)


def test_a_file_gives_the_proposals_of_its_network(tmp_path):
    checkpoint = tiny_checkpoint()
    path = tmp_path / "hippocampus.safetensors"
    save_checkpoint(
        path, architecture="sam_3d", config=checkpoint.config, weights=checkpoint.weights, provenance={"licence": "X"}
    )
    loaded = load_proposer(path, device="cpu")
    assert loaded.name == "hippocampus"
    assert [c.name for c in loaded.classes] == [c["name"] for c in CLASSES]
    assert loaded.classes[1].color == tuple(CLASSES[1]["color"])
    assert "CPU" in loaded.device_line
    expected = proposer(tiny_sam_3d()).propose(volume(), spacing_mm=(1, 1, 1))
    np.testing.assert_array_equal(loaded.propose(volume(), spacing_mm=(1, 1, 1)), expected)


def test_models_of_another_family_are_named_with_their_command(tmp_path):
    clicks = Checkpoint("compact", tiny_compact().state_dict())
    with pytest.raises(ValueError, match=r"small is a model for clicks in 3D .*expected one for proposals.*segment"):
        proposer_of(clicks, name="small")
    checkpoint, path = tiny_checkpoint(), tmp_path / "all.safetensors"
    save_checkpoint(path, architecture="sam_3d", config=checkpoint.config, weights=checkpoint.weights, provenance={})
    with pytest.raises(ValueError, match=r"all is a model for proposals .*sam3dseg propose"):
        load_segmenter(path)


def test_the_embedded_model_cannot_propose():
    with pytest.raises(ValueError, match="embedded is a model for clicks in 3D"):
        load_proposer("embedded", device="cpu")
