"""Bad and unusual input through the command line: a clear line, nothing half-written, nothing lost."""

from __future__ import annotations

import os
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from command_line import refused, write_image

from sam3dseg.cli import main
from sam3dseg.imageio import Image, read_image, read_mask

SHAPE, CENTER = (30, 32, 28), (15, 16, 14)


@pytest.fixture
def ball(make_ellipsoid) -> np.ndarray:
    return make_ellipsoid(SHAPE, CENTER, (7, 8, 6))


@pytest.fixture
def image(ball) -> Image:
    return Image(np.where(ball, 100, 10), (1.0, 0.8, 2.0), np.eye(3), np.array([5.0, 6.0, 7.0]), "ball")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def colour(path: Path) -> None:
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3), str(path))


def complex_values(path: Path) -> None:
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkComplexFloat32), str(path))


def four_axes(path: Path) -> None:
    sitk.WriteImage(sitk.Image([4, 5, 6, 3], sitk.sitkInt16), str(path))


def no_bytes(path: Path) -> None:
    path.touch()


def no_voxels(path: Path) -> None:
    path.write_bytes(b"NRRD0004\ntype: short\ndimension: 3\nsizes: 0 4 5\nencoding: raw\nendian: little\n\n")


def one_line(path: Path) -> None:
    sitk.WriteImage(sitk.Image([1, 1, 9], sitk.sitkInt16), str(path))


def all_missing(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.full((6, 5, 4), np.nan, np.float32)), str(path))


def beyond_float32(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.full((6, 5, 4), 1e300)), str(path))


def sheared(path: Path) -> None:
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkInt16), str(path), useCompression=False)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(1,0,0) (0,1,0)", b"(1,0,0) (0.5,1,0)"))
    assert path.read_bytes() != content


def cut_off(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.random.default_rng(0).random((20, 20, 20))), str(path))
    path.write_bytes(path.read_bytes()[:-5000])


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (four_axes, "a.nii.gz", "expected a 3D volume, received a 4D image of size (4, 5, 6, 3)"),
        (colour, "a.nrrd", "expected one value per voxel, received 3 (colour or vector image)"),
        (complex_values, "a.nii", "expected real intensities, received complex"),
        (no_bytes, "a.nii.gz", "cannot read a.nii.gz"),
        (no_bytes, "a.nrrd", "cannot read a.nrrd"),
        (no_voxels, "a.nrrd", "size is zero"),
        (one_line, "a.nrrd", "image must span at least two axes, got shape (1, 1, 9)"),
        (all_missing, "a.nii", "image has no finite voxel"),
        (beyond_float32, "a.nrrd", "rescale the image"),
        (sheared, "a.nrrd", "sheared"),
        (cut_off, "a.nii", "a.nii is cut off"),
        (cut_off, "a.nii.gz", "a.nii.gz is damaged or cut off"),
        (cut_off, "a.mha", "cannot read a.mha"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_unusable_images_are_refused_before_the_model_loads(run, tmp_path, make, name, words):
    make(tmp_path / name)
    refused(run("segment", tmp_path / name, "--click", "0,0,0", "-o", tmp_path / "m.nrrd"), words)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "uint64", "float32", "float64"])
def test_every_number_type_is_segmented(run, tmp_path, image, ball, dtype):
    write_image(tmp_path / "a.nrrd", image.array_ijk.astype(dtype), image)
    assert run("segment", tmp_path / "a.nrrd", "--click", "15,16,14", "-o", tmp_path / "m.nrrd")[0] == 0
    assert dice(read_mask(tmp_path / "m.nrrd", image), ball) > 0.8


def test_huge_intensities_are_segmented(run, tmp_path, image, ball):
    write_image(tmp_path / "a.nii.gz", np.where(ball, 1.7e6, -3e5).astype(np.float32), image)
    assert run("segment", tmp_path / "a.nii.gz", "--click", "15,16,14", "-o", tmp_path / "m.nrrd")[0] == 0
    assert dice(read_mask(tmp_path / "m.nrrd", image), ball) > 0.8


def test_missing_values_are_filled_with_one_warning(run, tmp_path, image, ball, caplog):
    array = image.array_ijk.astype(np.float32)
    array[0], array[1, 0, 0] = np.nan, np.inf
    write_image(tmp_path / "a.nii.gz", array, image)
    files = [tmp_path / name for name in ("m.nrrd", "p.png")]
    words = ("segment", tmp_path / "a.nii.gz", "--click", "15,16,14", "-o", files[0], "--preview", files[1])
    assert run(*words)[0] == 0
    assert caplog.text.count("NaN or infinite voxels take the smallest") == 1
    assert dice(read_mask(files[0], image), ball) > 0.8


def test_an_image_that_is_constant_where_it_is_finite_is_named(run, tmp_path, image, caplog):
    array = np.full(SHAPE, 7, np.float32)
    array[0] = np.nan
    write_image(tmp_path / "a.nii.gz", array, image)
    assert run("segment", tmp_path / "a.nii.gz", "--click", "15,16,14", "-o", tmp_path / "m.nrrd")[0] == 0
    assert "every voxel of a.nii.gz has the same intensity" in caplog.text


