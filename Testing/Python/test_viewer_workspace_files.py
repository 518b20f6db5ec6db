"""What the page saves and opens again: segments, label maps, surfaces, scenes, and the prompts in them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer  # noqa: E402
from slicer_host.fixtures import scene  # noqa: E402, F401
from slicer_host.scene import segmentVoxels  # noqa: E402
from viewer_workspace import image_of_blobs, make_workspace, settle, voxels, workspace  # noqa: E402, F401

from sam3dseg.imageio import read_image, read_mask, write_mask  # noqa: E402
from sam3dseg.segmentation_file import segments_of  # noqa: E402
from sam3dseg_viewer import saving  # noqa: E402
from SAM3DSegmentLib.Editor.PromptStore import PromptStore  # noqa: E402

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
BACKGROUND = (34, 24, 27)
OBLIQUE = np.array([[0.0, -0.8, 0.6], [0.0, 0.6, 0.8], [-1.0, 0.0, 0.0]])


@pytest.fixture
def image_file(tmp_path):
    """The blobs, slanted and anisotropic, as a file."""
    place = {"spacing_mm": (1.5, 1.0, 2.0), "direction_ras": OBLIQUE, "origin_ras": np.array([30.0, -40.0, 50.0])}
    image = image_of_blobs(**place)
    write_mask(tmp_path / "image.nii.gz", image.array_ijk.astype(np.uint8), image)
    return tmp_path / "image.nii.gz"


@pytest.fixture
def edited(make_workspace, image_file):
    """Two segments: one click, and two; the second is selected."""
    workspace = make_workspace(None)
    workspace.open_image(image_file)
    image = read_image(image_file)
    workspace.click(image.ras_of(FIRST))
    settle(workspace)
    workspace.add_segment("Tumour, links")
    for ijk, is_foreground in ((SECOND, True), (BACKGROUND, False)):
        workspace.click(image.ras_of(ijk), is_foreground)
        settle(workspace)
    return workspace


def masks(workspace):
    return [voxels(workspace, row.id) for row in workspace.segments]


def test_the_command_line_replays_what_was_saved(edited, run, image_file, tmp_path):
    edited.remove(edited.segments[0].id)
    assert edited.save(tmp_path / "x.seg.nrrd") == [tmp_path / "x.seg.nrrd"]
    code, _, err, _ = run("segment", image_file, "--clicks", tmp_path / "x.seg.nrrd", "-o", tmp_path / "again.nii.gz")
    assert code == 0, err
    again = read_image(tmp_path / "again.nii.gz").array_ijk > 0
    assert (again == voxels(edited)).all() and again.any()
    clicks = [f"{','.join(map(str, SECOND))}", f"{','.join(map(str, BACKGROUND))}-"]
    run("segment", image_file, "--click", clicks[0], "--click", clicks[1], "-o", tmp_path / "clicked.nii.gz")
    assert (read_image(tmp_path / "clicked.nii.gz").array_ijk > 0).tolist() == again.tolist()


def test_saved_segments_come_back_as_they_were(edited, scene, tmp_path):
    rows, before, count = edited.segments, masks(edited), scene.mrml.GetNumberOfNodes()
    edited.select(rows[1].id)
    prompts = edited.prompts
    edited.save(tmp_path / "x.seg.nrrd")
    assert [(s.name, len(s.color)) for s in segments_of(tmp_path / "x.seg.nrrd")] == [
        ("Segment 1", 3),
        ("Tumour, links", 3),
    ]
    edited.remove(rows[0].id)
    edited.open_segmentation(tmp_path / "x.seg.nrrd")
    assert edited.segments == rows and not edited.can_undo and scene.mrml.GetNumberOfNodes() == count
    assert all((a == b).all() for a, b in zip(before, masks(edited), strict=True))
    edited.select(rows[1].id)
    assert [p.isForeground for p in edited.prompts] == [True, False]
    assert np.allclose([p.ras for p in edited.prompts], [p.ras for p in prompts])


def test_one_goes_on_clicking_after_reopening(edited, tmp_path, image_file, segmenter):
    edited.save(tmp_path / "x.seg.nrrd")
    edited.open_segmentation(tmp_path / "x.seg.nrrd")
    edited.select(edited.segments[1].id)
    edited.click(read_image(image_file).ras_of((36, 24, 22)))
    settle(edited)
    assert len(edited.prompts) == 3 and len(segmenter.decoded[-1]["points"]) == 3
    assert edited.segments[1].clicks == 3
    edited.undo()
    assert len(edited.prompts) == 2


def test_the_prompts_of_the_command_line_come_back_as_prompts(make_workspace, run, image_file, tmp_path):
    run("segment", image_file, "--click", "14,20,18", "--click", "14,20,24-", "-o", tmp_path / "x.seg.nrrd")
    workspace = make_workspace(None)
    workspace.open_image(image_file)
    workspace.open_segmentation(tmp_path / "x.seg.nrrd")
    image = read_image(image_file)
    assert [p.isForeground for p in workspace.prompts] == [True, False]
    assert np.allclose([p.ras for p in workspace.prompts], image.ras_of([FIRST, (14, 20, 24)]), atol=1e-3)
    assert (voxels(workspace) == read_mask(tmp_path / "x.seg.nrrd", image)).all()
    workspace.click(image.ras_of((15, 20, 18)))
    settle(workspace)
    assert len(workspace.prompts) == 3


def test_a_label_map_numbers_the_segments_on_the_image_s_grid(edited, image_file, tmp_path):
    first, second = masks(edited)
    edited.save(tmp_path / "x.nii.gz")
    labels, image = read_image(tmp_path / "x.nii.gz"), read_image(image_file)
    assert (labels.array_ijk == np.where(second, 2, first)).all() and set(np.unique(labels.array_ijk)) == {0, 1, 2}
    assert np.allclose(labels.ijk_to_ras, image.ijk_to_ras, atol=1e-4)


def test_an_empty_segment_keeps_its_number_in_a_label_map(edited, tmp_path):
    edited.add_segment()
    edited.remove(edited.segments[0].id)
    edited.save(tmp_path / "x.nii.gz")
    assert set(np.unique(read_image(tmp_path / "x.nii.gz").array_ijk)) == {0, 1}


def test_each_segment_has_a_surface_file_in_lps(edited, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    paths = edited.save(tmp_path / "x.stl")
    assert [path.name for path in paths] == ["x-Segment_1.stl", "x-Tumour_links.stl"]
    for path, mask in zip(paths, masks(edited), strict=True):
        assert b"SPACE=LPS" in path.read_bytes()[:80]
        center = trimesh.load(path).bounds.mean(axis=0) * (-1, -1, 1)
        corners = np.argwhere(mask)
        ras = read_image(tmp_path / "image.nii.gz").ras_of(corners)
        assert np.allclose(center, (ras.min(axis=0) + ras.max(axis=0)) / 2, atol=1.0)
    edited.remove(edited.segments[0].id)
    assert edited.save(tmp_path / "one.stl") == [tmp_path / "one.stl"]


def test_surfaces_of_segments_of_one_name_are_numbered(edited, tmp_path):
    for row in edited.segments:
        edited.rename(row.id, "?")
    assert [path.name for path in edited.save(tmp_path / "x.stl")] == ["x-1.stl", "x-2.stl"]


def test_a_scene_opens_in_slicer_with_volume_segments_and_prompts(edited, scene, tmp_path):
    edited.set_visible(edited.segments[0].id, False)
    rows, before, name = edited.segments, masks(edited), edited.volume.GetName()
    edited.save(tmp_path / "my scene.mrb")
    edited.close()
    scene.open(tmp_path / "my scene.mrb")
    (volume,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    image = read_image(tmp_path / "image.nii.gz")
    assert volume.GetName() == name and (image.array_ijk == slicer.util.arrayFromVolume(volume).T).all()
    assert node.GetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole()) == volume.GetID()
    assert [node.GetDisplayNode().GetSegmentVisibility(row.id) for row in rows] == [False, True]
    for row, mask in zip(rows, before, strict=True):
        segment = node.GetSegmentation().GetSegment(row.id)
        assert segment.GetName() == row.name and segment.GetColor() == pytest.approx(row.color, abs=1e-3)
        assert (segmentVoxels(node, row.id, volume) == mask).all()
        assert len(PromptStore().read(segment).step.clicks) == row.clicks
    assert scene.errors == []


def test_a_scene_shows_the_whole_image_in_slicer_s_views_and_warns_of_nothing(edited, tmp_path):
    edited.save(tmp_path / "x.mrb")
    with zipfile.ZipFile(tmp_path / "x.mrb") as archive:
        content = ElementTree.fromstring(archive.read("scene/scene.mrml"))
    assert content.get("version").startswith("Slicer 5.")  # of others, Slicer says that they may not open
    volume = content.find("Volume").get("id")
    assert {node.get("layoutName") for node in content.iter("SliceComposite") if volume in node.get("references")} == {
        "Red",
        "Green",
        "Yellow",
    }
    bounds = [0.0] * 6
    edited.volume.GetRASBounds(bounds)
    center = np.add(bounds[::2], bounds[1::2]) / 2
    for node in content.iter("Slice"):
        assert node.get("layoutLabel") == node.get("layoutName")[0] and node.get("name") == node.get("layoutName")
        matrix = np.array(node.get("sliceToRAS").split(), dtype=float).reshape(4, 4)
        assert np.allclose(matrix[:3, 3], center, atol=1.0)
        assert float(node.get("fieldOfView").split()[0]) >= max(np.subtract(bounds[1::2], bounds[::2])) - 0.01
    (camera,) = content.iter("Camera")
    assert np.allclose(np.array(camera.get("focalPoint").split(), dtype=float), center, atol=1e-3)


def test_a_scene_opens_again_with_its_prompts(edited, make_workspace, tmp_path, segmenter):
    rows, before = edited.segments, masks(edited)
    edited.save(tmp_path / "x.mrb")
    edited.close()
    again = make_workspace(None)
    again.open_scene(tmp_path / "x.mrb")
    assert again.segments == rows and all((a == b).all() for a, b in zip(before, masks(again), strict=True))
    again.select(rows[1].id)
    assert len(again.prompts) == 2
    again.click(read_image(tmp_path / "image.nii.gz").ras_of((36, 24, 22)))
    settle(again)
    assert len(segmenter.decoded[-1]["points"]) == 3


def test_a_scene_without_segments_keeps_the_image(workspace, tmp_path):
    workspace.save(tmp_path / "x.mrb")
    workspace.open_scene(tmp_path / "x.mrb")
    assert workspace.volume.GetName() == "blobs" and not voxels(workspace).any()


def test_saving_keeps_the_scene_as_it_is(edited, scene, tmp_path):
    before = [scene.mrml.GetNthNode(n).GetID() for n in range(scene.mrml.GetNumberOfNodes())]
    for suffix in edited.save_formats:
        edited.save(tmp_path / f"x{suffix}")
    assert [scene.mrml.GetNthNode(n).GetID() for n in range(scene.mrml.GetNumberOfNodes())] == before
    assert scene.mrml.GetURL() in (None, "")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_cannot_be_saved_is_one_readable_line(workspace, tmp_path):
    for suffix in (".seg.nrrd", ".nii.gz", ".stl"):
        with pytest.raises(ValueError, match="expected a segment with voxels to save, received none"):
            workspace.save(tmp_path / f"x{suffix}")
    with pytest.raises(ValueError, match="cannot tell the format of 'x.doc': expected a name ending in .seg.nrrd, "):
        workspace.save(tmp_path / "x.doc")
    with pytest.raises(FileNotFoundError, match="the folder .* does not exist; create it first"):
        workspace.save(tmp_path / "none" / "x.mrb")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_file_that_was_there(edited, tmp_path, monkeypatch):
    class FullDisk:
        def SetUseCompression(self, on):
            pass

        def SetFileName(self, name):
            self.name = name

        def WriteData(self, node):
            Path(self.name).write_text("half")
            return 0

    path = tmp_path / "x.seg.nrrd"
    edited.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(saving, "slicer", SimpleNamespace(vtkMRMLSegmentationStorageNode=FullDisk))
    with pytest.raises(OSError, match="cannot write .*x.seg.nrrd: .*is the disk full.*nothing was changed"):
        edited.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_what_cannot_be_opened_changes_nothing(edited, make_workspace, scene, tmp_path):
    rows, count = edited.segments, scene.mrml.GetNumberOfNodes()
    (tmp_path / "bad.seg.nrrd").write_text("hello")
    (tmp_path / "cut.seg.nrrd").write_bytes(edited.save(tmp_path / "x.seg.nrrd")[0].read_bytes()[:-40])
    (tmp_path / "bad.mrb").write_text("hello")
    for name, reason in (
        ("bad", "cannot read bad.seg.nrrd"),
        ("cut", "cannot read cut.seg.nrrd"),
        ("none", "no such segment"),
    ):
        with pytest.raises((ValueError, OSError), match=reason):
            edited.open_segmentation(tmp_path / f"{name}.seg.nrrd")
    (tmp_path / "other.seg.nrrd").write_text(
        "NRRD0004\ntype: uchar\ndimension: 1\nsizes: 9\ndata file: /etc/hostname\n"
    )
    with pytest.raises(ValueError, match="other.seg.nrrd has its voxels in another folder, '/etc/hostname'"):
        edited.open_segmentation(tmp_path / "other.seg.nrrd")
    with pytest.raises(ValueError, match="cannot open image.nii.gz as segments: expected a .seg.nrrd"):
        edited.open_segmentation(tmp_path / "image.nii.gz")
    for name, reason in (("bad.mrb", "cannot read bad.mrb"), ("none.mrb", "no such scene")):
        with pytest.raises((ValueError, OSError), match=reason):
            edited.open_scene(tmp_path / name)
    assert edited.segments == rows and scene.mrml.GetNumberOfNodes() == count


def test_segments_of_another_place_are_refused(edited, make_workspace, tmp_path):
    edited.save(tmp_path / "x.seg.nrrd")
    other = make_workspace(origin_ras=np.array([500.0, 0.0, 0.0]))
    rows = other.segments
    with pytest.raises(ValueError, match="x.seg.nrrd lies outside blobs: expected segments of this image"):
        other.open_segmentation(tmp_path / "x.seg.nrrd")
    assert other.segments == rows
