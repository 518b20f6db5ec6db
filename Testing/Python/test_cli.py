from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import refused, write_image

import sam3dseg
from sam3dseg import catalogue
from sam3dseg.arguments import with_negative_values
from sam3dseg.cli import main
from sam3dseg.imageio import Image, read_mask, write_mask
from sam3dseg.promptfiles import requests_as_json
from sam3dseg.prompts import Click, Request

PACKAGE_ROOT = Path(__file__).resolve().parents[2] / "SAM3DSegment"
DIRECTION = np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, 1]])  # left-handed: the first axis leads to P, the second to L


@pytest.fixture
def ball(make_ellipsoid) -> np.ndarray:
    return make_ellipsoid((30, 32, 28), (15, 16, 14), (7, 8, 6))


@pytest.fixture
def image(ball) -> Image:
    array = np.where(ball, 100, 10).astype(np.int16)
    return Image(array, (1.0, 1.0, 1.5), DIRECTION, np.array([5.0, 6.0, 7.0]), "ball.nii.gz")


@pytest.fixture
def ball_file(tmp_path, image) -> Path:
    return write_image(tmp_path / "ball.nii.gz", image.array_ijk, image)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_one_click_gives_every_file(run, ball_file, ball, tmp_path, image):
    files = [tmp_path / name for name in ("m.nii.gz", "m.seg.nrrd", "s.stl", "s.obj", "p.png")]
    code, out, err, loads = run("segment", ball_file, "--click", "15,16,14", "-o", files[0], "-o", files[1],
                                "--surface", files[2], "--surface", files[3], "--preview", files[4],
                                "--name", "Ball", "--color", "ff8000", "--model", "toy", "--device", "cpu")  # fmt: skip
    assert (code, err) == (0, "")
    assert loads == [("toy", {"device": "cpu", "precision": "auto"})]
    assert re.match(r"Ball: 1,\d{3} voxels, 2\.\d\d? ml \(CPU\)\n", out)
    assert all(f"wrote {path}" in out and path.stat().st_size for path in files)
    masks = [read_mask(path, image) for path in files[:2]]
    assert (masks[0] == masks[1]).all() and dice(masks[0], ball) > 0.8
    header = files[1].read_bytes()[:3000]
    assert b"Segment0_Name:=Ball\n" in header and b"Segment0_Color:=1 0.501961 0\n" in header


def test_a_click_in_ras_is_the_same_click(run, ball_file, tmp_path, image):
    x, y, z = image.ras_of((15, 16, 14))
    assert x < 0  # a leading minus must not look like an option
    assert run("segment", ball_file, "--ras", "--click", f"{x},{y},{z}", "-o", tmp_path / "a.nrrd")[0] == 0
    assert run("segment", ball_file, "--click", "15,16,14+", "-o", tmp_path / "b.nrrd")[0] == 0
    assert (read_mask(tmp_path / "a.nrrd", image) == read_mask(tmp_path / "b.nrrd", image)).all()


def test_background_clicks_carve_and_may_come_first(run, ball_file, tmp_path, image):
    for name, clicks in (("a", ["15,16,14", "15,21,14-"]), ("b", ["15,21,14-", "15,16,14"])):
        words = [word for click in clicks for word in ("--click", click)]
        assert run("segment", ball_file, *words, "-o", tmp_path / f"{name}.nrrd")[0] == 0
        mask = read_mask(tmp_path / f"{name}.nrrd", image)
        assert mask[15, 16, 14] and not mask[15, 21, 14]


def test_a_box_limits_the_mask(run, ball_file, tmp_path, image):
    assert run("segment", ball_file, "--box", "8,8,8,22,24,14", "-o", tmp_path / "m.nrrd")[0] == 0
    mask = read_mask(tmp_path / "m.nrrd", image)
    assert mask.any() and not mask[:, :, 15:].any()


