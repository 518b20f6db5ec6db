"""What the page works on: clicks that become segments, undo, several segments, what it tells."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from slicer_host.editing import ball, dice, twoBlobs  # noqa: E402
from slicer_host.fixtures import scene  # noqa: E402, F401
from viewer_workspace import image_of_blobs, make_workspace, settle, voxels, workspace  # noqa: E402, F401

from sam3dseg.imageio import write_mask  # noqa: E402
from sam3dseg_viewer.workspace import Status  # noqa: E402

FIRST, SECOND = (14.0, 20.0, 18.0), (34.0, 24.0, 22.0)  # centres of the blobs: voxels, and RAS mm as well


def test_it_loads_neither_trame_nor_torch():
    code = (
        "import sys, sam3dseg_viewer.workspace; "
        "print([m for m in ('trame', 'trame_slicer', 'torch', 'qt', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": _paths()})
    assert done.stdout.strip() == "[]", done.stderr


def test_an_opened_image_is_a_volume_with_one_empty_segment(workspace):
    volume, (row,) = workspace.volume, workspace.segments
    assert volume.GetName() == "blobs" and volume.GetImageData().GetDimensions() == (48, 44, 40)
    assert (row.name, row.is_visible, row.clicks, workspace.selected) == ("Segment 1", True, 0, row.id)
    assert workspace.status == Status("Click inside the structure.")


def test_without_an_image_it_says_what_to_do(make_workspace):
    empty = make_workspace(None)
    assert empty.status.text == "Open an image." and empty.segments == [] and empty.selected == ""
    assert not (empty.can_undo or empty.can_redo or empty.needs_poll)
    for act in (lambda: empty.click(FIRST), empty.add_segment, lambda: empty.save("x.nii.gz")):
        with pytest.raises(ValueError, match="expected an image, none is open: open one first"):
            act()


def test_a_click_becomes_a_mask_with_a_surface(workspace):
    workspace.click(FIRST)
    assert workspace.needs_poll and workspace.status == Status("Segmenting…", is_busy=True)
    assert [p.ras for p in workspace.prompts] == [pytest.approx(FIRST)]
    settle(workspace)
    mask = voxels(workspace)
    assert dice(mask, ball(mask.shape, FIRST, 7)) > 0.8
    assert surface_of(workspace).GetNumberOfCells() > 1000
    assert workspace.segments[0].clicks == 1
    assert not workspace.status.is_busy and workspace.status.text.startswith("Predicted IoU 0.90 · ")


def test_a_background_click_cuts_and_undo_and_redo_step_through_masks_and_prompts(workspace):
    workspace.click(FIRST)
    settle(workspace)
    before, cells = voxels(workspace), surface_of(workspace).GetNumberOfCells()
    workspace.click((14.0, 20.0, 24.0), is_foreground=False)
    settle(workspace)
    after = voxels(workspace)
    assert after.sum() < before.sum() and [p.isForeground for p in workspace.prompts] == [True, False]
    assert workspace.can_undo and not workspace.can_redo
    workspace.undo()
    assert (voxels(workspace) == before).all() and len(workspace.prompts) == 1
    assert surface_of(workspace).GetNumberOfCells() == cells
    workspace.undo()
    assert not voxels(workspace).any() and workspace.prompts == () and not workspace.can_undo
    workspace.redo()
    workspace.redo()
    assert (voxels(workspace) == after).all() and len(workspace.prompts) == 2 and not workspace.can_redo


def test_segments_keep_apart_even_where_they_overlap(workspace):
    workspace.click(FIRST)
    settle(workspace)
    first = workspace.selected
    second = workspace.add_segment("Copy")
    workspace.click(FIRST)
    settle(workspace)
    assert [row.name for row in workspace.segments] == ["Segment 1", "Copy"] and workspace.selected == second
    assert (voxels(workspace, first) == voxels(workspace, second)).all() and voxels(workspace, first).any()
    assert surface_of(workspace).GetNumberOfCells() > 1000
    workspace.select(first)
    assert workspace.selected == first and len(workspace.prompts) == 1
    assert workspace.select_next() == second and workspace.select_next() == first


def test_a_removed_segment_comes_back_with_its_prompts(workspace):
    workspace.click(FIRST)
    settle(workspace)
    removed, rows, mask = workspace.selected, workspace.segments, voxels(workspace)
    other = workspace.add_segment()
    workspace.remove(removed)
    assert [row.id for row in workspace.segments] == [other]
    workspace.undo()
    assert workspace.segments[:1] == rows and (voxels(workspace, removed) == mask).all()
    workspace.undo()  # the segment that was added
    assert workspace.segments == rows and workspace.selected == removed


def test_without_segments_a_click_makes_one(workspace):
    workspace.remove(workspace.selected)
    assert workspace.selected == "" and workspace.prompts == ()
    workspace.click(FIRST)
    settle(workspace)
    assert voxels(workspace).any() and surface_of(workspace).GetNumberOfCells() > 1000


def test_a_removed_segment_gets_no_answer(workspace, segmenter):
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    workspace.click(FIRST)
    workspace.remove(workspace.selected)
    workspace.add_segment()
    assert not workspace.status.is_busy
    gate.set()
    settle(workspace)
    assert [row.clicks for row in workspace.segments] == [0] and not voxels(workspace).any()


def test_names_and_visibility(workspace):
    segment_id = workspace.selected
    workspace.rename(segment_id, " Left kidney ")
    workspace.set_visible(segment_id, False)
    (row,) = workspace.segments
    assert (row.name, row.is_visible) == ("Left kidney", False)
    with pytest.raises(ValueError, match="expected a name for the segment, received an empty one"):
        workspace.rename(segment_id, "  ")
    for act in (workspace.select, workspace.remove, lambda name: workspace.set_visible(name, True)):
        with pytest.raises(ValueError, match=f"expected one of the segments {segment_id}, received 'none'"):
            act("none")
    assert workspace.segments == [row]


def test_colours_differ_however_many_segments_there_are(workspace):
    for _ in range(23):
        workspace.add_segment()
    colors = np.array([row.color for row in workspace.segments])
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 9 * np.eye(len(colors))
    assert distances.min() > 0.05
    taken = workspace.segments[3].color
    workspace.remove(workspace.segments[3].id)
    workspace.add_segment()
    assert workspace.segments[-1].color == taken


def test_a_point_outside_is_one_readable_line(workspace):
    with pytest.raises(ValueError, match=r"the point is outside blobs: voxel \(-5, 0, 0\) of \(48, 44, 40\)"):
        workspace.click((-5.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="click inside the structure first"):
        workspace.click(FIRST, is_foreground=False)
    assert workspace.prompts == () and not workspace.needs_poll


def test_cancel_leaves_the_segment_as_it_was(workspace, segmenter):
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    workspace.click(FIRST)
    workspace.cancel()
    assert not workspace.status.is_busy and workspace.prompts == ()
    gate.set()
    settle(workspace)
    assert not voxels(workspace).any() and not workspace.can_undo


def test_what_fails_is_told_and_can_be_retried(make_workspace, segmenter):
    failures = [RuntimeError("out of memory")]

    def encode():
        if failures:
            raise failures.pop()

    segmenter.on_encode = encode
    workspace = make_workspace()
    workspace.click(FIRST)
    settle(workspace)
    assert workspace.status.error == "RuntimeError: out of memory" and not workspace.status.is_busy
    workspace.retry()
    settle(workspace)
    assert workspace.status.error is None and voxels(workspace).any()


def test_changes_are_told(workspace):
    told = []
    workspace.on_change(lambda: told.append(workspace.status))
    workspace.click(FIRST)
    settle(workspace)
    assert told[0].is_busy and not told[-1].is_busy
    for act in (workspace.add_segment, workspace.undo, lambda: workspace.rename(workspace.selected, "New")):
        count = len(told)
        act()
        assert len(told) > count


def test_another_image_takes_the_place_of_the_first(workspace, scene, tmp_path, segmenter):
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    workspace.click(FIRST)
    write_mask(tmp_path / "other.nii.gz", twoBlobs() > 0, image_of_blobs())
    workspace.open_image(tmp_path / "other.nii.gz")
    gate.set()
    settle(workspace)
    assert workspace.volume.GetName() == "other.nii.gz" and not workspace.can_undo
    assert not voxels(workspace).any() and workspace.prompts == ()
    kinds = ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLSegmentEditorNode")
    assert [scene.mrml.GetNumberOfNodesByClass(kind) for kind in kinds] == [1, 1, 1]
    with pytest.raises(FileNotFoundError, match="no such image: none.nii.gz; check the path"):
        workspace.open_image("none.nii.gz")
    assert workspace.volume.GetName() == "other.nii.gz"


def test_closing_leaves_nothing_behind(scene, make_workspace):
    before = scene.mrml.GetNumberOfNodes()
    workspace = make_workspace()
    workspace.click(FIRST)
    settle(workspace)
    workspace.close()
    assert scene.mrml.GetNumberOfNodes() == before
    assert workspace.volume is None and workspace.segments == []


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, ">i2", np.float16, np.float64, np.int64])
def test_voxels_and_their_place_are_the_image_s(make_workspace, dtype):
    direction = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
    image = image_of_blobs(spacing_mm=(0.5, 2.0, 3.0), direction_ras=direction, origin_ras=np.array([7.0, -8.0, 9.0]))
    array = (image.array_ijk / 100).astype(dtype)
    workspace = make_workspace(image, array_ijk=array)
    from sam3dseg_viewer.scene_host import image_of

    held = image_of(workspace.volume)
    assert (held.array_ijk == array).all() and held.name == "blobs"
    assert np.allclose(held.ijk_to_ras, image.ijk_to_ras, atol=1e-12)
    workspace.click(image.ras_of((14, 20, 18)))
    settle(workspace)
    assert voxels(workspace)[14, 20, 18]


def surface_of(workspace):
    return workspace.segmentation.GetSegmentation().GetSegment(workspace.selected).GetRepresentation("Closed surface")


def _paths() -> str:
    return ":".join(path for path in sys.path if path)
