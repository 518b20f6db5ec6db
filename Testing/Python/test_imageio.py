from __future__ import annotations

import itertools
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from sam3dseg.imageio import Image, read_image, read_mask, write_mask

PACKAGE_ROOT = Path(__file__).resolve().parents[2] / "SAM3DSegment"
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".seg.nrrd")


def oblique() -> np.ndarray:
    a, b = np.radians(20), np.radians(-35)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return about_z @ about_x


@pytest.fixture
def image() -> Image:
    array = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    return Image(array, (0.8, 0.9, 2.5), oblique(), np.array([10.0, -20.0, 33.0]), "oblique")


@pytest.fixture
def mask(image) -> np.ndarray:
    mask = np.zeros(image.shape, bool)
    mask[1:4, 2:5, 3:6] = True
    return mask


def save(path: Path, array_ijk: np.ndarray, **kwargs) -> Path:
    itk_image = sitk.GetImageFromArray(array_ijk.T, **kwargs)
    sitk.WriteImage(itk_image, str(path))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_masks_return_in_the_same_place(tmp_path, image, mask, suffix):
    path = tmp_path / f"mask{suffix}"
    write_mask(path, mask, image)
    back = read_image(path)
    assert back.array_ijk.dtype == np.uint8 and (back.array_ijk == mask).all()
    np.testing.assert_allclose(back.spacing_mm, image.spacing_mm, atol=1e-5)
    np.testing.assert_allclose(back.direction_ras, image.direction_ras, atol=1e-5)
    np.testing.assert_allclose(back.origin_ras, image.origin_ras, atol=1e-4)
    assert os.listdir(tmp_path) == [path.name]
    assert (read_mask(path, image) == mask).all()


def test_lps_becomes_ras(tmp_path):
    itk_image = sitk.Image(4, 5, 6, sitk.sitkInt16)
    itk_image.SetOrigin((1, 2, 3))
    itk_image.SetSpacing((1, 2, 3))
    itk_image[1, 2, 3] = 7
    sitk.WriteImage(itk_image, str(tmp_path / "a.nrrd"))
    image = read_image(tmp_path / "a.nrrd")
    assert image.array_ijk[1, 2, 3] == 7 and image.array_ijk.shape == (4, 5, 6)
    np.testing.assert_allclose(image.ras_of((1, 2, 3)), (-(1 + 1), -(2 + 4), 3 + 9))
    np.testing.assert_allclose(image.ijk_of(image.ras_of((1.5, 2, 3))), (1.5, 2, 3), atol=1e-12)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3)))[::2])
def test_axis_orders_and_left_handed_directions_survive(tmp_path, image, mask, axes):
    direction = np.eye(3)[:, axes] * (1, -1, 1)
    turned = Image(image.array_ijk, image.spacing_mm, direction, image.origin_ras)
    write_mask(tmp_path / "m.nrrd", mask, turned)
    np.testing.assert_allclose(read_image(tmp_path / "m.nrrd").direction_ras, direction, atol=1e-9)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64", "uint8", "float32", "int16"])
def test_every_number_type_is_read(tmp_path, dtype):
    array = (np.arange(60).reshape(3, 4, 5) * 30_000).astype(dtype)
    assert (read_image(save(tmp_path / "a.nrrd", array)).array_ijk == array).all()


def test_a_plane_becomes_a_volume_of_one_slice(tmp_path):
    sitk.WriteImage(sitk.Image(4, 5, sitk.sitkInt16), str(tmp_path / "plane.nrrd"))
    assert read_image(tmp_path / "plane.nrrd").shape == (4, 5, 1)
    sitk.WriteImage(sitk.Image([4, 5, 6, 1], sitk.sitkInt16), str(tmp_path / "single.nii.gz"))
    assert read_image(tmp_path / "single.nii.gz").shape == (4, 5, 6)


def test_four_dimensions_are_refused(tmp_path):
    sitk.WriteImage(sitk.Image([4, 5, 6, 3], sitk.sitkInt16), str(tmp_path / "a.nii.gz"))
    with pytest.raises(ValueError, match=r"4D image of size \(4, 5, 6, 3\) in a.nii.gz; extract one volume"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["colour.nrrd", "colour.nii.gz", "colour.mha"])
def test_colour_is_refused(tmp_path, name):
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3), str(tmp_path / name))
    with pytest.raises(ValueError, match="received 3 .colour or vector image."):
        read_image(tmp_path / name)


def test_complex_is_refused(tmp_path):
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkComplexFloat32), str(tmp_path / "a.nii.gz"))
    with pytest.raises(ValueError, match="expected real intensities, received complex"):
        read_image(tmp_path / "a.nii.gz")


def test_sheared_nifti_is_refused(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    affine = np.eye(4)
    affine[0, 1] = 0.4
    picture = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine)
    picture.header.set_qform(None, code=0)
    picture.header.set_sform(affine, code=1)
    nibabel.save(picture, tmp_path / "sheared.nii")
    with pytest.raises(ValueError, match="sheared.nii is sheared: expected perpendicular image axes"):
        read_image(tmp_path / "sheared.nii")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.txt", "a"])
def test_rubbish_is_refused_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"no image at all")
    with pytest.raises(ValueError, match="cannot read a.*expected an intact") as caught:
        read_image(tmp_path / name)
    assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path, image, mask):
    write_mask(tmp_path / "m.nrrd", mask, image)
    content = (tmp_path / "m.nrrd").read_bytes()
    (tmp_path / "m.nrrd").write_bytes(content[:-30])
    with pytest.raises(ValueError, match="cannot read m.nrrd"):
        read_image(tmp_path / "m.nrrd")


