"""Files from the browser: private, size-limited, gone at the end."""

from __future__ import annotations

import asyncio
import stat

import pytest

from sam3dseg_viewer.uploads import Uploads, safe_name


async def chunks(*parts):
    for part in parts:
        yield part


async def broken(*parts):
    for part in parts:
        yield part
    raise ConnectionResetError("the browser went away")


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Uploads(max_bytes=10)
    yield made
    made.close()


def received(uploads, name, parts, **how):
    return asyncio.run(uploads.receive(name, parts, **how))


def left(uploads):
    return list(uploads.folder.rglob("*"))


def test_a_file_is_written_where_only_its_owner_sees_it(uploads):
    path = received(uploads, "ct.nii.gz", chunks(b"12345", b"67890"), announced=10)
    assert path.read_bytes() == b"1234567890" and path.name == "ct.nii.gz"
    for folder in (uploads.folder, path.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_two_files_of_one_name_do_not_meet(uploads):
    first = received(uploads, "a.nii", chunks(b"1"))
    second = received(uploads, "a.nii", chunks(b"2"))
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")


def test_more_than_announced_is_refused_before_anything_is_written(uploads):
    async def unasked():
        raise AssertionError("nothing was to be read")
        yield b""

    with pytest.raises(ValueError, match="expected a file of at most .* received 11 bytes or more: see --max-upload"):
        received(uploads, "a.nii", unasked(), announced=11)
    assert left(uploads) == []


@pytest.mark.parametrize("announced", [None, 3])
def test_more_than_allowed_is_refused_whatever_was_announced(uploads, announced):
    with pytest.raises(ValueError, match="expected a file of at most"):
        received(uploads, "a.nii", chunks(b"12345", b"67890", b"1"), announced=announced)
    assert left(uploads) == []


def test_nothing_is_left_of_a_transfer_that_broke(uploads):
    with pytest.raises(ConnectionResetError):
        received(uploads, "a.nii", broken(b"12345"))
    assert left(uploads) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ct.nii.gz", "ct.nii.gz"),
        ("../../etc/passwd", "passwd"),
        ("C:\\scans\\my ct.nii", "my ct.nii"),
        ("/abs/a.nrrd", "a.nrrd"),
        ("a\0b;$(x).nii", "a_b___x_.nii"),
        ("Schädel.nii", "Schädel.nii"),
        (".hidden.nii", "hidden.nii"),
        ("x" * 300 + ".nii.gz", "x" * 93 + ".nii.gz"),
    ],
)
def test_only_the_file_name_is_kept_and_only_what_is_harmless(name, expected):
    assert safe_name(name) == expected


@pytest.mark.parametrize("name", ["", "..", "/", "a/", "...", "  "])
def test_a_name_without_anything_in_it_is_refused(uploads, name):
    with pytest.raises(ValueError, match="expected a file's name"):
        received(uploads, name, chunks(b"1"))
    assert left(uploads) == []


def test_removing_takes_the_file_and_nothing_else(uploads, tmp_path):
    kept, gone = (received(uploads, "a.nii", chunks(b"1")) for _ in range(2))
    other = tmp_path / "other.nii"
    other.write_text("")
    uploads.remove(gone)
    uploads.remove(other)
    assert kept.exists() and other.exists() and not gone.parent.exists()


def test_nothing_stays_after_closing(uploads):
    received(uploads, "a.nii", chunks(b"1"))
    uploads.close()
    assert not uploads.folder.exists()
