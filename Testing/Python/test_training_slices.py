"""2D slices: every pixel knows where it is, all slices are of one size, and nothing is cut off that need not be."""

from __future__ import annotations

import numpy as np
import pytest
import training_cases

from sam3dseg_training.data.slices import write_slices


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return training_cases.cached(tmp_path_factory.mktemp("slices"), sdf=True, slices=True, crop=[16, 24])


def load(path):
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def test_every_labelled_slice_along_every_axis_is_there(cache):
    case = cache.read("toy/case_000")
    for axis, name in enumerate("RAS"):
        found = [int(path.stem[2:]) for path in sorted((cache.folder / "slices/toy/case_000").glob(f"{name}_*.npz"))]
        others = tuple(a for a in range(3) if a != axis)
        assert found == np.flatnonzero((case.labels > 0).any(axis=others)).tolist()


@pytest.mark.parametrize("name", ["R_0007", "A_0008", "S_0005"])
def test_pixels_are_the_cases_voxels_at_their_place(cache, name):
    case = cache.read("toy/case_000")
    slice_ = load(cache.folder / f"slices/toy/case_000/{name}.npz")
    assert set(slice_) == {"image", "mask", "pointmap", "affine", "slice_idx", "axis", "gt_sdf_path"}
    assert slice_["image"].shape == slice_["mask"].shape == (16, 24) and slice_["image"].dtype == np.int16
    assert (int(slice_["axis"]), int(slice_["slice_idx"])) == ("RAS".index(name[0]), int(name[2:]))
    to_voxel = np.linalg.inv(case.affine_ras)
    for row, column in [(0, 0), (8, 12), (15, 23), (5, 9)]:
        place = slice_["pointmap"][row, column]
        np.testing.assert_allclose((slice_["affine"] @ [row, column, 0, 1])[:3], place, atol=1e-4)
        voxel = np.round((to_voxel @ [*place, 1])[:3], 3).astype(int)
        if (voxel >= 0).all() and (voxel < case.image.shape).all():
            assert slice_["image"][row, column] == case.image[tuple(voxel)]
            assert slice_["mask"][row, column] == case.labels[tuple(voxel)]
        else:
            assert slice_["image"][row, column] == case.image.min() and slice_["mask"][row, column] == 0


def test_no_label_is_cut_off_that_fits(cache):
    case = cache.read("toy/case_000")
    kept = sum(int((load(path)["mask"] == 1).sum()) for path in (cache.folder / "slices/toy/case_000").glob("S_*.npz"))
    assert kept == case.structures["Front"].voxels


def test_distances_are_found_from_the_slice(cache):
    path = str(load(cache.folder / "slices/toy/case_000/S_0005.npz")["gt_sdf_path"])
    assert path == "sdf/toy/case_000.npz" and (cache.folder / path).is_file()


def test_without_a_crop_slices_are_whole(cache, tmp_path):
    case = cache.read("toy/case_000")
    names = write_slices(tmp_path, case, axes=(2,))
    slice_ = load(tmp_path / names[0])
    np.testing.assert_array_equal(slice_["image"], case.image[:, :, 3])
    assert names[0] == "S_0003.npz" and str(slice_["gt_sdf_path"]) == ""


def test_a_crop_smaller_than_the_object_is_centred_on_it(cache, tmp_path):
    case = cache.read("toy/case_000")
    name = write_slices(tmp_path, case, crop=(4, 4), axes=(2,))[0]
    assert (load(tmp_path / name)["mask"] > 0).all()
