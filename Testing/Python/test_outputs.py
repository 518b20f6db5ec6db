from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sam3dseg.imageio import Image, read_image
from sam3dseg.outputs import LabelOutputs, Outputs
from sam3dseg.prompts import Click, Request
from sam3dseg.proposals.structures import StructureClass
from sam3dseg.segmentation_file import segments_of


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
    def full(*_args, **_options):
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


STRUCTURES = [
    StructureClass("Left/right", (1, 0, 0)),
    StructureClass("Empty", (0, 1, 0)),
    StructureClass("腫瘍", (0, 0, 1)),
]


@pytest.fixture
def labels(image):
    labels = np.zeros(image.shape, np.uint8)
    labels[1:3, 2:5, 3:6], labels[3:5, 2:5, 3:6] = 1, 3
    return labels


def test_proposals_become_a_label_map_segments_and_surfaces(tmp_path, image, labels):
    outputs = LabelOutputs(
        (tmp_path / "l.nii.gz", tmp_path / "l.seg.nrrd"), (tmp_path / "s.stl",), (tmp_path / "p.png",)
    )
    outputs.check()
    written = outputs.write(image, labels, STRUCTURES)
    names = ["l.nii.gz", "l.seg.nrrd", "s-Left_right.stl", "s-腫瘍.stl", "p.png"]
    assert [path.name for path in written] == names
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    np.testing.assert_array_equal(read_image(tmp_path / "l.nii.gz").array_ijk, labels)
    segments = segments_of(tmp_path / "l.seg.nrrd")
    assert [(s.name, s.color, s.label) for s in segments] == [
        (s.name, tuple(s.color), n) for n, s in enumerate(STRUCTURES, start=1)
    ]


def test_only_the_wanted_structures_are_written(tmp_path, image, labels):
    outputs = LabelOutputs((tmp_path / "l.seg.nrrd",), (tmp_path / "s.stl",), only=("腫瘍",))
    assert [path.name for path in outputs.write(image, labels, STRUCTURES)] == ["l.seg.nrrd", "s.stl"]
    assert [s.name for s in segments_of(tmp_path / "l.seg.nrrd")] == ["腫瘍"]
    assert set(np.unique(read_image(tmp_path / "l.seg.nrrd").array_ijk)) == {0, 3}
    with pytest.raises(ValueError, match="no structure 'Liver' in this model: expected one of Left/right, Empty, 腫瘍"):
        LabelOutputs(only=("Liver",)).kept(STRUCTURES)


def test_structures_of_the_same_file_name_are_numbered(tmp_path, image, labels):
    structures = [StructureClass(name, (1, 1, 1)) for name in ("a b", "c", "a/b")]
    written = LabelOutputs(surfaces=(tmp_path / "s.stl",)).write(image, labels, structures)
    assert [path.name for path in written] == ["s-1.stl", "s-3.stl"]


def test_nothing_found_is_said_and_nothing_written(tmp_path, image, labels):
    outputs = LabelOutputs((tmp_path / "l.nii.gz",), only=("Empty",))
    with pytest.raises(ValueError, match="nothing was found, and nothing written: expected Empty in image"):
        outputs.write(image, labels, STRUCTURES)
    assert not os.listdir(tmp_path)