def test_missing_file_and_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such image"):
        read_image(tmp_path / "nowhere.nii")
    with pytest.raises(ValueError, match="expected DICOM slices in the folder .* found none"):
        read_image(tmp_path)


def write_dicom(folder: Path, array_ijk: np.ndarray, uid: str, spacing_k: float = 2.0) -> None:
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(array_ijk.shape[2]):
        plane = sitk.GetImageFromArray(array_ijk[:, :, k : k + 1].T.astype(np.int16))
        tags = {"0008|0060": "CT", "0020|000e": uid, "0020|000d": "1.2.3", "0008|0018": f"{uid}.{k}",
                "0020|0032": f"10\\20\\{30 + spacing_k * k}", "0020|0037": "1\\0\\0\\0\\1\\0", "0020|0013": str(k),
                "0008|0008": "ORIGINAL\\PRIMARY", "0028|0030": "1\\1", "0018|0050": str(spacing_k),
                "0008|0031": time.strftime("%H%M%S")}  # fmt: skip
        for key, value in tags.items():
            plane.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{uid}_{99 - k:02d}.dcm"))  # names do not follow the slices
        writer.Execute(plane)


def test_a_dicom_folder_is_read_and_the_longest_series_taken(tmp_path, caplog):
    array = np.arange(6 * 5 * 7).reshape(6, 5, 7)
    write_dicom(tmp_path / "ct", array, "1.2.3.4")
    write_dicom(tmp_path / "ct", array[:, :, :2], "1.2.3.5")
    with caplog.at_level(logging.WARNING):
        image = read_image(tmp_path / "ct")
    assert (image.array_ijk == array).all() and image.name == "ct"
    np.testing.assert_allclose(image.spacing_mm, (1, 1, 2))
    np.testing.assert_allclose(image.origin_ras, (-10, -20, 30))
    assert "2 DICOM series" in caplog.text and "(7)" in caplog.text


def test_a_mask_on_another_grid_is_refused(tmp_path, image, mask):
    other = Image(image.array_ijk[:4], image.spacing_mm, image.direction_ras, image.origin_ras)
    write_mask(tmp_path / "m.nii.gz", mask[:4], other)
    with pytest.raises(ValueError, match=r"shape \(5, 6, 7\); received m.nii.gz of shape \(4, 6, 7\); resample"):
        read_mask(tmp_path / "m.nii.gz", image)
    moved = Image(image.array_ijk, image.spacing_mm, image.direction_ras, image.origin_ras + 3)
    write_mask(tmp_path / "moved.nii.gz", mask, moved)
    with pytest.raises(ValueError, match="at another place"):
        read_mask(tmp_path / "moved.nii.gz", image)


def test_an_empty_mask_is_refused(tmp_path, image):
    write_mask(tmp_path / "m.nii.gz", np.zeros(image.shape, bool), image)
    with pytest.raises(ValueError, match="received an empty one"):
        read_mask(tmp_path / "m.nii.gz", image)


def test_a_segmentation_cropped_by_slicer_is_put_in_place(tmp_path, image, mask):
    cropped = Image(image.array_ijk[1:4, 2:5, 3:6], image.spacing_mm, image.direction_ras, image.ras_of((1, 2, 3)))
    write_mask(tmp_path / "m.seg.nrrd", mask[1:4, 2:5, 3:6], cropped)
    assert (read_mask(tmp_path / "m.seg.nrrd", image) == mask).all()


def test_wrong_shape_and_unknown_ending_write_nothing(tmp_path, image, mask):
    with pytest.raises(ValueError, match=r"shape \(5, 6, 7\), received \(4, 6, 7\)"):
        write_mask(tmp_path / "m.nrrd", mask[:4], image)
    with pytest.raises(ValueError, match="cannot tell the format of 'm.png': expected a name ending in .nii.gz"):
        write_mask(tmp_path / "m.png", mask, image)
    assert not os.listdir(tmp_path)


FULL_DISK = """
import resource, signal, sys
import numpy as np
from sam3dseg.imageio import Image, write_mask
mask = np.random.default_rng(0).random((40, 50, 60)) > 0.5
image = Image(mask, (1.0, 1.0, 1.0), np.eye(3), np.zeros(3))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    write_mask(sys.argv[1], mask, image)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE") or not hasattr(signal, "SIGXFSZ"), reason="needs POSIX")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_keeps_the_old_file(tmp_path, suffix):
    path = tmp_path / f"mask{suffix}"
    path.write_bytes(b"precious")
    run = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True,
                         env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)})  # fmt: skip
    assert "cannot write" in run.stdout and "nothing was changed" in run.stdout and run.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == [path.name] and path.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_sheared_file_is_refused(tmp_path, name):
    path = save(tmp_path / name, np.zeros((4, 5, 6), np.int16))
    lines = path.read_bytes()
    old, new = {
        "a.nrrd": (b"space directions: (1,0,0) (0,1,0)", b"space directions: (1,0,0) (0.5,1,0)"),
        "a.mha": (b"TransformMatrix = 1 0 0 0 1 0", b"TransformMatrix = 1 0 0 0.5 1 0"),
    }[name]
    assert old in lines
    path.write_bytes(lines.replace(old, new))
    with pytest.raises(ValueError, match=f"{name}.* sheared"):
        read_image(path)


def test_a_header_without_its_data_file_says_what_is_missing(tmp_path):
    save(tmp_path / "a.mhd", np.zeros((4, 5, 6), np.int16))
    (tmp_path / "a.raw").unlink()
    with pytest.raises(ValueError, match="voxels are missing; is its data file complete, and beside it"):
        read_image(tmp_path / "a.mhd")
