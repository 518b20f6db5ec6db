"""Scene files that reach outside themselves, or are damaged, are refused before Slicer's reader sees them."""

from __future__ import annotations

import zipfile

import pytest

from sam3dseg_viewer.scene_check import check_scene

SCENE = '<MRML version="Slicer 5.10.0 0"><VolumeArchetypeStorage id="s" {attribute}="{place}"/></MRML>'


@pytest.fixture
def make_scene(tmp_path):
    """A .mrb whose scene names one file, with another entry of any name."""

    def make(place="Data/image.nrrd", *, attribute="fileName", entry="scene/Data/image.nrrd", content=b"voxels"):
        with zipfile.ZipFile(tmp_path / "x.mrb", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("scene/scene.mrml", SCENE.format(attribute=attribute, place=place))
            archive.writestr(entry, content)
        return tmp_path / "x.mrb"

    return make


@pytest.mark.parametrize("place", ["Data/image.nrrd", "Data/my%20image..1.nrrd", ""])
def test_what_lies_in_the_scene_is_fine(make_scene, place):
    check_scene(make_scene(place))


@pytest.mark.parametrize(
    "place",
    [
        "/etc/passwd",
        "../outside.nrrd",
        "Data/../../outside.nrrd",
        "%2e%2e/outside.nrrd",
        "%2Fetc%2Fpasswd",
        "..\\outside.nrrd",
        "C:\\outside.nrrd",
        "C:outside.nrrd",
        "http://127.0.0.1/x.nrrd",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("attribute", ["fileName", "fileListMember0", "uri", "uriListMember1"])
def test_a_scene_that_names_another_file_is_refused(make_scene, place, attribute):
    with pytest.raises(ValueError, match=r"x\.mrb names a file outside itself, .*: save it again with its data packed"):
        check_scene(make_scene(place, attribute=attribute))


@pytest.mark.parametrize("entry", ["../outside.nrrd", "/tmp/outside.nrrd", "scene/../../outside.nrrd"])
def test_an_archive_that_unpacks_elsewhere_is_refused(make_scene, entry):
    with pytest.raises(ValueError, match="names a file outside itself"):
        check_scene(make_scene(entry=entry))


def test_a_small_file_that_unpacks_to_much_is_refused(make_scene):
    with pytest.raises(ValueError, match="unpacks to too much"):
        check_scene(make_scene(content=bytes(20_000_000)))


def test_damaged_files_are_refused(make_scene):
    path = make_scene(content=bytes(range(256)) * 40)
    whole = path.read_bytes()
    place = whole.index(b"scene/Data/image.nrrd") + 60
    for content in (b"hello", whole[:-30], whole[:place] + b"damaged" + whole[place + 7 :]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot read x\.mrb: "):
            check_scene(path)


def test_an_archive_without_a_scene_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.mrb", "w") as archive:
        archive.writestr("image.nrrd", b"voxels")
    with pytest.raises(ValueError, match=r"x\.mrb holds no scene"):
        check_scene(tmp_path / "x.mrb")


def test_a_scene_that_is_no_xml_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.mrb", "w") as archive:
        archive.writestr("scene.mrml", b"<MRML")
    with pytest.raises(ValueError, match=r"cannot read x\.mrb"):
        check_scene(tmp_path / "x.mrb")
