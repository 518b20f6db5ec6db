"""The cache: what it holds, that damage is seen, and the distances and splits that go with it."""

from __future__ import annotations

import numpy as np
import pytest
import training_cases
from scipy import ndimage

from sam3dseg.imageio import read_image
from sam3dseg_training.data.cache import check_same_options, entry_path, open_cache, read_index
from sam3dseg_training.data.distance import LIMIT_MM, signed_distance
from sam3dseg_training.data.entries import DamagedEntryError, read_entry
from sam3dseg_training.data.splits import objects_in, objects_of, split_cases

LEFT_POSTERIOR_INFERIOR = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("cache")
    data = training_cases.write_msd(root / "toy", direction=LEFT_POSTERIOR_INFERIOR, origin=(5.0, -7.0, 11.0))
    return training_cases.cached(root, data, sdf=True)


class TestEntries:
    @pytest.mark.parametrize("mapped", [False, True])
    def test_a_case_is_held_in_canonical_axes_with_its_stored_type(self, cache, mapped):
        case = cache.read("toy/case_001", mapped=mapped)
        image, labels = training_cases.volume(1)
        assert case.image.dtype == np.int16 and case.labels.dtype == np.uint8
        np.testing.assert_array_equal(case.image, image[::-1, ::-1, ::-1])
        np.testing.assert_array_equal(case.labels, labels[::-1, ::-1, ::-1])
        np.testing.assert_allclose(case.spacing_mm, training_cases.SPACING_MM)
        box = case.structures["Front"]
        assert (box.values, box.voxels) == ((1,), int((labels == 1).sum()))
        inside = np.argwhere(case.labels == 1)
        assert box.low == tuple(inside.min(axis=0)) and box.high == tuple(inside.max(axis=0))

    def test_voxels_keep_their_place_in_the_patient(self, cache):
        case = cache.read("toy/case_000")
        image = read_image(cache.records[0].image)
        brightest = np.array(np.unravel_index(image.array_ijk.argmax(), image.shape))
        canonical = np.array(np.unravel_index(case.image.argmax(), case.image.shape))
        expected = image.ras_of(brightest)
        np.testing.assert_allclose(case.affine_ras @ [*canonical, 1], [*expected, 1], atol=1e-4)

    @pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no archive at all",
                                        lambda b: b[:3000] + bytes(64) + b[3064:]])  # fmt: skip
    def test_damage_is_seen(self, cache, tmp_path, damage):
        path = tmp_path / "case.npz"
        path.write_bytes(damage(entry_path(cache.folder, cache.keys[0]).read_bytes()))
        with pytest.raises(DamagedEntryError, match="is damaged .*: it rebuilds what is damaged") as caught:
            read_entry(path)
        assert "\n" not in str(caught.value)

    def test_a_missing_entry_is_damage_too(self, cache):
        with pytest.raises(DamagedEntryError, match=r"toy/gone\.npz is damaged"):
            cache.read("toy/gone")


class TestIndex:
    def test_records_say_what_is_where(self, cache):
        record = cache.records[2]
        assert record.key == "toy/case_002" and record.image.endswith("imagesTr/case_002.nii.gz")
        assert record.shape == training_cases.SHAPE and set(record.structures) == {"Front", "Back"}
        assert len(record.digest) == 64 and len({r.digest for r in cache.records}) == 3
        assert cache.structure_names == ("Front", "Back")

    def test_no_cache_and_half_a_cache_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="no prepared data at .*; run sam3dseg-train prepare"):
            open_cache(tmp_path)
        cache = training_cases.cached(tmp_path)
        path = cache.folder / "index.json"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"complete": true', '"complete": false'))
        with pytest.raises(ValueError, match="is not complete; run its sam3dseg-train prepare again"):
            open_cache(cache.folder)
        path.write_text(text.replace('"format": 1', '"format": 0'))
        with pytest.raises(ValueError, match="has format 0, expected 1"):
            open_cache(cache.folder)
        path.write_text(text[:100])
        with pytest.raises(ValueError, match=r"index\.json is damaged: remove this file and run prepare again"):
            open_cache(cache.folder)

    def test_the_first_option_that_differs_is_named(self, cache):
        known = read_index(cache.folder)["options"]
        check_same_options(cache.folder, known, {"sdf": True, "crop": ()})
        with pytest.raises(ValueError, match="with sdf=true, received sdf=false; give another out=, the same sdf"):
            check_same_options(cache.folder, known, {"sdf": False})


class TestDistances:
    def test_distances_of_a_ball(self, make_ellipsoid):
        spacing = (1.0, 2.0, 1.0)
        ball = make_ellipsoid((41, 21, 41), (20, 10, 20), (12, 6, 12))
        distance = signed_distance(ball, spacing)
        assert ((distance < 0) == ball).all()
        mm = np.linalg.norm((np.indices(ball.shape).T - [20, 10, 20]) * spacing, axis=-1).T - 12
        assert np.abs(distance - mm)[np.abs(mm) < 8].max() < 1.5
        assert np.abs(distance - mm)[np.abs(mm) < 8].mean() < 0.4

    def test_nothing_and_everything(self):
        empty = np.zeros((3, 3, 3), bool)
        assert (signed_distance(empty, (1, 1, 1)) == LIMIT_MM).all()
        assert (signed_distance(~empty, (1, 1, 1)) < 0).all()

    def test_the_cache_holds_them_per_structure(self, cache):
        fields, case = cache.distances("toy/case_000"), cache.read("toy/case_000")
        assert list(fields) == ["Front", "Back"] and fields["Back"].dtype == np.float16
        assert ((fields["Back"] < 0) == case.mask("Back")).all()
        edge = ndimage.distance_transform_edt(case.mask("Back"), sampling=case.spacing_mm).max() - 0.5
        assert fields["Back"].min() == pytest.approx(-edge, abs=0.01)


class TestSplits:
    def test_every_fifth_is_held_out(self):
        training, held_out = split_cases(range(12))
        assert held_out == [0, 5, 10] and sorted(training + held_out) == list(range(12))
        folds = [split_cases(range(12), fold=fold)[1] for fold in range(5)]
        assert sorted(sum(folds, [])) == list(range(12))
        assert split_cases(range(3), folds=1) == ([0, 1, 2], [])

    def test_a_few_cases_are_spread_evenly(self):
        assert split_cases(range(40), limit=4)[0] == [1, 11, 21, 31]
        assert len(split_cases(range(40), limit=10)[0]) == 10
        assert len(split_cases(range(40), limit=99)[0]) == 32

    def test_impossible_folds_are_refused(self):
        with pytest.raises(ValueError, match="fold must be 0 to folds - 1 = 4, received 5"):
            split_cases(range(9), fold=5)
        with pytest.raises(ValueError, match="expected at least folds=5 cases, received 3"):
            split_cases(range(3))

    def test_objects_are_structures_or_several_joined(self, cache):
        assert objects_of(cache, []) == {"Front": ("Front",), "Back": ("Back",)}
        assert objects_of(cache, ["back", "Front + back"]) == {"Back": ("Back",), "Front+Back": ("Front", "Back")}
        assert objects_in(cache.records[0], objects_of(cache, ["Back"])) == ["Back"]
        with pytest.raises(ValueError, match="unknown label 'Bac': expected one of Front, Back.*did you mean Back"):
            objects_of(cache, ["Front+Bac"])
