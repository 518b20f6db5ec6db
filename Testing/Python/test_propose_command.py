"""`sam3dseg propose`, and clicks that start from what it proposed."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from command_line import refused, write_image
from proposal_networks import CLASSES, tiny_checkpoint, volume
from tiny_networks import COMPACT, tiny_compact

from sam3dseg.checkpoint import save_checkpoint
from sam3dseg.imageio import Image, read_image, read_mask
from sam3dseg.proposals.proposer import proposer_of
from sam3dseg.segmentation_file import segments_of


@pytest.fixture
def image():
    direction = np.array([[0, -1.0, 0], [1, 0, 0], [0, 0, -1]])
    return Image(volume(), (1.0, 1.2, 0.9), direction, np.array([3.0, 4, 5]), "case.nrrd")


@pytest.fixture
def path(tmp_path, image):
    return write_image(tmp_path / "case.nrrd", image.array_ijk, image)


@pytest.fixture
def model(tmp_path):
    checkpoint, path = tiny_checkpoint(), tmp_path / "toy.safetensors"
    save_checkpoint(path, architecture="sam_3d", config=checkpoint.config, weights=checkpoint.weights, provenance={})
    return path


@pytest.fixture
def expected(image):
    return proposer_of(tiny_checkpoint(), name="toy", device="cpu").propose(
        image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras
    )


def test_every_file_holds_every_class(run, path, model, tmp_path, expected, image):
    names = ["out.seg.nrrd", "out.nii.gz"]
    code, out, err, loads = run(
        "propose", path, "--model", model, "--device", "cpu", "-o", tmp_path / names[0], "-o", tmp_path / names[1],
        "--surface", tmp_path / "out.ply", "--preview", tmp_path / "out.png",
    )  # fmt: skip
    assert (code, err, loads) == (0, "", [])
    for name in names:
        np.testing.assert_array_equal(read_image(tmp_path / name).array_ijk, expected)
    assert [(s.name, list(s.color)) for s in segments_of(tmp_path / names[0])] == [
        (c["name"], c["color"]) for c in CLASSES
    ]
    assert {"out-Anterior.ply", "out-Posterior.ply", "out.png"} <= set(os.listdir(tmp_path))
    for number, entry in enumerate(CLASSES, start=1):
        assert f"{entry['name']}: {(expected == number).sum():,} voxels, " in out
    assert "by toy on CPU" in out and out.count("wrote ") == 5


def test_only_one_structure(run, path, model, tmp_path, expected):
    code, out, _, _ = run("propose", path, "--model", model, "--only", "Posterior", "-o", tmp_path / "o.nii.gz",
                          "--surface", tmp_path / "s.stl")  # fmt: skip
    assert code == 0 and "Anterior" not in out and (tmp_path / "s.stl").exists()
    np.testing.assert_array_equal(read_image(tmp_path / "o.nii.gz").array_ijk, np.where(expected == 2, 2, 0))


def test_mirroring_is_passed_on(run, path, model, tmp_path, image):
    assert run("propose", path, "--model", model, "--mirror", "-o", tmp_path / "o.nii.gz")[0] == 0
    mirrored = proposer_of(tiny_checkpoint(), name="toy", device="cpu").propose(
        image.array_ijk, spacing_mm=image.spacing_mm, direction=image.direction_ras, mirror=True
    )
    np.testing.assert_array_equal(read_image(tmp_path / "o.nii.gz").array_ijk, mirrored)


@pytest.mark.parametrize("label, number, name", [("Posterior", 2, "p.seg.nrrd"), ("1", 1, "p.nii.gz")])
def test_a_proposal_becomes_the_starting_mask_of_clicks(
    run, path, model, tmp_path, expected, image, label, number, name
):
    proposal, better = tmp_path / name, tmp_path / "better.seg.nrrd"
    assert run("propose", path, "--model", model, "-o", proposal)[0] == 0
    inside = ",".join(str(v) for v in np.argwhere(expected == number)[0])
    code, _, err, _ = run(
        "segment", path, "--init-mask", proposal, "--init-label", label, "--click", inside, "-o", better
    )
    assert (code, err) == (0, "")
    start = read_mask(proposal, image, label=label)
    np.testing.assert_array_equal(start, expected == number)
    from sam3dseg.promptfiles import read_recording

    np.testing.assert_array_equal(read_recording(better, image).initial, start)


@pytest.mark.parametrize(
    "words, message",
    [
        ([], ["expected an output, received none"]),
        (["-o", "x.txt"], ["cannot tell the format of 'x.txt'"]),
        (
            ["-o", "o.nii.gz", "--only", "Liver"],
            ["no structure 'Liver' in this model: expected one of Anterior, Posterior"],
        ),
        (["-o", "o.nii.gz", "--device", "tpu"], ["unknown device 'tpu'"]),
    ],
)
def test_bad_input_is_one_line(run, path, model, words, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    refused(run("propose", path, "--model", model, *words), *message)


def test_a_click_model_cannot_propose(run, path, tmp_path):
    model = tmp_path / "clicks.safetensors"
    save_checkpoint(model, architecture="compact", config=COMPACT, weights=tiny_compact().state_dict(), provenance={})
    result = run("propose", path, "--model", model, "-o", tmp_path / "o.nii.gz")
    refused(result, "clicks is a model for clicks in 3D", "expected one for proposals", "sam3dseg segment")


@pytest.mark.parametrize("words", [("segment", "--click", "5,5,5", "-o", "o.nii.gz"), ("demo", "-o", "demo")])
def test_a_sam_3d_model_takes_no_clicks(path, model, words, capsys, monkeypatch, tmp_path):
    from sam3dseg.cli import main

    monkeypatch.chdir(tmp_path)
    command, *options = words
    code = main([command, str(path), *options, "--model", str(model)])
    err = capsys.readouterr().err
    assert code == 2 and err.count("\n") == 1
    assert "toy is a model for proposals" in err and "sam3dseg propose" in err


def test_slices_of_one_row_are_refused(run, model, tmp_path):
    flat = Image(volume((20, 1, 20)), (1.0, 1.0, 1.0), np.eye(3), np.zeros(3), "flat.nrrd")
    result = run("propose", write_image(tmp_path / "flat.nrrd", flat.array_ijk, flat), "--model", model, "-o",
                 tmp_path / "o.nii.gz")  # fmt: skip
    refused(result, "expected slices of at least 2 x 2 voxels")


def test_an_init_label_needs_a_file(run, path, tmp_path):
    result = run("segment", path, "--init-label", "a", "--click", "5,5,5", "-o", tmp_path / "o.nrrd")
    refused(result, "expected a file for --init-label, received none; add --init-mask FILE")


def test_an_unknown_init_label_names_those_there_are(run, path, model, tmp_path):
    assert run("propose", path, "--model", model, "-o", tmp_path / "p.seg.nrrd")[0] == 0
    result = run("segment", path, "--init-mask", tmp_path / "p.seg.nrrd", "--init-label", "Liver", "--click", "5,5,5",
                 "-o", tmp_path / "o.nrrd")  # fmt: skip
    refused(result, "no segment 'Liver' in p.seg.nrrd: expected one of its segments, Anterior, Posterior")


def test_the_command_is_there_without_pytorch():
    import subprocess

    code = "import sys; from sam3dseg import propose_command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
