"""Features of a frozen encoder on disk, and patches of them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from proposal_networks import CLASSES, SMALL, tiny_sam_3d
from training_cases import cached, write_msd

from sam3dseg.proposals.features import SlicedVolume, VolumePlan, features_of
from sam3dseg_training.data.feature_cache import FeatureCache, FeatureRecipe, mirrored_axes
from sam3dseg_training.data.feature_patches import ClassTables, FeaturePatches, HeldOutFeatures
from sam3dseg_training.data.splits import objects_of

PLAN = VolumePlan(2, (2.5, 1.0, 1.0), "sam")
RECIPE = FeatureRecipe(PLAN, (4, 16, 16), "", 0)
STRIDE = (1, 16, 16)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("features")
    return cached(root, write_msd(root / "toy", 3))


@pytest.fixture(scope="module")
def network():
    return tiny_sam_3d(encoder=SMALL, classes=CLASSES)


@pytest.fixture(scope="module")
def made(cache, network, tmp_path_factory):
    features = FeatureCache(tmp_path_factory.mktemp("kept"), RECIPE, 2)
    assert features.make(network, cache, cache.records[:2], cache.records[2:]) == 5
    return features


def test_features_are_those_of_the_slices_in_half_precision(made, cache, network):
    record = cache.records[0]
    read = made.kept.read(made.name(record, 0))
    case = cache.read(record.key)
    expected = features_of(network, SlicedVolume(case.image, case.spacing_mm, PLAN, at_least=RECIPE.patch))
    assert read["features"].dtype == torch.float16 and read["labels"].dtype == torch.uint8
    torch.testing.assert_close(read["features"].float(), expected.clone(), atol=2e-3, rtol=2e-3)
    assert made.shapes(record) == (tuple(expected.shape), tuple(read["labels"].shape))
    assert [16 * side for side in expected.shape[2:]] == list(read["labels"].shape[1:])
    other = made.kept.read(made.name(record, 1))
    assert not torch.equal(other["features"], read["features"]) and not torch.equal(other["labels"], read["labels"])


def test_noted_places_have_the_label_that_they_are_noted_for(made, cache):
    read = made.kept.read(made.name(cache.records[1], 1))
    places = read["places"].numpy()
    assert set(places[:, 0]) == {1, 2}
    assert (read["labels"].numpy()[tuple(places[:, 1:].T)] == places[:, 0]).all()


def test_what_is_there_is_kept_and_more_variants_are_added(made, cache, network, tmp_path):
    features = FeatureCache(tmp_path, RECIPE, 1)
    assert features.make(network, cache, cache.records) == 3
    assert features.make(network, cache, cache.records[:2]) == 0
    assert FeatureCache(tmp_path, RECIPE, 2).make(network, cache, cache.records) == 3
    damaged = features.kept.path(features.name(cache.records[1], 0))
    damaged.write_bytes(damaged.read_bytes()[:-5])
    with pytest.raises(ValueError, match="one of the features, is missing or damaged: remove it"):
        features.kept.read(features.name(cache.records[1], 0))
    assert features.make(network, cache, cache.records) == 1


@pytest.mark.parametrize("change", ["encoder", "recipe"])
def test_features_of_something_else_are_made_again(cache, tmp_path, change, caplog):
    network = tiny_sam_3d(encoder=SMALL, classes=CLASSES)
    FeatureCache(tmp_path, RECIPE, 1).make(network, cache, cache.records[:1])
    recipe = RECIPE
    if change == "encoder":
        network.image_encoder.patch_embed.proj.weight.data += 0.1
    else:
        recipe = FeatureRecipe(VolumePlan(1, (1.2, 1.0, 1.0)), (4, 16, 16), "", 0)
    with caplog.at_level(logging.INFO):
        assert FeatureCache(tmp_path, recipe, 1).make(network, cache, cache.records[:1]) == 1
    assert f"({change}): making them anew" in caplog.text
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_a_trained_decoder_keeps_the_features(cache, tmp_path):
    network = tiny_sam_3d(encoder=SMALL, classes=CLASSES)
    features = FeatureCache(tmp_path, RECIPE, 1)
    features.make(network, cache, cache.records[:1])
    network.decoder.heads[0].bias.data += 1
    assert features.make(network, cache, cache.records[:1]) == 0


@pytest.mark.parametrize(("letters", "found"), [("", ""), ("s", "S"), ("SR", "RS")])
def test_axes_to_mirror(letters, found):
    assert mirrored_axes(letters) == found


def test_other_axes_are_refused():
    with pytest.raises(ValueError, match="proposals.mirror=L: expected letters of RAS"):
        mirrored_axes("L")


def patches_of(made, cache, patch=(4, 16, 16), **options):
    tables = ClassTables(cache, objects_of(cache, []))
    return FeaturePatches(made, cache.records[:2], tables, patch=patch, stride=STRIDE, seed=3, **options)


def places_in(whole, part):
    """Where `part` lies in `whole` (C, d, h, w)."""
    spare = [a - b + 1 for a, b in zip(whole.shape[1:], part.shape[1:], strict=True)]
    for place in np.ndindex(*spare):
        cut = whole[(slice(None), *(slice(a, a + n) for a, n in zip(place, part.shape[1:], strict=True)))]
        if torch.equal(cut, part):
            yield place


def test_patches_are_cut_with_their_own_labels(made, cache):
    patches = patches_of(made, cache)
    kept = [made.kept.read(made.name(r, v)) for r in cache.records[:2] for v in (0, 1)]
    for number in range(12):
        sample = patches[number]
        assert sample["features"].shape[1:] == (4, 1, 1) and sample["features"].dtype == torch.float32
        hits = [
            labels["labels"][a : a + 4, 16 * b : 16 * b + 16, 16 * c : 16 * c + 16]
            for labels in kept
            for a, b, c in places_in(labels["features"].float(), sample["features"])
        ]
        assert len(hits) == 1 and torch.equal(hits[0], sample["target"])


def test_a_patch_follows_from_its_number_and_cases_take_turns(made, cache):
    first, again = patches_of(made, cache), patches_of(made, cache)
    assert all(torch.equal(first[n]["features"], again[n]["features"]) for n in range(4))
    assert len({first[n]["features"].sum().item() for n in range(12)}) > 6
    keys = {made.name(r, v): r.key for r in cache.records[:2] for v in (0, 1)}
    wholes = {name: made.kept.read(name)["features"].float() for name in keys}
    for pair in (0, 2, 4):
        seen = {
            key for n in (pair, pair + 1) for name, key in keys.items()
            if any(places_in(wholes[name], first[n]["features"]))
        }  # fmt: skip
        assert len(seen) == 2


def test_most_patches_hold_a_class_and_some_lie_anywhere(made, cache, monkeypatch):
    patches = patches_of(made, cache)
    monkeypatch.setattr("sam3dseg_training.data.feature_patches.FOREGROUND_SHARE", 1.0)
    assert all(patches[n]["target"].any() for n in range(20))
    monkeypatch.setattr("sam3dseg_training.data.feature_patches.FOREGROUND_SHARE", 0.0)
    assert not all(patches[n]["target"].any() for n in range(40))


def test_reversed_slices_come_with_reversed_labels(made, cache):
    plain, mirrored = patches_of(made, cache), patches_of(made, cache, mirror_slices=True)
    pairs = [(plain[n], mirrored[n]) for n in range(12)]
    is_turned = [not torch.equal(a["features"], b["features"]) for a, b in pairs]
    assert any(is_turned) and not all(is_turned)
    for (a, b), turned in zip(pairs, is_turned, strict=True):
        if turned:
            assert torch.equal(a["features"].flip(1), b["features"]) and torch.equal(a["target"].flip(0), b["target"])


def test_cases_smaller_than_a_patch_are_padded_before_they_are_encoded(cache, network, tmp_path):
    recipe = FeatureRecipe(PLAN, (24, 48, 32), "", 0)  # the cases have 14 slices of 32 x 32
    features = FeatureCache(tmp_path, recipe, 1)
    features.make(network, cache, cache.records[:2])
    sample = patches_of(features, cache, patch=recipe.patch)[0]
    assert sample["features"].shape[1:] == (24, 3, 2) and sample["target"].shape == (24, 48, 32)
    assert (sample["target"][:5] == 0).all() and sample["target"].any()


def test_held_out_cases_are_whole_and_as_they_are(made, cache):
    held = HeldOutFeatures(made, cache.records[2:], ClassTables(cache, objects_of(cache, [])))
    sample = held[0]
    assert len(held) == 1 and tuple(sample["target"].shape) == made.shapes(cache.records[2])[1]


def test_labels_become_classes_in_the_order_of_the_objects(cache):
    key = cache.keys[0]
    assert ClassTables(cache, objects_of(cache, ["Back"]))(key)[:3].tolist() == [0, 0, 1]
    assert ClassTables(cache, objects_of(cache, ["Back", "Front"]))(key)[:3].tolist() == [0, 2, 1]
    assert ClassTables(cache, objects_of(cache, ["Front+Back"]))(key)[:3].tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match=r"Front\+Back and Back share the label value 2"):
        ClassTables(cache, objects_of(cache, ["Front+Back", "Back"]))(key)
