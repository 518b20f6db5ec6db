from __future__ import annotations

import json

import numpy as np
import pytest

from sam3dseg.imageio import Image, read_mask, write_mask
from sam3dseg.promptfiles import (
    box_at_ras,
    click_at_ras,
    read_recording,
    requests_as_json,
    segment_metadata,
)
from sam3dseg.prompts import Box, Click, Request


@pytest.fixture
def image() -> Image:
    a = np.radians(25)
    direction = np.array([[-np.cos(a), np.sin(a), 0], [-np.sin(a), -np.cos(a), 0], [0, 0, 1]])
    return Image(np.zeros((20, 24, 12), np.int16), (0.7, 0.7, 3.0), direction, np.array([12.3, -45.6, 78.9]), "i")


CLICKS = [Click((3, 4, 5)), Click((19, 23, 11), False), Click((0, 0, 0))]
BOXES = [Box((1, 2, 3), (10, 11, 9))]
REQUESTS = (Request((BOXES[0], CLICKS[1])), Request((CLICKS[0], CLICKS[2]), chosen=2))


def one_by_one(*prompts):
    return tuple(Request((prompt,)) for prompt in prompts)


def save(path, content):
    path.write_text(json.dumps(content))
    return path


def markup(points, space="LPS", **more):
    points = [{"position": list(p), **extra} for p, extra in points]
    return {"markups": [{"type": "Fiducial", "coordinateSystem": space, "controlPoints": points, **more}]}


def test_our_json_goes_round(tmp_path, image):
    path = tmp_path / "clicks.json"
    path.write_text(requests_as_json(REQUESTS, image))
    assert read_recording(path, image).requests == REQUESTS


def test_a_ras_point_falls_in_the_nearest_voxel(image):
    assert click_at_ras(image.ras_of((3.4, 4.6, 5.0)), image) == Click((3, 5, 5))
    assert click_at_ras(image.ras_of((2.5, 4, 5)), image, is_foreground=False) == Click((3, 4, 5), False)
    assert box_at_ras(image.ras_of((10, 2, 9)), image.ras_of((1, 11, 3)), image) == BOXES[0]


def test_our_json_in_voxels(tmp_path, image):
    content = {"space": "ijk", "clicks": [{"position": [1, 2, 3]}, {"position": [4, 5, 6], "foreground": False}],
               "boxes": [{"lower": [0, 0, 0], "upper": [5, 5, 5]}]}  # fmt: skip
    found = read_recording(save(tmp_path / "c.json", content), image)
    assert found.requests == one_by_one(Box((0, 0, 0), (5, 5, 5)), Click((1, 2, 3)), Click((4, 5, 6), False))
    assert (found.initial, found.initial_name) == (None, "")


def test_prompts_of_one_number_were_given_together(tmp_path, image):
    content = {"space": "ijk", "boxes": [{"lower": [0, 0, 0], "upper": [5, 5, 5], "request": 7}],
               "clicks": [{"position": [1, 2, 3], "request": 7}, {"position": [4, 5, 6], "request": 3}],
               "chosen": {"3": 1}}  # fmt: skip
    found = read_recording(save(tmp_path / "c.json", content), image).requests
    assert found == (Request((Click((4, 5, 6)),), chosen=1), Request((Box((0, 0, 0), (5, 5, 5)), Click((1, 2, 3)))))


def test_boxes_alone_need_no_clicks(tmp_path, image):
    content = {"space": "ijk", "boxes": [{"lower": [0, 0, 0], "upper": [5, 5, 5]}]}
    found = read_recording(save(tmp_path / "c.json", content), image).requests
    assert found == one_by_one(Box((0, 0, 0), (5, 5, 5)))


@pytest.mark.parametrize(("space", "flip"), [("LPS", (-1, -1, 1)), ("RAS", (1, 1, 1))])
def test_slicer_markups_in_both_frames(tmp_path, image, space, flip):
    points = [(image.ras_of(c.ijk) * flip, {"label": f"F-{n}", "positionStatus": "defined"})
              for n, c in enumerate(CLICKS)]  # fmt: skip
    points[1][1]["label"] = "F-2-"
    points.append(((0, 0, 0), {"positionStatus": "undefined"}))
    path = save(tmp_path / "F.mrk.json", markup(points, space))
    assert read_recording(path, image).requests == one_by_one(*CLICKS)


@pytest.mark.parametrize("extra", [{"label": "negative 1"}, {"description": "Background"}, {"description": "-"}])
def test_words_that_mean_outside(tmp_path, image, extra):
    path = save(tmp_path / "F.mrk.json", markup([(image.ras_of((1, 1, 1)), extra)], "RAS"))
    assert read_recording(path, image).requests == one_by_one(Click((1, 1, 1), False))


