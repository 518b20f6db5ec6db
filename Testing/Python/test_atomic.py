from __future__ import annotations

import os

import pytest

from sam3dseg.atomic import check_output, replacing, suffix_of

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".seg.nrrd")


def test_the_longest_ending_counts():
    assert suffix_of("a/b.SEG.nrrd", SUFFIXES) == ".seg.nrrd"
    assert suffix_of("b.nii.gz", SUFFIXES) == ".nii.gz"
    for name in ("b.png", ".nrrd", "b"):
        with pytest.raises(ValueError, match="expected a name ending in .nii, .nii.gz"):
            suffix_of(name, SUFFIXES)


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.nrrd"
    path.write_text("old")
    with pytest.raises(ValueError, match="broken"), replacing(path) as temporary:
        temporary.write_text("half")
        raise ValueError("broken")
    with replacing(path):
        pass
    assert path.read_text(encoding="utf-8") == "old" and os.listdir(tmp_path) == ["a.nrrd"]


def test_success_replaces_in_one_step_with_ordinary_permissions(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path and temporary.name.endswith(".nii.gz")
        temporary.write_text("new")
        assert path.read_text(encoding="utf-8") == "old"
    (tmp_path / "plain").touch()
    assert path.read_text(encoding="utf-8") == "new" and path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_operating_system_errors_become_one_line(tmp_path):
    words = r"cannot write .*a.nrrd: no space left on device; nothing was changed"
    with pytest.raises(OSError, match=words), replacing(tmp_path / "a.nrrd") as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert not os.listdir(tmp_path)


def test_outputs_are_checked_before_the_work(tmp_path, monkeypatch):
    check_output(tmp_path / "a.nrrd", SUFFIXES)
    assert not os.listdir(tmp_path)
    with pytest.raises(OSError, match="the folder .*missing does not exist"):
        check_output(tmp_path / "missing" / "a.nrrd", SUFFIXES)
    with pytest.raises(ValueError, match="cannot tell the format"):
        check_output(tmp_path / "a.png", SUFFIXES)
    (tmp_path / "b.nrrd").mkdir()
    with pytest.raises(OSError, match="it is a folder"):
        check_output(tmp_path / "b.nrrd", SUFFIXES)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    with pytest.raises(PermissionError, match="cannot write .*a.nrrd: permission denied"):
        check_output(tmp_path / "a.nrrd", SUFFIXES)
