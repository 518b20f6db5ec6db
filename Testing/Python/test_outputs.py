from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sam3dseg.imageio import Image
from sam3dseg.outputs import Outputs
from sam3dseg.prompts import Click, Request


@pytest.fixture
def image() -> Image:
    return Image(np.zeros((6, 7, 8), np.int16), (1.0, 1.0, 1.0), np.eye(3), np.zeros(3))


def test_an_empty_mask_writes_nothing(tmp_path, image):
    outputs = Outputs(masks=(tmp_path / "m.nrrd",))
    with pytest.raises(ValueError, match="the mask is empty, nothing was written"):
        outputs.write(image, np.zeros(image.shape, bool), requests=[Request((Click((1, 1, 1)),))])
    assert not os.listdir(tmp_path)


def test_an_output_must_not_overwrite_an_input(tmp_path, monkeypatch):
    (tmp_path / "m.nrrd").write_text("input")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="would overwrite an input"):
        Outputs(masks=(Path("m.nrrd"),)).check(inputs=[tmp_path / "m.nrrd"])
    Outputs(masks=(Path("new.nrrd"),)).check(inputs=[tmp_path / "m.nrrd", tmp_path / "missing"])


def test_files_are_named_in_the_order_of_their_kinds(tmp_path, image):
    mask = np.zeros(image.shape, bool)
    mask[2:4, 2:5, 3:6] = True
    outputs = Outputs(masks=(tmp_path / "m.nii",), surfaces=(tmp_path / "s.ply",), previews=(tmp_path / "p.png",))
    outputs.check()
    written = outputs.write(image, mask, requests=[Request((Click((3, 3, 4)),))])
    assert [path.name for path in written] == ["m.nii", "s.ply", "p.png"] and len(os.listdir(tmp_path)) == 3


def test_a_file_that_cannot_be_written_does_not_lose_the_others(tmp_path, image, monkeypatch):
    def full(*_args):
        raise PermissionError("cannot write s.ply: permission denied")

    monkeypatch.setattr("sam3dseg.outputs.write_surface", full)
    mask = np.zeros(image.shape, bool)
    mask[2:4, 2:5, 3:6] = True
    outputs = Outputs(masks=(tmp_path / "m.nii",), surfaces=(tmp_path / "s.ply",), previews=(tmp_path / "p.png",))
    with pytest.raises(PermissionError) as caught:
        outputs.write(image, mask, requests=[Request((Click((3, 3, 4)),))])
    assert str(caught.value) == (
        f"cannot write s.ply: permission denied; written: {tmp_path / 'm.nii'}, {tmp_path / 'p.png'}"
    )
    assert sorted(os.listdir(tmp_path)) == ["m.nii", "p.png"]


def test_a_full_disk_names_the_first_file_and_writes_none(tmp_path, image, monkeypatch):
    monkeypatch.setattr(os, "replace", _full_disk)
    mask = np.ones(image.shape, bool)
    outputs = Outputs(masks=(tmp_path / "m.nii",), surfaces=(tmp_path / "s.ply",), previews=(tmp_path / "p.png",))
    with pytest.raises(OSError, match="cannot write .*m.nii: no space left on device; nothing was changed$"):
        outputs.write(image, mask, requests=[Request((Click((3, 3, 4)),))])
    assert not os.listdir(tmp_path)


def _full_disk(*_args):
    raise OSError(28, "No space left on device")
