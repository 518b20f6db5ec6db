from __future__ import annotations

import os
import socket

import numpy as np
import pytest

from sam3dseg import demo
from sam3dseg.cli import main
from sam3dseg.demo import dice, run_demo, template
from sam3dseg.imageio import Image, read_mask
from sam3dseg.prompts import Click

FILES = ["mask.nii.gz", "mask.seg.nrrd", "preview.png", "surface.stl"]


@pytest.fixture
def ball(make_ellipsoid) -> np.ndarray:
    return make_ellipsoid((30, 32, 28), (15, 16, 14), (7, 8, 6))


@pytest.fixture
def image(ball) -> Image:
    return Image(np.where(ball, 100, 10).astype(np.int16), (1.0, 1.0, 1.0), np.eye(3), np.zeros(3), "ball")


def test_the_template_gets_one_click_and_two_corrections(tmp_path, monkeypatch, make_segmenter, image, ball):
    monkeypatch.setattr(demo, "template", lambda structure: (image, ball))
    lines = []
    done = run_demo(tmp_path / "out", make_segmenter, report=lines.append)
    assert 1 <= len(done) <= 3 and done[0].click == Click((15, 16, 14)) and done[0].dice > 0.8
    assert all("Dice 0." in line or "Dice 1." in line for line in lines if line.startswith("click"))
    assert sorted(os.listdir(tmp_path / "out")) == FILES
    assert [line for line in lines if line.startswith("wrote")] == [
        f"wrote {tmp_path / 'out' / name}" for name in ("mask.nii.gz", "mask.seg.nrrd", "surface.stl", "preview.png")
    ]
    assert dice(read_mask(tmp_path / "out" / "mask.nii.gz", image), ball) == pytest.approx(done[-1].dice)


def test_ones_own_image_gets_one_click_and_no_dice(tmp_path, make_segmenter, image):
    lines = []
    done = run_demo(tmp_path, make_segmenter, image=image, click=Click((14, 15, 13)), report=lines.append)
    assert [step.click.ijk for step in done] == [(14, 15, 13)] and done[0].dice is None
    assert sorted(os.listdir(tmp_path)) == FILES and not any("Dice" in line for line in lines)
    assert run_demo(tmp_path, make_segmenter, image=image, report=lines.append)[0].click == Click((15, 16, 14))


def test_a_click_outside_is_refused_before_the_model_loads(tmp_path, image):
    with pytest.raises(ValueError, match=r"\(99, 0, 0\) is outside the image"):
        run_demo(tmp_path, lambda: pytest.fail("loaded"), image=image, click=Click((99, 0, 0)), report=print)


def test_the_command_runs_it(tmp_path, monkeypatch, capsys, make_segmenter, image, ball):
    monkeypatch.setattr(demo, "template", lambda structure: (image, ball))
    argv = ["demo", "-o", str(tmp_path / "demo")]
    assert main(argv, load_segmenter=lambda name, **options: make_segmenter()) == 0
    assert "Dice" in capsys.readouterr().out
    assert main([*argv, "--click", "1,2,3"], load_segmenter=lambda name, **options: make_segmenter()) == 2
    assert "expected an image with --click" in capsys.readouterr().err


def test_the_template_comes_without_a_network(monkeypatch):
    pytest.importorskip("nilearn", reason="needs nilearn, whose wheel holds the template")

    def refuse(*args, **kwargs):
        raise OSError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    image, ventricle = template("right lateral ventricle")
    assert image.shape == (197, 233, 189) and image.spacing_mm == (1.0, 1.0, 1.0)
    assert 3000 < ventricle.sum() < 8000
    middle = image.ras_of(np.argwhere(ventricle).mean(axis=0))
    assert 5 < middle[0] < 30  # on the patient's right
    assert image.array_ijk[ventricle].mean() < 0.5 * image.array_ijk[template("white matter")[1]].mean()


def test_dice():
    a, b = np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool)
    assert dice(a, b) == 1
    a[0], b[0, 0] = True, True
    assert dice(a, b) == pytest.approx(2 * 2 / 6)


def test_a_refused_click_leaves_no_folder(tmp_path, image):
    for click, words in ((Click((9, 9, 9), False), "received the background click .9, 9, 9.; drop its -"),
                         (Click((99, 0, 0)), "outside")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            run_demo(tmp_path / "d", lambda: pytest.fail("loaded"), image=image, click=click, report=print)
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_made_is_named_before_the_model_loads(tmp_path, image):
    (tmp_path / "taken").write_text("mine")
    for folder, reason in ((tmp_path / "taken", "a file has that name"), (tmp_path / "taken/sub", "not a directory")):
        with pytest.raises(OSError, match=f"cannot make the folder {folder}: {reason}; choose another one with -o"):
            run_demo(folder, lambda: pytest.fail("loaded"), image=image, report=print)
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"
