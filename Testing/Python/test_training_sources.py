"""Finding cases in the folder layouts of the field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sam3dseg_training.data.sources import dataset_names, find_cases


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def describe(root: Path, **description) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(description))
    return root


def found(root: Path, **options) -> list[tuple[str, str, str]]:
    """(name, image, label) of the cases, paths relative to the folder."""
    cases = find_cases(root, **options).cases
    return [(c.name, c.image.relative_to(root).as_posix(), c.label.relative_to(root).as_posix()) for c in cases]


class TestMsd:
    def test_cases_and_names_come_from_the_description(self, tmp_path):
        training = [{"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"},
                    {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]  # fmt: skip
        describe(tmp_path, training=training, labels={"0": "background", "1": "liver", "2": "tumour", "3": "tumour"})
        assert found(tmp_path) == [
            ("a", "imagesTr/a.nii.gz", "labelsTr/a.nii.gz"),
            ("b", "imagesTr/b.nii.gz", "labelsTr/b.nii.gz"),
        ]
        names = find_cases(tmp_path).label_names[tmp_path.name]
        assert names == {"background": (0,), "liver": (1,), "tumour": (2, 3)}
        assert find_cases(tmp_path / "dataset.json").cases == find_cases(tmp_path).cases

    def test_numbered_cases_are_no_channels(self, tmp_path):
        touch(tmp_path, "imagesTr/heart_0001.nii.gz", "labelsTr/heart_0001.nii.gz")
        pair = {"image": "imagesTr/heart_0001.nii.gz", "label": "labelsTr/heart_0001.nii.gz"}
        describe(tmp_path, training=[pair])
        assert [name for name, _, _ in found(tmp_path)] == ["heart_0001"]

    def test_a_real_one(self, shared_dir):
        cases = find_cases(shared_dir / "data/hippocampus")
        assert len(cases.cases) == 200 and all(c.image.is_file() and c.label.is_file() for c in cases.cases)
        assert cases.label_names["hippocampus"]["Posterior"] == (2,)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "is no valid JSON"),
            ("[]", "must hold a JSON object, not list"),
            ('{"training": ["a"]}', 'must list "training" as'),
            (
                '{"training": [{"image": "a.nii", "label": "b.nii"}], "labels": {"1": "x", "y": "z"}}',
                '"labels" must be',
            ),
        ],
    )
    def test_a_bad_description_is_one_line(self, tmp_path, text, message):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(ValueError, match=message) as caught:
            find_cases(tmp_path)
        assert "\n" not in str(caught.value)


class TestNnunet:
    def test_the_channel_is_chosen_and_regions_are_structures(self, tmp_path):
        touch(tmp_path, *(f"imagesTr/p{n}_000{c}.nrrd" for n in (1, 2) for c in (0, 1)), "labelsTr/p1.nrrd")
        labels = {"background": 0, "whole": [1, 2], "core": 2}
        describe(tmp_path, channel_names={"0": "T1", "1": "T2"}, labels=labels, file_ending=".nrrd")
        assert found(tmp_path, channel=1) == [
            ("p1", "imagesTr/p1_0001.nrrd", "labelsTr/p1.nrrd"),
            ("p2", "imagesTr/p2_0001.nrrd", "labelsTr/p2.nrrd"),
        ]
        assert find_cases(tmp_path).label_names[tmp_path.name] == {"background": (0,), "whole": (1, 2), "core": (2,)}

    def test_without_a_description(self, tmp_path):
        touch(tmp_path, "imagesTr/p1_0000.nii.gz", "labelsTr/p1.nii.gz")
        assert found(tmp_path) == [("p1", "imagesTr/p1_0000.nii.gz", "labelsTr/p1.nii.gz")]


class TestFolders:
    def test_a_folder_per_case(self, tmp_path):
        touch(tmp_path, "s1/s1-image.nii.gz", "s1/s1-label.nii.gz", "s2/s2-image.nii.gz", "s2/._s2-label.nii.gz")
        assert found(tmp_path) == [
            ("s1", "s1/s1-image.nii.gz", "s1/s1-label.nii.gz"),
            ("s2", "s2/s2-image.nii.gz", "s2/s2-label.nii.gz"),  # expected there; the checks say that it is missing
        ]

    def test_files_named_alike_are_told_apart_by_their_folders(self, tmp_path):
        touch(tmp_path, *(f"{case}/heart-{role}.nii.gz" for case in ("a", "b") for role in ("image", "label")))
        assert [name for name, _, _ in found(tmp_path)] == ["a", "b"]

    def test_files_named_by_their_role_only(self, tmp_path):
        touch(tmp_path, *(f"{case}/{role}.nii.gz" for case in ("a", "b") for role in ("image", "label")))
        assert found(tmp_path)[1] == ("b", "b/image.nii.gz", "b/label.nii.gz")

    def test_all_in_one_folder(self, tmp_path):
        touch(tmp_path, "a-image.nii.gz", "a-label.nii.gz", "b-image.nii.gz", "b-label.nii.gz")
        assert [name for name, _, _ in found(tmp_path)] == ["a", "b"]


class TestPaired:
    @pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("imagesTr", "labelsTr")])
    def test_equal_names_belong_together(self, tmp_path, images, labels):
        touch(tmp_path, f"{images}/a.nii.gz", f"{labels}/a.nii.gz", f"{images}/b.nii.gz", f"{labels}/c.nii.gz")
        assert found(tmp_path) == [
            ("a", f"{images}/a.nii.gz", f"{labels}/a.nii.gz"),
            ("b", f"{images}/b.nii.gz", f"{labels}/b.nii.gz"),
            ("c", f"{images}/c.nii.gz", f"{labels}/c.nii.gz"),
        ]

    def test_two_images_of_one_name_are_both_found(self, tmp_path):
        touch(tmp_path, "images/a.nii.gz", "images/a.nrrd", "labels/a.nii.gz")
        assert [name for name, _, _ in found(tmp_path)] == ["a", "a"]


class TestUnions:
    def test_patterns_and_lists_join_data_sets_with_names_of_their_own(self, tmp_path):
        for folder in ("brain/mr_one", "chest/ct_one", "chest/mr_one"):
            touch(tmp_path / folder, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz")
        keys = ["brain-mr_one/a", "chest-mr_one/a", "ct_one/a"]
        assert [case.key for case in find_cases(str(tmp_path / "*/*")).cases] == keys
        listed = tmp_path / "list.txt"
        listed.write_text("brain/mr_one  # the first\n\nchest/*\n")
        assert [case.key for case in find_cases([listed]).cases] == keys
        twice = [tmp_path / "brain/mr_one", tmp_path / "brain/mr_one"]
        assert [case.key for case in find_cases(twice).cases] == ["mr_one/a"]

    def test_names_take_as_many_parents_as_they_need(self):
        roots = [Path("/x/a/data"), Path("/y/a/data"), Path("/y/b/data"), Path("/z")]
        assert dataset_names(roots) == ["x-a-data", "y-a-data", "b-data", "z"]


def test_what_is_no_data_set_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no folder of cases at .*nowhere; expected dataset\.json"):
        find_cases(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no cases in .*, read as layout 'folders'"):
        find_cases(tmp_path)
    with pytest.raises(ValueError, match="no folder fits the pattern"):
        find_cases(str(tmp_path / "*x*"))
    with pytest.raises(ValueError, match="unknown layout 'bids': expected one of auto, msd"):
        find_cases(tmp_path, layout="bids")
    with pytest.raises(ValueError, match="give data=FOLDER"):
        find_cases([])
