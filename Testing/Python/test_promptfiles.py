from __future__ import annotations

import json

import numpy as np
import pytest

from sam3dseg.imageio import Image, read_mask, write_mask
from sam3dseg.promptfiles import (
    box_at_ras,
    click_at_ras,
    prompts_as_json,
    read_prompts,
    segment_metadata,
)
from sam3dseg.prompts import Box, Click


@pytest.fixture
def image() -> Image:
    a = np.radians(25)
    direction = np.array([[-np.cos(a), np.sin(a), 0], [-np.sin(a), -np.cos(a), 0], [0, 0, 1]])
    return Image(np.zeros((20, 24, 12), np.int16), (0.7, 0.7, 3.0), direction, np.array([12.3, -45.6, 78.9]), "i")


CLICKS = [Click((3, 4, 5)), Click((19, 23, 11), False), Click((0, 0, 0))]
BOXES = [Box((1, 2, 3), (10, 11, 9))]


def save(path, content):
    path.write_text(json.dumps(content))
    return path


def markup(points, space="LPS", **more):
    points = [{"position": list(p), **extra} for p, extra in points]
    return {"markups": [{"type": "Fiducial", "coordinateSystem": space, "controlPoints": points, **more}]}


def test_our_json_goes_round(tmp_path, image):
    path = tmp_path / "clicks.json"
    path.write_text(prompts_as_json(CLICKS, BOXES, image))
    assert read_prompts(path, image) == (CLICKS, BOXES)


def test_a_ras_point_falls_in_the_nearest_voxel(image):
    assert click_at_ras(image.ras_of((3.4, 4.6, 5.0)), image) == Click((3, 5, 5))
    assert click_at_ras(image.ras_of((2.5, 4, 5)), image, is_foreground=False) == Click((3, 4, 5), False)
    assert box_at_ras(image.ras_of((10, 2, 9)), image.ras_of((1, 11, 3)), image) == BOXES[0]


def test_our_json_in_voxels(tmp_path, image):
    content = {"space": "ijk", "clicks": [{"position": [1, 2, 3]}, {"position": [4, 5, 6], "foreground": False}],
               "boxes": [{"lower": [0, 0, 0], "upper": [5, 5, 5]}]}  # fmt: skip
    found = read_prompts(save(tmp_path / "c.json", content), image)
    assert found == ([Click((1, 2, 3)), Click((4, 5, 6), False)], [Box((0, 0, 0), (5, 5, 5))])


@pytest.mark.parametrize(("space", "flip"), [("LPS", (-1, -1, 1)), ("RAS", (1, 1, 1))])
def test_slicer_markups_in_both_frames(tmp_path, image, space, flip):
    points = [(image.ras_of(c.ijk) * flip, {"label": f"F-{n}", "positionStatus": "defined"})
              for n, c in enumerate(CLICKS)]  # fmt: skip
    points[1][1]["label"] = "F-2-"
    points.append(((0, 0, 0), {"positionStatus": "undefined"}))
    path = save(tmp_path / "F.mrk.json", markup(points, space))
    assert read_prompts(path, image) == (CLICKS, [])


@pytest.mark.parametrize("extra", [{"label": "negative 1"}, {"description": "Background"}, {"description": "-"}])
def test_words_that_mean_outside(tmp_path, image, extra):
    path = save(tmp_path / "F.mrk.json", markup([(image.ras_of((1, 1, 1)), extra)], "RAS"))
    assert read_prompts(path, image)[0] == [Click((1, 1, 1), False)]


def test_a_region_of_interest_is_a_box(tmp_path, image):
    low, high = image.ras_of((0.5, 1.5, 2.5)), image.ras_of((10.5, 11.5, 9.5))
    roi = {"type": "ROI", "coordinateSystem": "RAS", "center": list((low + high) / 2), "size": [7, 7, 21],
           "orientation": image.direction_ras.ravel().tolist(), "controlPoints": []}  # fmt: skip
    assert read_prompts(save(tmp_path / "R.mrk.json", {"markups": [roi]}), image)[1] == [Box((1, 2, 3), (10, 11, 9))]