def test_a_single_slice_is_segmented_with_every_output(run, tmp_path, make_ellipsoid):
    disc = make_ellipsoid((60, 50, 1), (30, 25, 0), (12, 9, 1))
    plane = Image(np.where(disc, 100, 10).astype(np.int16), (1.0, 1.0, 5.0), np.eye(3), np.zeros(3))
    write_image(tmp_path / "a.nii.gz", plane.array_ijk, plane)
    files = [tmp_path / name for name in ("m.seg.nrrd", "s.stl", "p.png")]
    code, _, err, _ = run("segment", tmp_path / "a.nii.gz", "--click", "30,25,0", "-o", files[0],
                          "--surface", files[1], "--preview", files[2])  # fmt: skip
    assert (code, err) == (0, "") and all(path.stat().st_size for path in files)
    assert dice(read_mask(files[0], plane), disc) > 0.9


def test_all_48_orientations_give_the_same_mask_for_a_click_in_ras(run, tmp_path, image, ball):
    array = (image.array_ijk + np.random.default_rng(0).normal(0, 5, SHAPE)).astype(np.float32)
    x, y, z = image.ras_of(CENTER)
    reference = None
    for number, (perm, signs) in enumerate(product(permutations(range(3)), product((1, -1), repeat=3))):
        flip = tuple(slice(None, None, sign) for sign in signs)
        first = [0 if sign > 0 else SHAPE[axis] - 1 for axis, sign in zip(perm, signs, strict=True)]
        corner = [0, 0, 0]
        for axis, index in zip(perm, first, strict=True):
            corner[axis] = index
        turned = Image(array.transpose(perm)[flip], tuple(image.spacing_mm[axis] for axis in perm),
                       np.eye(3)[:, perm] * signs, image.ras_of(corner))  # fmt: skip
        path = write_image(tmp_path / f"{number}.nii.gz", np.ascontiguousarray(turned.array_ijk), turned)
        assert run("segment", path, "--ras", "--click", f"{x},{y},{z}", "-o", tmp_path / "m.nii.gz")[0] == 0
        mask = read_mask(tmp_path / "m.nii.gz", turned)[flip].transpose(np.argsort(perm))
        reference = mask if reference is None else reference
        np.testing.assert_array_equal(mask, reference)
    assert dice(reference, ball) > 0.8


class RunsCode:
    """Pickles into a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def weights_file(path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch")
    embedded = Path(__file__).resolve().parents[2] / "SAM3DSegment/Resources/Weights/embedded.safetensors"
    if kind == "cut off":
        path.write_bytes(embedded.read_bytes()[:100_000])
    elif kind == "corrupted":
        content = bytearray(embedded.read_bytes())
        content[-10] ^= 1
        path.write_bytes(content)
    elif kind == "of another architecture":
        torch.save({"conv1.weight": torch.zeros(1).expand(64, 3, 7, 7)}, path)
    else:
        torch.save({"model_state_dict": RunsCode(f"touch {path.with_name('witness')}")}, path)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("cut off", "w.safetensors", "w.safetensors is damaged, incomplete or no weights file"),
        ("corrupted", "w.safetensors", "do not match their checksum"),
        ("of another architecture", "w.pth", "w.pth holds 1 unknown tensors: expected SAM-Med3D"),
        ("that run code", "w.pth", "was refused"),
    ],
)
def test_unusable_weights_are_refused(tmp_path, image, capsys, kind, name, words):
    write_image(tmp_path / "a.nrrd", image.array_ijk.astype(np.int16), image)
    weights_file(tmp_path / name, kind)
    argv = ["segment", tmp_path / "a.nrrd", "--click", "15,16,14", "-o", tmp_path / "m.nrrd", "--device", "cpu"]
    code = main([str(word) for word in [*argv, "--model", tmp_path / name]])
    out, err = capsys.readouterr()
    refused((code, out, err, []), words)
    assert sorted(os.listdir(tmp_path)) == ["a.nrrd", name]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")])
@pytest.mark.parametrize("name", ["m.nii.gz", "m.seg.nrrd", "m.stl", "m.png"])
def test_a_disk_that_fails_in_the_end_keeps_the_old_file(run, tmp_path, image, monkeypatch, name, error):
    write_image(tmp_path / "a.nrrd", image.array_ijk.astype(np.int16), image)
    (tmp_path / name).write_bytes(b"precious")
    option = {".stl": "--surface", ".png": "--preview"}.get(Path(name).suffix, "-o")

    def fail(*_args):
        raise error

    monkeypatch.setattr(os, "replace", fail)
    code, out, err, _ = run("segment", tmp_path / "a.nrrd", "--click", "15,16,14", option, tmp_path / name)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert f"cannot write {tmp_path / name}: " in err and "nothing was changed" in err
    assert sorted(os.listdir(tmp_path)) == ["a.nrrd", name] and (tmp_path / name).read_bytes() == b"precious"


def test_an_output_below_a_file_is_refused_before_the_model_loads(run, tmp_path, image):
    write_image(tmp_path / "a.nrrd", image.array_ijk.astype(np.int16), image)
    result = run("segment", tmp_path / "a.nrrd", "--click", "15,16,14", "-o", tmp_path / "a.nrrd" / "m.nrrd")
    refused(result, f"the folder {tmp_path / 'a.nrrd'} does not exist")
    assert read_image(tmp_path / "a.nrrd").shape == SHAPE
