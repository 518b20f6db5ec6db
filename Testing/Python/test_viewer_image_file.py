"""Headers that name voxels elsewhere are refused."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from sam3dseg_viewer.image_file import read_image_file

NRRD = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n{line}\n"
META = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\n{line}\n"
ELSEWHERE = ("/etc/hostname", "../voxels.raw", "C:\\voxels.raw", "sub/../../voxels.raw")


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize(
    "file, header",
    [
        ("x.nrrd", NRRD.format(line="data file: {name}")),
        ("x.nhdr", NRRD.format(line="datafile: {name}")),
        ("x.nhdr", NRRD.format(line="Data File: LIST\nvoxels.raw\n{name}")),
        ("x.mha", META.format(line="ElementDataFile = {name}")),
        ("X.MHD", META.format(line="elementdatafile={name}")),
        ("x.mhd", META.format(line="ElementDataFile = LIST\nvoxels.raw\n{name}")),
    ],
)
def test_voxels_in_another_folder_are_refused(tmp_path, file, header, name):
    (tmp_path / file).write_text(header.format(name=name))
    with pytest.raises(ValueError, match="has its voxels in another folder, .*: put both files into one folder"):
        read_image_file(tmp_path / file)


@pytest.mark.parametrize("file", ["x.nrrd", "x.nhdr", "x.mha", "x.mhd", "x.nii.gz"])
def test_what_itk_writes_is_fine(tmp_path, file):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / file))
    assert (read_image_file(tmp_path / file).array_ijk == array.T).all()


def test_what_is_no_file_is_told_as_elsewhere(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such image: .*x.nrrd; check the path"):
        read_image_file(tmp_path / "x.nrrd")