def test_a_segmentation_keeps_its_prompts(tmp_path, image):
    mask = np.zeros(image.shape, bool)
    mask[2:5, 3:7, 4:6] = True
    prompts = prompts_as_json(CLICKS, BOXES, image, initial_mask="ü|x.nii")
    metadata = segment_metadata(mask, name="Läsion", prompts=prompts, color=(1, 0.5, 0))
    write_mask(tmp_path / "m.seg.nrrd", mask, image, metadata=metadata)
    assert read_prompts(tmp_path / "m.seg.nrrd", image) == (CLICKS, BOXES)
    header = (tmp_path / "m.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    for line in ("Segment0_Name:=Läsion", "Segment0_Color:=1 0.5 0", "Segment0_Extent:=2 4 3 6 4 5",
                 "Segmentation_MasterRepresentation:=Binary labelmap", "space: left-posterior-superior"):  # fmt: skip
        assert line in header


def test_slicer_reads_the_segmentation_and_the_prompts_survive_its_saving(tmp_path, image):
    slicer = pytest.importorskip("slicer", reason="needs slicer-core")
    mask = np.zeros(image.shape, bool)
    mask[2:5, 3:7, 4:6] = True
    metadata = segment_metadata(mask, name="Lesion", prompts=prompts_as_json(CLICKS, BOXES, image), color=(1, 0.5, 0))
    write_mask(tmp_path / "m.seg.nrrd", mask, image, metadata=metadata)
    scene, node = slicer.vtkMRMLScene(), slicer.vtkMRMLSegmentationNode()
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "m.seg.nrrd"))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 1
    segment = segmentation.GetNthSegment(0)
    assert segment.GetName() == "Lesion" and segment.GetColor() == pytest.approx((1, 0.5, 0))
    storage.SetFileName(str(tmp_path / "saved.seg.nrrd"))
    assert storage.WriteData(node)
    assert read_prompts(tmp_path / "saved.seg.nrrd", image) == (CLICKS, BOXES)
    assert (read_mask(tmp_path / "saved.seg.nrrd", image) == mask).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds a JSON list"),
        ({"other": 1}, "does not hold clicks as expected"),
        ({"clicks": []}, "at least one placed click"),
        ({"clicks": [{"position": [1, 2]}]}, "three finite numbers, received .1, 2."),
        ({"clicks": [{"position": [1, 2, None]}]}, "three finite numbers"),
        ({"clicks": [{"position": [1.5, 2, 3]}], "space": "ijk"}, "expected integer voxel indices"),
        ({"clicks": [{"position": [1, 2, 3]}], "space": "mni"}, "'ras' or 'ijk', received 'mni'"),
        ({"clicks": [{"position": [1, 2, 3]}], "version": 7}, "version 1 .* received 7"),
        ({"markups": [{"type": "Fiducial", "coordinateSystem": "XYZ"}]}, "expected markups in LPS or RAS"),
        ({"markups": [{"type": "Fiducial"}]}, "does not hold clicks as expected .KeyError"),
        ({"markups": 3}, "does not hold clicks as expected"),
    ],
)
def test_other_content_is_refused(tmp_path, image, content, words):
    with pytest.raises(ValueError, match=words):
        read_prompts(save(tmp_path / "c.json", content), image)


def test_files_that_are_none_are_refused(tmp_path, image):
    (tmp_path / "c.json").write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match="is not JSON"):
        read_prompts(tmp_path / "c.json", image)
    with pytest.raises(FileNotFoundError, match="no such file of clicks"):
        read_prompts(tmp_path / "none.json", image)
    (tmp_path / "c.nrrd").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="is no NRRD file"):
        read_prompts(tmp_path / "c.nrrd", image)
    write_mask(tmp_path / "m.nrrd", np.ones(image.shape, bool), image)
    with pytest.raises(ValueError, match="keeps no clicks"):
        read_prompts(tmp_path / "m.nrrd", image)
