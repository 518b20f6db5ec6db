"""`sam3dseg segment` with a model that segments slices."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from command_line import refused, write_image
from slice_toys import ThresholdSliceSegmenter, brightness, dice

from sam3dseg import console
from sam3dseg.cli import main
from sam3dseg.imageio import Image, read_mask

SHAPE, CENTER = (40, 36, 24), (18, 18, 6)


@pytest.fixture
def model():
    return ThresholdSliceSegmenter(image_size=80, logits_size=40, name="toy-slices")


@pytest.fixture
def run_slices(model, capsys):
    """Runs the command with the stand-in for a slice model; gives code, stdout and stderr."""

    def call(*argv):
        code = main([str(word) for word in argv], load_segmenter=lambda name, **options: model)
        return (code, *capsys.readouterr(), [])

    return call


@pytest.fixture
def tube(make_ellipsoid):
    """Bool tube along the last axis, which is part of a big block from slice 12 on, and that block."""
    tube = np.repeat(make_ellipsoid((*SHAPE[:2], 1), (18, 18, 0), (6, 6, 1)), SHAPE[2], axis=2)
    block = np.zeros(SHAPE, bool)
    block[2:38, 2:34, 12:] = True
    return tube, block


@pytest.fixture
def image(tube) -> Image:
    return Image(brightness(tube[0] | tube[1]), (1.0, 1.0, 1.5), np.diag([-1.0, -1.0, 1.0]), np.zeros(3), "tube.nii.gz")


@pytest.fixture
def tube_file(tmp_path, image):
    return write_image(tmp_path / "tube.nii.gz", image.array_ijk, image)


def test_a_volume_from_one_slice_and_what_was_stopped(run_slices, tube_file, tube, tmp_path, image, caplog):
    code, out, _, _ = run_slices("segment", tube_file, "--click", "18,18,6", "-o", tmp_path / "m.nrrd")
    assert code == 0 and out.startswith("Segment: ")
    mask = read_mask(tmp_path / "m.nrrd", image)
    assert dice(mask, tube[0] & (np.arange(SHAPE[2]) < 12)) > 0.8
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and warnings[0].startswith("stopped at axial slice k = 12, where the mask would grow")


@pytest.mark.parametrize(
    ("words", "slices"),
    [
        (["--direction", "none"], [6]),
        (["--direction", "backward"], list(range(7))),
        (["--orientation", "coronal", "--direction", "none"], None),
    ],
)
def test_slices_are_chosen(run_slices, tube_file, tmp_path, image, words, slices):
    assert run_slices("segment", tube_file, "--click", "18,18,6", *words, "-o", tmp_path / "m.nrrd")[0] == 0
    mask = read_mask(tmp_path / "m.nrrd", image)
    if slices is None:
        assert np.flatnonzero(mask.any(axis=(0, 2))).tolist() == [18]
    else:
        assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == slices


def test_every_slice_of_a_box_is_prompted_with_it(run_slices, model, tube_file, tmp_path):
    words = ("segment", tube_file, "--box", "8,8,3,28,28,9", "--roi", "fixed", "-o", tmp_path / "m.nrrd")
    assert run_slices(*words)[0] == 0
    assert len(model.decoded) == 7 and len({tuple(call["box"]) for call in model.decoded}) == 1


def test_masks_are_cleaned_and_the_modality_is_told(run_slices, model, tmp_path, image):
    array = image.array_ijk.copy()
    array[18:20, 18:20, 6] = 0
    file = write_image(tmp_path / "hole.nii.gz", array, image)
    start = ("segment", file, "--click", "15,18,6", "--direction", "none", "-o", tmp_path / "m.nrrd")
    assert run_slices(*start)[0] == 0
    assert not read_mask(tmp_path / "m.nrrd", image)[18, 18, 6]
    others = ("--fill-holes", "--smooth", "2", "--smallest-part", "0.1", "--modality", "ct")
    assert run_slices(*start, *others)[0] == 0
    assert read_mask(tmp_path / "m.nrrd", image)[18, 18, 6]
    assert not np.array_equal(model.encoded[0], model.encoded[1])


@pytest.mark.parametrize(
    "words",
    [
        ["--orientation", "coronal"],
        ["--direction", "none"],
        ["--roi", "fixed"],
        ["--modality", "ct"],
        ["--smallest-part", "0.1"],
        ["--fill-holes"],
        ["--smooth", "2"],
    ],
    ids=lambda words: words[0],
)
def test_a_model_in_3d_has_no_use_for_them(run, tube_file, tmp_path, words):
    result = run("segment", tube_file, "--click", "18,18,6", *words, "-o", tmp_path / "m.nrrd")
    refused((*result[:3], []), f"{words[0]}: expected a model that segments slices, received threshold")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--orientation", "oblique"], "invalid choice: 'oblique'"),
        (["--smallest-part", "2"], "share from 0 to 1, got 2.0"),
        (["--smooth", "-1"], "length from 0 mm up, got -1.0"),
        (["--smooth", "much"], "invalid float value: 'much'"),
    ],
)
def test_values_that_cannot_be(run, tube_file, tmp_path, words, message):
    refused(run("segment", tube_file, "--click", "18,18,6", *words, "-o", tmp_path / "m.nrrd"), message)


def test_a_box_on_a_slice_of_another_orientation_is_refused(run_slices, tube_file, tmp_path):
    result = run_slices("segment", tube_file, "--box", "8,18,3,28,18,9", "-o", tmp_path / "m.nrrd")
    refused(result, "expected a box on axial slices, received one on a single coronal slice")


def test_a_slice_of_one_row_is_refused(run_slices, tmp_path, image):
    flat = Image(image.array_ijk[:, :, :1], image.spacing_mm, image.direction_ras, image.origin_ras, "flat.nii.gz")
    file = write_image(tmp_path / "flat.nii.gz", flat.array_ijk, flat)
    words = ("segment", file, "--click", "18,18,0", "--orientation", "coronal", "-o", tmp_path / "m.nrrd")
    refused(run_slices(*words), "coronal slices of at least two rows and columns, received 1 x 40 pixels")


def test_a_terminal_shows_which_slice_is_at_work(run_slices, tube_file, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, seen = Terminal(), []
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(console.Steps, "detail", lambda steps, text: seen.append(text))
    assert run_slices("segment", tube_file, "--click", "18,18,6", "-o", tmp_path / "m.nrrd")[0] == 0
    assert seen[:2] == ["axial slice k = 6", "axial slice k = 7"]
