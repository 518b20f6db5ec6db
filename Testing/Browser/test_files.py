"""What the page saves, opens and receives, and what it refuses."""

from __future__ import annotations

import stat
import zipfile

import numpy as np
import pytest
from clicks_in_files import clicks_in, labels_in, mask_in
from phantom_volume import BALL, BALL_RADIUS_MM, SMALL, write_phantom
from viewer_page import until


@pytest.fixture
def two_segments(viewer):
    """The page after a click for each of two segments."""
    viewer.click_voxel("red", BALL)
    viewer.press("segment-add")
    viewer.click_voxel("red", SMALL)
    assert [clicks for _, clicks in viewer.segments] == [1, 1]
    return viewer


def test_saved_segments_come_back_with_their_points(two_segments, image):
    later = two_segments
    saved = later.save("two.seg.nrrd")
    labels, segments = labels_in(later.save("two.nii.gz")), later.segments
    later.open_file(image.name)
    later.wait_for_segments([("Segment 1", 0)])
    later.open_file("two.seg.nrrd")
    later.wait_for_segments(segments)
    np.testing.assert_array_equal(labels_in(later.save("again.nii.gz")), labels)
    assert later.save("again.seg.nrrd").stat().st_size == pytest.approx(saved.stat().st_size, rel=0.1)
    later.click_voxel("green", (28, 30, 22))  # into the segment that is selected, among what came back
    assert sum(clicks for _, clicks in later.segments) == 3


def test_label_map_surface_and_scene_hold_both_segments(two_segments, image):
    trimesh = pytest.importorskip("trimesh")
    labels = labels_in(two_segments.save("both.nii.gz"))
    assert set(np.unique(labels)) == {0, 1, 2} and labels[BALL] == 1 and labels[SMALL] == 2
    two_segments.ask_to_save("both.stl")
    until(lambda: not two_segments.element("save-path").is_visible(), 30, "the surfaces to be saved")
    surfaces = [trimesh.load(path) for path in two_segments.folder.glob("*.stl")]
    assert surfaces and max(surface.extents[0] for surface in surfaces) > BALL_RADIUS_MM
    with zipfile.ZipFile(two_segments.save("both.mrb")) as scene:
        assert scene.testzip() is None
        names = [name.rsplit("/", 1)[-1] for name in scene.namelist()]
    assert sum(name.endswith(".mrml") for name in names) == 1
    assert sum(name.endswith(".seg.nrrd") for name in names) == 1
    assert any(name.endswith(".nrrd") and not name.endswith(".seg.nrrd") for name in names)


@pytest.mark.parametrize("path", ["../outside.seg.nrrd", "/tmp/outside.nii.gz", "saved.txt", ""])
def test_saving_elsewhere_or_as_something_else_is_refused_in_one_line(viewer, path):
    viewer.click_voxel("red", BALL)
    there = set(viewer.folder.parent.rglob("*.*"))
    viewer.ask_to_save(path)
    until(lambda: viewer.dialog_error, 10, "a message")
    assert "expected " in viewer.dialog_error and "Traceback" not in viewer.dialog_error
    assert set(viewer.folder.parent.rglob("*.*")) == there
    viewer.page.keyboard.press("Escape")
    viewer.save("saved.nii.gz")


def test_opening_elsewhere_or_what_is_no_image_is_refused_and_changes_nothing(viewer):
    viewer.click_voxel("red", BALL)
    (viewer.folder / "notes.nii.gz").write_text("no image")
    for path in ("/etc/passwd", "../../etc/passwd", "no-such.nii.gz", "notes.nii.gz"):
        viewer.ask_to_open(path)
        until(lambda: viewer.dialog_error, 10, f"a message about {path}")
        assert "Traceback" not in viewer.dialog_error
        viewer.page.keyboard.press("Escape")
    assert viewer.segments[0][1] == 1


def test_uploaded_image_is_shown_and_its_copy_is_private_and_removed(start, open_page, image, tmp_path):
    private = tmp_path / "temporary"
    private.mkdir()
    process = start(image, TMPDIR=str(private))
    viewer = open_page(process.url)
    own = write_phantom(tmp_path / "my own.nii.gz")
    viewer.element("open").click()
    viewer.element("upload").set_input_files(own)
    until(lambda: "my own" in viewer.element("image-name").inner_text(), 30, "the image to be shown")
    viewer.page.keyboard.press("Escape")
    viewer.wait_until_drawn()
    viewer.click_voxel("red", BALL)
    assert mask_in(viewer.save("uploaded.seg.nrrd"), image)[BALL]
    for path in private.rglob("*"):
        assert path.is_file() or stat.S_IMODE(path.stat().st_mode) == 0o700, path
    process.stop()
    assert not list(private.iterdir())


def test_upload_that_is_too_large_is_refused(start, open_page, image, tmp_path):
    private = tmp_path / "temporary"
    private.mkdir()
    viewer = open_page(start(image, "--max-upload", "0.0001", TMPDIR=str(private)).url)
    own = write_phantom(tmp_path / "mine.nii.gz")
    assert own.stat().st_size > 0.0001 * 2**30
    viewer.element("open").click()
    viewer.element("upload").set_input_files(own)
    until(lambda: viewer.dialog_error, 20, "a message")
    assert "expected a file of at most" in viewer.dialog_error
    assert not [path for path in private.rglob("*") if path.is_file()]
    assert all("413" in error for error in viewer.errors)  # the browser reports the refused request too
    viewer.errors.clear()


def test_clicks_of_a_saved_file_give_the_mask_again_on_the_command_line(viewer, image, tmp_path):
    from sam3dseg.cli import main

    viewer.click_voxel("red", BALL)
    viewer.click_voxel("green", (28, 30, 40), "Shift")
    saved = viewer.save("saved.seg.nrrd")
    assert clicks_in(saved, image) == ["28,30,26", "28,30,40-"]
    again = tmp_path / "again.nii.gz"
    assert main(["segment", str(image), "--clicks", str(saved), "-o", str(again)]) == 0
    np.testing.assert_array_equal(mask_in(again, image), mask_in(saved, image))
