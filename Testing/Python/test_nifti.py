"""NIfTI files that ITK would read without a word, and the voxels that it takes for zeros."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from sam3dseg.imageio import read_image

nibabel = pytest.importorskip("nibabel", reason="needs nibabel to write NIfTI")


def save(path: Path, array: np.ndarray, order: str = "<", slope: float = 1.0, inter: float = 0.0) -> Path:
    picture = nibabel.Nifti1Image(array, np.eye(4), nibabel.Nifti1Header(endianness=order))
    picture.header.set_slope_inter(slope, inter)
    nibabel.save(picture, path)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_file_that_lacks_voxels_is_refused(tmp_path, order, suffix, dtype):
    array = np.random.default_rng(0).integers(0, 1000, (20, 21, 22)).astype(dtype)
    path = save(tmp_path / f"a{suffix}", array, order)
    assert (read_image(path).array_ijk == array).all()
    plain = gzip.decompress(path.read_bytes()) if suffix == ".nii.gz" else path.read_bytes()
    short = plain[:-100]
    path.write_bytes(gzip.compress(short) if suffix == ".nii.gz" else short)
    words = f"{path.name} is cut off: expected {len(plain)} bytes, received {len(short)}; get the file again"
    with pytest.raises(ValueError, match=words):
        read_image(path)


@pytest.mark.parametrize("damage", ["cut off", "checksum"])
@pytest.mark.parametrize("size", [5, 60])  # ITK recognises the large one and would read it
def test_damaged_compression_is_refused(tmp_path, damage, size):
    array = np.random.default_rng(0).integers(0, 1000, (size, size, size)).astype(np.int16)
    path = save(tmp_path / "a.nii.gz", array)
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content if damage == "checksum" else content[:-20])
    with pytest.raises(ValueError, match="a.nii.gz is damaged or cut off .*: get the file again"):
        read_image(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_2_is_refused_by_its_name(tmp_path, order):
    header = nibabel.Nifti2Header(endianness=order)
    nibabel.save(nibabel.Nifti2Image(np.zeros((4, 5, 6), np.int16), np.eye(4), header), tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match="expected NIfTI-1, received NIfTI-2 in a.nii.gz: convert it first"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_voxels_that_are_no_numbers_stay_so(tmp_path, order, suffix, dtype):
    array = np.random.default_rng(0).normal(size=(70, 80, 90)).astype(dtype)
    array[3, 4, 5], array[69, 79, 89], array[:, 0, 40] = np.nan, -np.inf, np.inf
    found = read_image(save(tmp_path / f"a{suffix}", array, order)).array_ijk
    np.testing.assert_array_equal(np.isnan(found), ~np.isfinite(array))
    np.testing.assert_allclose(found[np.isfinite(array)], array[np.isfinite(array)], rtol=1e-6)


def test_a_rescaled_file_and_one_with_bytes_behind_its_voxels(tmp_path):
    array = np.arange(60.0).reshape(3, 4, 5).astype(np.float32)
    array[1, 2, 3] = np.nan
    path = save(tmp_path / "a.nii", array, slope=2.0, inter=1.0)
    with path.open("ab") as stream:
        stream.write(np.full(7, np.nan, np.float32).tobytes())
    np.testing.assert_allclose(read_image(path).array_ijk, 2 * array + 1, rtol=1e-5)
