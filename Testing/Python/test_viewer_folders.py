"""What the page may open and save: nothing outside the chosen folders."""

from __future__ import annotations

import pytest

from sam3dseg_viewer.folders import Folders


@pytest.fixture
def places(tmp_path):
    """Two chosen folders and one that is not, each with a file."""
    for name in ("images", "results", "private", "images-private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.nii.gz").write_text(name)
    return tmp_path


@pytest.fixture
def folders(places):
    return Folders([places / "images", places / "results"])


def test_paths_start_in_the_first_folder_and_reach_all_chosen_ones(folders, places):
    assert folders.to_open("a.nii.gz") == places / "images/a.nii.gz"
    assert folders.to_open(" a.nii.gz ") == places / "images/a.nii.gz"
    assert folders.to_open(str(places / "results/a.nii.gz")) == places / "results/a.nii.gz"
    assert folders.to_open("../results/a.nii.gz") == places / "results/a.nii.gz"
    assert folders.to_save("new.seg.nrrd") == places / "images/new.seg.nrrd"


@pytest.mark.parametrize(
    "path",
    [
        "../private/a.nii.gz",
        "../images-private/a.nii.gz",
        "{root}/private/a.nii.gz",
        "{root}/images/../private/a.nii.gz",
        "{root}/images/..",
        "/etc/passwd",
        "..",
        "/",
        "",
        "   ",
        "a\0.nii.gz",
    ],
)
def test_paths_that_lead_outside_are_refused(folders, places, path):
    path = path.replace("{root}", str(places))
    for ask in (folders.to_open, folders.to_save):
        with pytest.raises(ValueError, match="expected a path in .*images or .*results, received"):
            ask(path)


def test_links_that_lead_outside_are_refused(folders, places):
    (places / "images/file").symlink_to(places / "private/a.nii.gz")
    (places / "images/folder").symlink_to(places / "private")
    (places / "images/missing").symlink_to(places / "private/new.nii.gz")
    for path in ("file", "folder/a.nii.gz", "folder"):
        with pytest.raises(ValueError, match="expected a path in"):
            folders.to_open(path)
    for path in ("file", "folder/new.nii.gz", "missing"):
        with pytest.raises(ValueError, match="expected a path in"):
            folders.to_save(path)


def test_links_within_are_followed(folders, places):
    (places / "images/link").symlink_to(places / "results/a.nii.gz")
    assert folders.to_open("link") == places / "results/a.nii.gz"


def test_a_home_folder_is_not_expanded(folders):
    with pytest.raises(ValueError, match="there is no such file"):
        folders.to_open("~/a.nii.gz")


def test_missing_files_and_folders_are_said(folders):
    with pytest.raises(ValueError, match=r"received none\.nii: there is no such file"):
        folders.to_open("none.nii")
    with pytest.raises(ValueError, match="expected a folder that there is, received .*/none: make it first"):
        folders.to_save("none/new.nii.gz")
    for path in (".", str(folders.roots[1])):
        with pytest.raises(ValueError, match="expected a file to save, received the folder"):
            folders.to_save(path)


def test_folders_that_are_none_are_refused(places):
    with pytest.raises(ValueError, match="received none: give --folder"):
        Folders([])
    for path in ("none", "images/a.nii.gz"):
        with pytest.raises(ValueError, match="expected a folder, received"):
            Folders([places / path])


def test_files_are_listed_as_they_can_be_opened(folders, places):
    (places / "images/notes.txt").write_text("")
    (places / "images/b.NII").write_text("")
    (places / "images/c.nii").mkdir()
    (places / "images/d.nii").symlink_to(places / "private/a.nii.gz")
    listed = folders.listed((".nii", ".nii.gz"))
    assert listed == ["a.nii.gz", "b.NII", str(places / "results/a.nii.gz")]
    for path in listed:
        assert folders.to_open(path).is_file()