def test_a_saved_segmentation_replays(run, ball_file, tmp_path, image):
    first, second = tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd"
    assert run("segment", ball_file, "--click", "15,16,14", "--click", "15,21,14-", "-o", first)[0] == 0
    assert run("segment", ball_file, "--clicks", first, "-o", second)[0] == 0
    assert (read_mask(first, image) == read_mask(second, image)).all()
    tags = [line for line in second.read_bytes().splitlines() if line.startswith(b"Segment0_Tags")]
    assert tags and tags[0] in first.read_bytes()


def test_clicks_from_a_file_join_those_of_the_line(run, ball_file, tmp_path, image):
    (tmp_path / "c.json").write_text(requests_as_json([Request((Click((15, 16, 14)),))], image))
    assert (
        run("segment", ball_file, "--clicks", tmp_path / "c.json", "--click", "15,21,14-", "-o", tmp_path / "m.nrrd")[0]
        == 0
    )
    assert not read_mask(tmp_path / "m.nrrd", image)[15, 21, 14]


def test_an_initial_mask_is_refined_and_named(run, ball_file, tmp_path, image, ball):
    write_mask(tmp_path / "start.nii.gz", ball, image)
    output = tmp_path / "m.seg.nrrd"
    code, _, err, _ = run(
        "segment", ball_file, "--init-mask", tmp_path / "start.nii.gz", "--click", "15,21,14-", "-o", output
    )
    assert (code, err) == (0, "")
    assert not read_mask(output, image)[15, 21, 14] and b'"initial_mask":"start.nii.gz"' in output.read_bytes()[:3000]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--click", "1,2"], "expected 3 numbers separated by commas, received '1,2'"),
        (["--click", "a,b,c"], "expected 3 numbers"),
        (["--click", ""], "expected 3 numbers"),
        (["--click", "nan,1,1"], "expected 3 numbers"),
        (["--click", "1.5,2,3"], "expected integer voxel indices, received (1.5, 2.0, 3.0); add --ras"),
        (["--click", "15,16,99"], "click (15, 16, 99) is outside the image of shape (30, 32, 28)"),
        (["--click", "-1,2,3"], "click (-1, 2, 3) is outside"),
        (["--box", "9,9,9,1,1,1"], "box is inside out"),
        (["--box", "0,0,0,99,9,9"], "box corner (99, 9, 9) is outside"),
        (["--click", "1,2,3", "--color", "red"], "expected a colour such as 35d07f"),
        (["--click", "1,2,3", "--clicks", "nowhere.json"], "no such file of clicks"),
        (["--click", "1,2,3", "--init-mask", "nowhere.nii"], "no such image"),
        (["--click", "1,2,3", "--surface", "s.vtk"], "expected a name ending in .stl, .obj, .ply"),
        (["--click", "1,2,3", "--preview", "p.gif"], "expected a name ending in .png"),
        (["--click", "1,2,3", "-o", "missing/m.nrrd"], "the folder missing does not exist"),
        (["--click", "1,2,3", "-o", "m.png"], "expected a name ending in .nii.gz"),
        ([], "expected a click or a box, received none"),
        (["--cluck", "1,2,3"], "unrecognized arguments"),
    ],
)
def test_bad_input_is_refused_in_one_line_before_the_model_loads(run, ball_file, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    refused(run("segment", ball_file, *words, "-o", "out.nrrd"), message)
    assert os.listdir(tmp_path) == ["ball.nii.gz"]


def test_background_clicks_alone_are_refused(run, ball_file, tmp_path):
    code, out, err, _ = run("segment", ball_file, "--click", "15,16,14-", "-o", tmp_path / "m.nrrd")
    assert (code, out) == (2, "") and "foreground click" in err and err.count("\n") == 1
    assert os.listdir(tmp_path) == ["ball.nii.gz"]


def test_a_mask_of_another_shape_is_refused(run, ball_file, tmp_path, image, ball):
    smaller = Image(image.array_ijk[1:], image.spacing_mm, image.direction_ras, image.origin_ras)
    write_mask(tmp_path / "m.nii.gz", ball[1:], smaller)
    result = run(
        "segment", ball_file, "--init-mask", tmp_path / "m.nii.gz", "--click", "1,2,3", "-o", tmp_path / "o.nrrd"
    )
    refused(result, "shape (30, 32, 28); received m.nii.gz of shape (29, 32, 28)")


def test_outputs_are_needed_and_never_overwrite_the_image(run, ball_file):
    refused(run("segment", ball_file, "--click", "1,2,3"), "expected an output, received none")
    before = ball_file.read_bytes()
    refused(run("segment", ball_file, "--click", "1,2,3", "-o", ball_file), "would overwrite an input")
    assert ball_file.read_bytes() == before


def test_missing_and_broken_images(run, tmp_path):
    refused(run("segment", tmp_path / "none.nii", "--click", "1,2,3", "-o", tmp_path / "m.nrrd"), "no such image")
    (tmp_path / "broken.nrrd").write_text("rubbish")
    refused(run("info", tmp_path / "broken.nrrd"), "cannot read broken.nrrd")


def test_a_read_only_folder_is_noticed_before_the_work(run, ball_file, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    refused(
        run("segment", ball_file, "--click", "1,2,3", "-o", tmp_path / "m.nrrd"), "cannot write", "permission denied"
    )


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            ValueError("weights.pth is damaged:\n  expected readable weights"),
            2,
            "weights.pth is damaged: expected readable",
        ),
        (OSError("disk gone"), 2, "disk gone"),
        (PermissionError(13, "Permission denied", "w.pth"), 2, "error: cannot use w.pth: permission denied\n"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "pip install torch"),
        (
            ModuleNotFoundError("No module named 'skimage'", name="skimage"),
            2,
            "the package scikit-image is not installed; install it with: pip install scikit-image\n",
        ),
        (RuntimeError("out of memory"), 1, "out of memory"),
        (MemoryError(), 1, "MemoryError"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failures_of_the_work_are_one_line(ball_file, tmp_path, capsys, error, code, words):
    def load(name, **options):
        raise error

    argv = ["segment", str(ball_file), "--click", "1,2,3", "-o", str(tmp_path / "m.nrrd")]
    assert main(argv, load_segmenter=load) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert os.listdir(tmp_path) == ["ball.nii.gz"]


def test_info_describes_the_image(run, ball_file):
    code, out, err, _ = run("info", ball_file)
    assert (code, err) == (0, "")
    for words in ("30 x 32 x 28", "int16", "1 x 1 x 1.5 mm", "PLS", "RAS 5.00, 6.00, 7.00", "10 to 100"):
        assert words in out


def test_models_are_listed_and_removed(run, tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "sam_med3d_turbo.pth").touch()
    code, out, _, _ = run("models")
    assert code == 0 and "sam-med3d-turbo: installed" in out and "sam-med3d-turbo-cvpr: not installed" in out
    assert "Apache-2.0" in out and "2310.15161" in out and str(tmp_path) in out
    assert run("models", "remove", "sam-med3d-turbo")[0] == 0 and not os.listdir(tmp_path)
    refused(run("models", "remove", "sam-med3d-turbo"), "is not installed")
    refused(run("models", "download", "sam"), "no model named 'sam'")


def test_help_is_instant_and_loads_nothing_heavy():
    code = (
        "import sys; from sam3dseg.cli import main; codes = [main([*c, '--help']) for c in "
        "([], ['segment'], ['info'], ['models'], ['models', 'download'], ['demo'])]; "
        "print(codes, ' '.join(sys.modules), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE_ROOT, capture_output=True, text=True, check=True)
    assert run.stderr.startswith("[0, 0, 0, 0, 0, 0]")
    assert not set(run.stderr.split()) & {"torch", "numpy", "scipy", "SimpleITK", "matplotlib", "skimage", "rich"}
    assert "--init-mask" in run.stdout


def test_values_with_a_leading_minus_are_joined_to_their_option():
    words = ["segment", "--click", "-1,2,3-", "--box", "-.5,0,0,1,1,1", "--ras", "-o", "x"]
    assert with_negative_values(words) == ["segment", "--click=-1,2,3-", "--box=-.5,0,0,1,1,1", "--ras", "-o", "x"]
    assert with_negative_values(["--click", "--ras"]) == ["--click", "--ras"]


def test_no_command_and_unknown_command(run):
    refused(run(), "required: COMMAND")
    refused(run("segmnt"), "invalid choice: 'segmnt'")


def test_the_version_is_the_package_s(run):
    assert run("--version")[:3] == (0, f"sam3dseg {sam3dseg.__version__}\n", "")


@pytest.mark.parametrize("words", [["-v", "info"], ["info", "-v"], ["info", "--verbose"], ["info"]])
def test_more_words_are_asked_for_before_or_after_the_command(run, ball_file, monkeypatch, words):
    levels = []
    monkeypatch.setattr("logging.basicConfig", lambda **options: levels.append(options["level"]))
    assert run(*words, ball_file)[0] == 0
    assert levels == ["WARNING" if words == ["info"] else "INFO"]


def test_models_list_is_models(run, tmp_path, monkeypatch):
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    assert run("models", "list")[:3] == run("models")[:3]


@pytest.mark.parametrize("action", ["download", "verify", "remove"])
def test_the_embedded_model_is_not_downloaded_verified_or_removed(run, action):
    refused(run("models", action, "embedded"), "the model 'embedded' is part of the software")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX pipes")
def test_nobody_reading_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "sam3dseg.cli", "models"], cwd=PACKAGE_ROOT, stdout=writer,
                          stderr=subprocess.PIPE, text=True)  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_help_shows_the_file_of_clicks_and_it_works(run, ball_file, tmp_path):
    text = run("segment", "--help")[1]
    example = text[text.index('  {"space"') : text.index("prompts with the same number")]
    content = json.loads(example)
    assert set(content) == {"space", "clicks", "boxes"}
    content = {"space": "ijk", "clicks": [{"position": [15, 16, 14], "foreground": True}], "boxes": []}
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert run("segment", ball_file, "--clicks", tmp_path / "c.json", "-o", tmp_path / "m.nrrd")[0] == 0


def test_a_constant_image_is_segmented_with_a_warning(run, image, tmp_path, caplog):
    write_image(tmp_path / "flat.nrrd", np.full(image.shape, 7, np.int16), image)
    assert run("segment", tmp_path / "flat.nrrd", "--click", "15,16,14", "-o", tmp_path / "m.nrrd")[0] == 0
    assert "every voxel of flat.nrrd has the same intensity" in caplog.text
    caplog.clear()
    write_image(tmp_path / "ball.nrrd", image.array_ijk, image)
    assert run("segment", tmp_path / "ball.nrrd", "--click", "15,16,14", "-o", tmp_path / "m.nrrd")[0] == 0
    assert not caplog.text


def test_a_name_is_one_line_and_not_blank(run, ball_file, tmp_path):
    words = ("segment", ball_file, "--click", "15,16,14", "-o", tmp_path / "m.seg.nrrd", "--name")
    refused(run(*words, "  \n"), "expected a name with at least one letter")
    assert run(*words, " left\n kidney ")[0] == 0
    assert b"Segment0_Name:=left kidney\n" in (tmp_path / "m.seg.nrrd").read_bytes()


def test_an_unwritable_picture_does_not_lose_the_mask(run, ball_file, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sam3dseg.outputs.write_preview", full)
    code, out, err, _ = run("segment", ball_file, "--click", "15,16,14", "-o", tmp_path / "m.nrrd",
                            "--preview", tmp_path / "p.png")  # fmt: skip
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "No space left on device" in err and f"written: {tmp_path / 'm.nrrd'}" in err
    assert sorted(os.listdir(tmp_path)) == ["ball.nii.gz", "m.nrrd"]
