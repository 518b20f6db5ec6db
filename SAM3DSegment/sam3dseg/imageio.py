"""Image files in and masks out through SimpleITK; the border between its (K, J, I), LPS world and (I, J, K), RAS."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from .atomic import replacing, suffix_of
from .geometry import Orientation
from .nifti import missing_voxels
from .segmentation_file import is_segmentation, segment_of

log = logging.getLogger(__name__)

MASK_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".seg.nrrd")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
SAME_GRID_MM = 0.01  # corners of two grids closer than this are the same grid


@dataclass(frozen=True)
class Image:
    """A volume and its place in the patient.

    array_ijk (I, J, K); spacing_mm per index axis; direction_ras (3, 3), whose columns are the RAS unit vectors of the
    index axes; origin_ras (3,), the centre of voxel (0, 0, 0) in RAS mm.
    """

    array_ijk: NDArray
    spacing_mm: tuple[float, float, float]
    direction_ras: NDArray[np.float64]
    origin_ras: NDArray[np.float64]
    name: str = "image"

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.array_ijk.shape

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.spacing_mm)) / 1000

    @property
    def ijk_to_ras(self) -> NDArray[np.float64]:
        """(4, 4) matrix from voxel indices to RAS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction_ras * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.origin_ras
        return matrix

    def ras_of(self, ijk: ArrayLike) -> NDArray[np.float64]:
        """Voxel coordinates (..., 3) -> RAS mm (..., 3)."""
        matrix = self.ijk_to_ras
        return np.asarray(ijk, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]

    def ijk_of(self, ras: ArrayLike) -> NDArray[np.float64]:
        """RAS mm (..., 3) -> fractional voxel coordinates (..., 3)."""
        matrix = np.linalg.inv(self.ijk_to_ras)
        return np.asarray(ras, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read a scalar volume from NIfTI, NRRD, MetaImage, any other format ITK reads, or a folder of DICOM slices.

    A two-dimensional file becomes a volume of one slice; of several DICOM series the one with most slices is taken, and
    logged. Raises OSError when there is no such file, ValueError for 4D, RGB, complex, sheared, damaged or otherwise
    unreadable images.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such image: {path}; check the path")
    with _readable_errors(path):
        image = _from_itk(_read_dicom_folder(path) if path.is_dir() else _read_file(path), path.name)
    try:
        Orientation.from_direction(image.direction_ras)  # NRRD and MetaImage can be sheared
    except ValueError as error:
        raise ValueError(f"cannot use {path.name}: {error}") from error
    return image


def read_mask(path: str | os.PathLike[str], image: Image, *, label: str | None = None) -> NDArray[np.bool_]:
    """Voxels above zero of a mask file as bool (I, J, K) on the grid of `image`.

    label: instead, the voxels of one segment of a .seg.nrrd, by its name, or of one number in a label map.
    A .seg.nrrd, which Slicer crops to its segments, is put in its physical place. Raises ValueError when the mask is
    empty, lies on another grid, or has no such label, OSError when there is no such file.
    """
    mask, array = (read_image(path), None) if label is None else _labelled(Path(path), label)
    array = mask.array_ijk > 0 if array is None else array
    if not _same_grid(mask, image):
        if not is_segmentation(path):
            raise ValueError(
                f"expected a mask on the grid of {image.name}, shape {image.shape}; received {mask.name} of shape "
                f"{mask.shape}{' at another place' if mask.shape == image.shape else ''}; resample it to the image"
            )
        moved = sitk.Resample(_to_itk(array, mask), _to_itk(image.array_ijk, image), sitk.Transform(),
                              sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)  # fmt: skip
        array = sitk.GetArrayFromImage(moved).T > 0
    if not array.any():
        raise ValueError(f"expected a mask with voxels above zero within {image.name}, received an empty one: {path}")
    return array


def _labelled(path: Path, label: str) -> tuple[Image, NDArray[np.bool_]]:
    """A label map and which of its voxels have the label."""
    if not path.is_file():
        raise FileNotFoundError(f"no such mask: {path}; check the path")
    if is_segmentation(path):
        segment = segment_of(path, label)
        with _readable_errors(path):
            labels = _from_itk(_read_file(path, layer=segment.layer), path.name)
        return labels, labels.array_ijk == segment.label
    labels = read_image(path)
    present = np.unique(labels.array_ijk)
    if label not in [f"{value:g}" for value in present if value]:
        numbers = ", ".join(f"{value:g}" for value in present[present != 0][:20]) or "none"
        raise ValueError(f"no label {label!r} in {path.name}: expected one of its numbers, {numbers}")
    return labels, labels.array_ijk == float(label)


def write_mask(
    path: str | os.PathLike[str],
    mask: NDArray[np.bool_] | NDArray[np.uint8],
    image: Image,
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a bool mask or a uint8 label map (I, J, K) on the grid of `image` in 8 bit, compressed where possible.

    `metadata` goes to the file header (NRRD keys). The file is read back before it takes the place of `path`, since
    ITK does not report every failed write. Raises ValueError for another shape or file name ending, OSError when the
    folder is read-only or the disk full; `path` then keeps what it held.
    """
    if mask.shape != image.shape:
        raise ValueError(f"expected a mask of the image's shape {image.shape}, received {mask.shape}")
    suffix_of(path, MASK_SUFFIXES)
    itk_image = _to_itk(mask, image)
    for key, value in (metadata or {}).items():
        itk_image.SetMetaData(key, value)
    with replacing(path) as temporary:
        try:
            sitk.WriteImage(itk_image, str(temporary), useCompression=True)
            complete = np.array_equal(sitk.GetArrayFromImage(_read_file(temporary)).T, mask)
        except (RuntimeError, ValueError) as error:
            raise _write_error(temporary) from error
        if not complete:
            raise _write_error(temporary)


def _read_file(path: Path, *, layer: int | None = None) -> sitk.Image:
    """layer: the one to take of a file with several values per voxel."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    is_nifti = path.name.lower().endswith((".nii", ".nii.gz"))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        if is_nifti:
            missing_voxels(path)  # says what is wrong with it
        raise
    size = reader.GetSize()
    _check_kind(path, reader.GetPixelID(), 1 if layer is not None else reader.GetNumberOfComponents())
    if len(size) < 2 or any(n > 1 for n in size[3:]):
        raise ValueError(
            f"expected a 3D volume, received a {len(size)}D image of size {tuple(size)} in {path.name}; "
            "extract one volume of it first"
        )
    if 0 in size:
        raise ValueError(f"expected at least one voxel per axis, received size {tuple(size)} in {path.name}")
    if len(size) > 3:
        reader.SetExtractSize([*size[:3], *[0] * (len(size) - 3)])
    missing = missing_voxels(path) if is_nifti else None
    image = reader.Execute()
    if image.GetNumberOfComponentsPerPixel() > 1:
        image = sitk.VectorIndexSelectionCast(image, layer)
    if missing is not None:
        image = _with_missing(image, missing)
    return sitk.JoinSeries(image) if image.GetDimension() == 2 else image


def _with_missing(itk_image: sitk.Image, missing: NDArray[np.bool_]) -> sitk.Image:
    """The image with NaN where `missing`, flat with the first axis fastest, says so."""
    array = sitk.GetArrayFromImage(itk_image)
    array.reshape(-1)[missing] = np.nan
    result = sitk.GetImageFromArray(array)
    result.CopyInformation(itk_image)
    return result


def _read_dicom_folder(folder: Path) -> sitk.Image:
    series = {
        uid: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
        for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    }
    if not series:
        raise ValueError(f"expected DICOM slices in the folder {folder}, found none; give the folder of one series")
    chosen = max(series, key=lambda uid: len(series[uid]))
    if len(series) > 1:
        log.warning("%s holds %d DICOM series: taking %s, which has the most slices (%d)", folder, len(series), chosen,
                    len(series[chosen]))  # fmt: skip
    probe = sitk.ImageFileReader()
    probe.SetFileName(series[chosen][0])
    probe.ReadImageInformation()
    _check_kind(folder, probe.GetPixelID(), probe.GetNumberOfComponents())
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(series[chosen])
    image = reader.Execute()
    if image.HasMetaDataKey("ITK_non_uniform_sampling_deviation"):
        log.warning("the slices of %s are not evenly spaced, some may be missing: distances are approximate", folder)
    return sitk.JoinSeries(image) if image.GetDimension() == 2 else image


def _check_kind(path: Path, pixel_id: int, components: int) -> None:
    kind = sitk.GetPixelIDValueAsString(pixel_id)
    if "complex" in kind:
        raise ValueError(f"expected real intensities, received {kind} in {path.name}; take the magnitude first")
    if components != 1:
        raise ValueError(
            f"expected one value per voxel, received {components} (colour or vector image) in {path.name}; "
            "convert it to a grey-value volume first"
        )


def _from_itk(itk_image: sitk.Image, name: str) -> Image:
    array = sitk.GetArrayFromImage(itk_image).T  # (K, J, I) -> (I, J, K), a view
    x, y, z = (float(s) for s in itk_image.GetSpacing())
    return Image(
        array_ijk=array,
        spacing_mm=(x, y, z),
        direction_ras=LPS_TO_RAS @ np.array(itk_image.GetDirection()).reshape(3, 3),
        origin_ras=LPS_TO_RAS @ np.array(itk_image.GetOrigin()),
        name=name,
    )


def _to_itk(array_ijk: NDArray, image: Image) -> sitk.Image:
    array = array_ijk.view(np.uint8) if array_ijk.dtype == bool else array_ijk
    itk_image = sitk.GetImageFromArray(array.T)
    itk_image.SetSpacing(image.spacing_mm)
    itk_image.SetDirection((LPS_TO_RAS @ image.direction_ras).ravel().tolist())
    itk_image.SetOrigin((LPS_TO_RAS @ image.origin_ras).tolist())
    return itk_image


def _same_grid(first: Image, second: Image) -> bool:
    if first.shape != second.shape:
        return False
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) * (np.array(second.shape) - 1)
    return bool(np.abs(first.ras_of(corners) - second.ras_of(corners)).max() < SAME_GRID_MM)


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Turn ITK's multi-line errors into one ValueError, and keep its C++ warnings off the screen."""
    warnings = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "orthonormal" in text or "non-orthogonal" in text:
            raise ValueError(
                f"{path.name} is sheared: expected perpendicular image axes, received an affine that is not; "
                "resample it to a rectangular grid first"
            ) from error
        reason = re.sub(r"^ITK ERROR: |\w+\(0x[0-9a-f]+\): ", "", text.strip().splitlines()[-1]).strip()
        if reason.startswith("Reason: "):  # MetaImage's is that of some earlier call
            reason = "voxels are missing; is its data file complete, and beside it?"
        if "Unable to determine ImageIO reader" in reason:
            reason = "its content is of no format that is known"
        raise ValueError(
            f"cannot read {path.name}: expected an intact NIfTI, NRRD, MetaImage or DICOM image ({reason[:150]})"
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(warnings)


def _write_error(temporary: Path) -> OSError:
    return OSError(None, "the file could not be written completely (disk full or quota reached)", str(temporary))
