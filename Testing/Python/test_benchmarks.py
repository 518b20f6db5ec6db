"""The click benchmark: its scores, its table, and Grow from seeds on a toy volume."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("SimpleITK")

import clicks
from structures import Structure, structures


@pytest.fixture
def toy(make_ellipsoid):
    """A bright ball in a noisy volume (40, 36, 30), and its reference."""
    reference = make_ellipsoid((40, 36, 30), (20, 18, 15), (8, 7, 6))
    image = np.where(reference, 200, 0) + np.random.default_rng(0).normal(0, 5, reference.shape)
    return image.astype(np.float32), reference


@pytest.fixture
def data(tmp_path, toy):
    """A folder laid out as the shared data are, with the toy volume everywhere."""
    import SimpleITK as sitk

    image, reference = toy

    def write(path, array):
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(array.T), str(path))

    small = np.zeros_like(reference)
    small[:5, :5, :5] = True
    labels = reference * 4 + small * 7
    for case in ("003", "001"):
        write(tmp_path / f"hippocampus/imagesTr/hippocampus_{case}.nii.gz", image)
        write(tmp_path / f"hippocampus/labelsTr/hippocampus_{case}.nii.gz", labels.astype(np.uint8))
    for name in ("total_ct", "flair_lesion"):
        write(tmp_path / name / "image.nii.gz", image)
        values = labels if name == "total_ct" else small + 2 * reference
        write(tmp_path / name / "labels.nii.gz", values.astype(np.uint8))
    return tmp_path


def test_structures_of_every_set(data):
    found = structures(data, hippocampus_cases=1)
    assert [(s.set_name, s.name) for s in found] == [
        ("hippocampus", "hippocampus_001"),
        ("total_ct", "label 4"),
        ("flair_lesion", "lesion"),
    ]
    for structure, size in zip(found, (125, 0, 125), strict=True):
        image, reference = structure.load()
        assert image.array_ijk.shape == reference.shape == (40, 36, 30)
        assert reference[:5, :5, :5].sum() == size


def test_missing_data_name_the_folder(tmp_path):
    with pytest.raises(ValueError, match="hippocampus, which does not exist; give the data's folder with --data"):
        structures(tmp_path)
    with pytest.raises(ValueError, match="unknown set 'liver': expected one of hippocampus, total_ct, flair_lesion"):
        structures(tmp_path, ["liver"])


def test_scores_are_of_the_whole_image_and_stops_clicking_when_all_is_right(toy):
    _, reference = toy
    half = reference.copy()
    half[20:] = False
    answers = [half, reference]
    placed = []

    def answer(click):
        placed.append(click)
        return answers[len(placed) - 1]

    dice, seconds = clicks.score(reference, answer, clicks=4)
    assert dice[0] == pytest.approx(2 * half.sum() / (half.sum() + reference.sum()))
    assert dice[1:] == (1.0, 1.0, 1.0)
    assert [click.is_foreground for click in placed] == [True, True]
    assert not half[placed[1].ijk]
    assert seconds >= 0


def test_table_has_a_row_per_set_and_method_and_counts_failures_with_all_clicks():
    runs = [
        clicks.Run("hippocampus", "a", "ours", (0.4, 0.8, 0.9), 0.1),
        clicks.Run("hippocampus", "b", "ours", (0.2, 0.4, 0.1), 0.3),
        clicks.Run("total_ct", "c", "ours", (0.9, 0.9, 0.9), 0.1),
        clicks.Run("total_ct", "c", "Grow from seeds", (0.1, 0.1, 0.1), 0.1),
        clicks.Run("hippocampus", "a", "Grow from seeds", (0.1, 0.1, 0.3), 0.1),
    ]
    rows = [line.strip("| ").split(" | ") for line in clicks.table(runs).splitlines()]
    by_name = {(row[0], row[1]): row for row in rows}
    assert by_name["hippocampus", "ours"][2:] == [
        "2",
        "0.300",
        "0.500",
        "–",
        "–",
        "2.5 (50%)",
        "3.0 (50%)",
        "0.300",
        "0.20",
    ]
    assert by_name["all structures", "ours"][3] == "0.500"
    assert by_name["mean of sets", "ours"][3] == "0.600"
    assert by_name["mean of sets", "Grow from seeds"][4] == "0.200"


def test_both_methods_on_one_structure(data, make_segmenter, monkeypatch):
    pytest.importorskip("slicer")
    monkeypatch.setattr(clicks, "_segmenter", make_segmenter())
    folder = data / "total_ct"
    structure = Structure("total_ct", "label 4", folder / "image.nii.gz", folder / "labels.nii.gz", 4)
    ours, grow = clicks.measure(structure, 2, with_grow=True)
    assert (ours.method, grow.method) == ("threshold", "Grow from seeds")
    assert len(ours.dice) == len(grow.dice) == 2
    assert json.dumps(ours.dice)


def test_bad_input_is_one_line(capsys, tmp_path):
    assert clicks.main(["--data", str(tmp_path / "none")]) == 2
    assert clicks.main(["--data", str(tmp_path), "--clicks", "0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "does not exist" in errors[0]
    assert "at least 1" in errors[1]


class TestGrowFromSeeds:
    @pytest.fixture(autouse=True)
    def needs_slicer(self):
        pytest.importorskip("slicer", reason="needs slicer-core")

    def test_a_clear_ball_is_found_from_one_click_on_it_and_one_beside(self, toy):
        from grow_from_seeds import grow_from_seeds
        from sam3dseg import Click

        image, reference = toy
        placed = [Click((20, 18, 15)), Click((34, 18, 15), is_foreground=False)]
        mask = grow_from_seeds(image, placed, spacing_mm=(1.0, 1.0, 1.0))
        assert mask.dtype == bool and mask.shape == image.shape
        assert 2 * (mask & reference).sum() / (mask.sum() + reference.sum()) > 0.95

    def test_seeds_keep_their_labels_and_nothing_grows_beyond_the_margin(self, toy):
        import grow_from_seeds
        from sam3dseg import Click

        image = np.zeros((100, 36, 30), np.float32)
        placed = [Click((20, 18, 15)), Click((20, 25, 15), is_foreground=False)]
        mask = grow_from_seeds.grow_from_seeds(image, placed, spacing_mm=(1.0, 1.0, 1.0))
        assert mask[18:23, 18, 15].all()
        assert not mask[20, 23:28, 15].any()
        assert not mask[20 + grow_from_seeds.MARGIN :].any()

    def test_later_clicks_paint_over(self, toy):
        from grow_from_seeds import _seeds
        from sam3dseg import Click

        seeds = _seeds([Click((5, 5, 5)), Click((6, 5, 5), is_foreground=False)], (12, 12, 12), 1.0)
        assert (seeds[4, 5, 5], seeds[5, 5, 5], seeds[6, 5, 5]) == (1, 2, 2)
        assert (seeds[0] == 2).all() and (seeds[1:-1, 1:-1, 8] == 0).all()