def test_a_region_of_interest_is_a_box(tmp_path, image):
    low, high = image.ras_of((0.5, 1.5, 2.5)), image.ras_of((10.5, 11.5, 9.5))
    roi = {"type": "ROI", "coordinateSystem": "RAS", "center": list((low + high) / 2), "size": [7, 7, 21],
           "orientation": image.direction_ras.ravel().tolist(), "controlPoints": []}  # fmt: skip
    found = read_recording(save(tmp_path / "R.mrk.json", {"markups": [roi]}), image)
    assert found.requests == one_by_one(Box((1, 2, 3), (10, 11, 9)))


def test_a_segmentation_keeps_its_prompts(tmp_path, image):
    mask = np.zeros(image.shape, bool)
    mask[2:5, 3:7, 4:6] = True
    initial = np.roll(mask, 2, axis=0)
    prompts = requests_as_json(REQUESTS, image, initial_mask="ü|x.nii")
    metadata = segment_metadata(mask, name="Läsion", prompts=prompts, initial=initial, color=(1, 0.5, 0))
    write_mask(tmp_path / "m.seg.nrrd", mask, image, metadata=metadata)
    found = read_recording(tmp_path / "m.seg.nrrd", image)
    assert (found.requests, found.initial_name) == (REQUESTS, "ü|x.nii") and (found.initial == initial).all()
    header = (tmp_path / "m.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    for line in ("Segment0_Name:=Läsion", "Segment0_Color:=1 0.5 0", "Segment0_Extent:=2 4 3 6 4 5",
                 "Segmentation_MasterRepresentation:=Binary labelmap", "space: left-posterior-superior"):  # fmt: skip
        assert line in header


def test_slicer_reads_the_segmentation_and_the_prompts_survive_its_saving(tmp_path, image):
    slicer = pytest.importorskip("slicer", reason="needs slicer-core")
    mask = np.zeros(image.shape, bool)
    mask[2:5, 3:7, 4:6] = True
    prompts = requests_as_json(REQUESTS, image)
    metadata = segment_metadata(mask, name="Lesion", prompts=prompts, initial=~mask, color=(1, 0.5, 0))
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
    found = read_recording(tmp_path / "saved.seg.nrrd", image)
    assert found.requests == REQUESTS and (found.initial == ~mask).all()
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
        ({"clicks": [{"position": [1, 2, 3], "request": 1}, {"position": [1, 2, 3]}]}, "every prompt or with none"),
        ({"clicks": [{"position": [1, 2, 3], "request": "a"}]}, "expected an integer request .* received 'a'"),
        ({"clicks": [{"position": [1, 2, 3], "request": 1}], "chosen": [1]}, "does not hold clicks as expected"),
        ({"markups": 3}, "does not hold clicks as expected"),
    ],
)
def test_other_content_is_refused(tmp_path, image, content, words):
    with pytest.raises(ValueError, match=words):
        read_recording(save(tmp_path / "c.json", content), image)


def test_files_that_are_none_are_refused(tmp_path, image):
    (tmp_path / "c.json").write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match="is not JSON"):
        read_recording(tmp_path / "c.json", image)
    with pytest.raises(FileNotFoundError, match="no such file of clicks"):
        read_recording(tmp_path / "none.json", image)
    (tmp_path / "c.nrrd").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="is no NRRD file"):
        read_recording(tmp_path / "c.nrrd", image)
    write_mask(tmp_path / "m.nrrd", np.ones(image.shape, bool), image)
    with pytest.raises(ValueError, match="keeps no clicks"):
        read_recording(tmp_path / "m.nrrd", image)


def test_voxels_of_a_microscope_keep_their_clicks(tmp_path):
    tiny = Image(np.zeros((300, 20, 20), np.uint8), (2e-5, 3e-5, 1e-4), np.eye(3), np.array([0.1, 0.2, 0.3]), "cells")
    clicks = [Click((299, 1, 2)), Click((298, 1, 3), False)]
    (tmp_path / "c.json").write_text(requests_as_json(one_by_one(*clicks), tiny))
    assert read_recording(tmp_path / "c.json", tiny).requests == one_by_one(*clicks)


def test_millimetres_are_not_written_finer_than_needed(image):
    for value in json.loads(requests_as_json(one_by_one(*CLICKS), image))["clicks"][1]["position"]:
        assert value == round(value, 5)


def test_a_mask_to_start_from_must_fit_the_image(tmp_path, image):
    initial, mask = np.zeros((40, 24, 12), bool), np.ones(image.shape, bool)
    initial[30:35, 3:5, 3:5] = True
    metadata = segment_metadata(mask, name="S", prompts=requests_as_json(REQUESTS, image), initial=initial)
    write_mask(tmp_path / "m.seg.nrrd", mask, image, metadata=metadata)
    with pytest.raises(ValueError, match=r"m.seg.nrrd started from a mask that does not fit i, shape \(20, 24, 12\)"):
        read_recording(tmp_path / "m.seg.nrrd", image)
