"""What can be wrong with a case, said in one line with what was expected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import training_cases

from sam3dseg.imageio import Image, read_image
from sam3dseg_training.data.checks import problems_of_case, problems_of_files, report
from sam3dseg_training.data.sources import CaseFiles

NAMES = {"background": (0,), "Front": (1,), "Back": (2,)}


def as_image(array, spacing_mm=(1.0, 1.0, 2.0), origin=(0.0, 0.0, 0.0)) -> Image:
    return Image(np.asarray(array), spacing_mm, np.eye(3), np.array(origin))


@pytest.fixture
def case():
    image, labels = training_cases.volume()
    return as_image(image), as_image(labels)


def problems(image, label, names=NAMES, small=1):
    return problems_of_case("set/case", image, label, names, small=small)


def only(found, *, is_fatal=True) -> str:
    assert len(found) == 1 and found[0].case == "set/case" and found[0].is_fatal == is_fatal, found
    assert "\n" not in found[0].text
    return found[0].text


def test_a_good_case_has_none(case):
    assert problems(*case) == []
    assert problems(*case, names={}) == []


class TestGeometry:
    def test_another_shape(self, case):
        image, label = case
        text = only(problems(image, replace(label, array_ijk=label.array_ijk[:-1])))
        assert "expected a label map of the image's shape (22, 18, 14), received (21, 18, 14)" in text

    @pytest.mark.parametrize("change", [{"origin_ras": np.array([3.0, 0, 0])}, {"spacing_mm": (1.0, 1.0, 2.2)},
                                        {"direction_ras": np.diag([-1.0, 1, 1])}])  # fmt: skip
    def test_another_place(self, case, change):
        image, label = case
        assert "have the same shape, but lie up to" in only(problems(image, replace(label, **change)))

    def test_rounding_of_headers_is_let_pass(self, case):
        image, label = case
        assert problems(image, replace(label, spacing_mm=(1.0001, 1.0, 2.0))) == []


class TestLabels:
    def test_empty(self, case):
        image, label = case
        assert "the label map is empty" in only(problems(image, replace(label, array_ijk=0 * label.array_ijk)))

    def test_values_that_have_no_name(self, case):
        image, label = case
        text = only(problems(image, replace(label, array_ijk=np.where(label.array_ijk == 2, 7, label.array_ijk))))
        assert text.startswith("unknown label 7: expected 0, 1, 2; name it in dataset.json or with labels=")

    def test_nothing_but_what_is_not_trained_on(self, case):
        image, label = case
        text = only(problems(image, label, names={"ignore": (1, 2), "Front": (3,)}))
        assert "the label map holds no structure: expected one of 3" in text

    @pytest.mark.parametrize("wrong", [0.5, -1, 70000])
    def test_values_that_are_no_labels(self, case, wrong):
        image, label = case
        values = label.array_ijk.astype(np.float64)
        values[5, 6, 4] = wrong
        assert f"whole numbers from 0 to 65535, received {min(wrong, 0):g}, " in only(
            problems(image, replace(label, array_ijk=values), names={})
        )

    def test_holes(self, case):
        image, label = case
        values = label.array_ijk.astype(np.float32)
        values[0, 0, 0] = np.nan
        assert "the label map holds NaN" in only(problems(image, replace(label, array_ijk=values)))

    def test_one_voxel_objects_are_worth_a_warning(self, case):
        image, label = case
        values = np.where(label.array_ijk == 2, 0, label.array_ijk)
        values[20, 15, 12] = 2
        text = only(problems(image, replace(label, array_ijk=values)), is_fatal=False)
        assert text == "label 2 has only 1 voxel: too small to train on, left out"
        assert problems(image, replace(label, array_ijk=values), small=0) == []


class TestImages:
    def test_nan_is_repaired_with_a_warning(self, case):
        image, label = case
        values = image.array_ijk.astype(np.float32)
        values[0, :2, 0] = np.nan, np.inf
        text = only(problems(replace(image, array_ijk=values), label), is_fatal=False)
        assert text == "2 NaN or infinite voxels in the image are filled, as when clicking"

    def test_nothing_but_nan(self, case):
        image, label = case
        found = problems(replace(image, array_ijk=np.full(image.shape, np.nan, np.float32)), label)
        assert only(found) == "all voxels of the image are NaN or infinite; export it again"

    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
    def test_holes_that_nifti_readers_fill_are_counted(self, case, tmp_path, name):
        def holes(values):
            image, label = (read_image(training_cases.write(tmp_path / f"{n}{name}", v)) for n, v in
                            (("image", values), ("label", case[1].array_ijk)))  # fmt: skip
            return problems(image, label)

        values = case[0].array_ijk.astype(np.float32)
        values[3, 4, 5:7] = np.nan, -np.inf
        for kind in (np.float32, np.float64):
            text = only(holes(values.astype(kind)), is_fatal=False)
            assert text == "2 NaN or infinite voxels in the image are filled, as when clicking"
        assert holes(case[0].array_ijk) == []
        found = holes(np.full(case[0].shape, np.nan, np.float32))
        assert only(found) == "all voxels of the image are NaN or infinite; export it again"

    def test_values_beyond_float32(self, case):
        image, label = case
        values = image.array_ijk.astype(np.float64)
        values[0, 0, :2] = np.nan, 1e35
        assert "image intensities must stay within" in problems(replace(image, array_ijk=values), label)[0].text


def test_several_problems_of_a_case_are_all_said(case):
    image, label = case
    values = np.where(label.array_ijk == 2, 9, label.array_ijk)
    found = problems(image, replace(label, array_ijk=values, origin_ras=np.array([9.0, 0, 0])))
    assert [problem.text.split(":")[0] for problem in found] == ["geometry mismatch", "unknown label 9"]


def test_missing_files_and_duplicate_names(tmp_path):
    there = training_cases.write(tmp_path / "a.nii.gz", training_cases.volume()[0])
    gone = tmp_path / "b.nii.gz"
    cases = [
        CaseFiles("a", there, gone, "set"),
        CaseFiles("b", there, there, "set"),
        CaseFiles("b", gone, there, "set"),
    ]
    texts = {
        (problem.case, problem.text.split(";")[0].replace(str(tmp_path), "")) for problem in problems_of_files(cases)
    }
    assert texts == {
        ("set/a", "missing label map: expected /b.nii.gz"),
        ("set/b", "missing image: expected /b.nii.gz"),
        ("set/b", "duplicate name: 2 cases have it (/a.nii.gz, /b.nii.gz)"),
    }


def test_the_report_has_a_line_per_fatal_problem(case):
    image, label = case
    found = problems(image, replace(label, array_ijk=0 * label.array_ijk))
    lines = report(found, case_count=5).splitlines()
    assert lines[0] == "1 of 5 cases cannot be used:"
    assert lines[1].startswith("  set/case: the label map is empty") and len(lines) == 3
