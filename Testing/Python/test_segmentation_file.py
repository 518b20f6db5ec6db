"""Headers of .seg.nrrd files with several segments, and masks taken out of them by name or number."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from sam3dseg.imageio import Image, read_mask, write_mask
from sam3dseg.segmentation_file import Segment, segment_of, segmentation_header, segments_of

SEGMENTS = [
    Segment("Anterior part", (0.9, 0.2, 0.1), label=1),
    Segment("Nowhere", (0.5, 0.5, 0.5), label=2),
    Segment("Läsion", (0.1, 0.3, 0.9), label=3, tags={"A.b": "c:d"}),
]


@pytest.fixture
def image():
    direction = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, -1]])
    return Image(np.zeros((9, 10, 11), np.int16), (0.7, 1.0, 2.0), direction, np.array([5.0, -3, 8]), "image")


@pytest.fixture
def labels(image):
    labels = np.zeros(image.shape, np.uint8)
    labels[1:4, 2:5, 3:6] = 1
    labels[5:8, 6:9, 2:9] = 3
    return labels


@pytest.fixture
def path(tmp_path, image, labels):
    path = tmp_path / "several.seg.nrrd"
    write_mask(path, labels, image, metadata=segmentation_header(labels, SEGMENTS))
    return path


def test_segments_return_with_name_colour_label_and_tags(path):
    assert segments_of(path) == SEGMENTS


def test_extents_are_those_of_the_segments(labels):
    header = segmentation_header(labels, SEGMENTS)
    assert header["Segment0_Extent"] == "1 3 2 4 3 5"
    assert header["Segment1_Extent"] == "0 -1 0 -1 0 -1"
    assert header["Segment2_Extent"] == "5 7 6 8 2 8"
    assert header["Segment2_ID"] == "Segment_3"


def test_a_segment_is_read_by_name_or_by_value(path, image, labels):
    np.testing.assert_array_equal(read_mask(path, image, label="Läsion"), labels == 3)
    np.testing.assert_array_equal(read_mask(path, image, label="1"), labels == 1)
    np.testing.assert_array_equal(read_mask(path, image), labels > 0)


def test_a_name_goes_before_a_number(tmp_path, image, labels):
    path = tmp_path / "m.seg.nrrd"
    header = segmentation_header(labels, [Segment("3", label=1), Segment("x", label=3)])
    write_mask(path, labels, image, metadata=header)
    assert segment_of(path, "3").label == 1


def test_an_unknown_segment_names_those_there_are(path, image):
    with pytest.raises(ValueError, match=r"no segment 'Liver' in several.seg.nrrd: .* Anterior part, Nowhere, Läsion"):
        read_mask(path, image, label="Liver")
    with pytest.raises(ValueError, match="received an empty one"):
        read_mask(path, image, label="Nowhere")


def test_a_cropped_segmentation_is_put_in_its_place(tmp_path, image, labels):
    cropped = Image(image.array_ijk[4:9, 5:10, 1:10], image.spacing_mm, image.direction_ras, image.ras_of((4, 5, 1)))
    path = tmp_path / "crop.seg.nrrd"
    part = np.ascontiguousarray(labels[4:9, 5:10, 1:10])
    write_mask(path, part, cropped, metadata=segmentation_header(part, SEGMENTS))
    np.testing.assert_array_equal(read_mask(path, image, label="Läsion"), labels == 3)


def test_overlapping_segments_lie_in_layers(tmp_path, image):
    first, second = np.zeros(image.shape, np.uint8), np.zeros(image.shape, np.uint8)
    first[2:7, 2:7, 2:7], second[4:9, 4:9, 4:9] = 1, 1
    both = sitk.Compose([sitk.GetImageFromArray(layer.T) for layer in (first, second)])
    both.SetSpacing(image.spacing_mm)
    flip = np.diag([-1.0, -1, 1])
    both.SetDirection((flip @ image.direction_ras).ravel().tolist())
    both.SetOrigin((flip @ image.origin_ras).tolist())
    for key, value in segmentation_header(first, [Segment("a"), Segment("b", layer=1)]).items():
        both.SetMetaData(key, value)
    sitk.WriteImage(both, str(tmp_path / "layers.seg.nrrd"))
    for name, expected in (("a", first), ("b", second)):
        np.testing.assert_array_equal(read_mask(tmp_path / "layers.seg.nrrd", image, label=name), expected > 0)


def test_a_number_of_a_label_map(tmp_path, image, labels):
    path = tmp_path / "labels.nii.gz"
    write_mask(path, labels, image)
    np.testing.assert_array_equal(read_mask(path, image, label="3"), labels == 3)
    for wrong in ("2", "Läsion", "0", "nan"):
        with pytest.raises(
            ValueError, match=rf"no label '{wrong}' in labels.nii.gz: expected one of its numbers, 1, 3"
        ):
            read_mask(path, image, label=wrong)


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "m.seg.nrrd").write_text("no")
    with pytest.raises(ValueError, match="m.seg.nrrd is no NRRD file"):
        segments_of(tmp_path / "m.seg.nrrd")
