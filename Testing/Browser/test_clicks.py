"""A click in any view makes the mask that `sam3dseg segment` makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from clicks_in_files import clicks_in, labels_in, mask_in, word
from phantom_volume import BALL, BALL_RADIUS_MM, SMALL, SPACING_MM


@pytest.mark.parametrize("view", ["red", "green", "yellow"])
def test_click_in_a_slice_makes_the_mask_of_the_command_line(viewer, view, image, segmented):
    voxel = BALL if view != "yellow" else (35, 27, 24)  # the sagittal slice is the volume's middle one
    viewer.click_voxel(view, voxel)
    saved = viewer.save("saved.seg.nrrd")
    assert clicks_in(saved, image) == [word(voxel)]
    mask = mask_in(saved, image)
    assert mask[BALL]
    np.testing.assert_array_equal(mask, segmented(word(voxel)))


def test_corrections_in_three_views_make_the_mask_of_the_command_line(viewer, image, segmented):
    viewer.click_voxel("red", BALL)
    viewer.click_voxel("green", (22, 30, 30))
    viewer.click_voxel("yellow", (35, 50, 40), "Control")
    saved = viewer.save("saved.seg.nrrd")
    words = ["28,30,26", "22,30,30", "35,50,40-"]
    assert clicks_in(saved, image) == words
    np.testing.assert_array_equal(mask_in(saved, image), segmented(*words))


@pytest.mark.parametrize("modifier", ["Control", "Shift"])
def test_click_with_a_modifier_is_a_background_point(viewer, image, modifier):
    viewer.click_voxel("red", BALL)
    viewer.click_voxel("red", (5, 5, 26), modifier)
    assert clicks_in(viewer.save("saved.seg.nrrd"), image) == ["28,30,26", "5,5,26-"]


def test_click_on_the_surface_in_3d_lies_on_the_surface_and_makes_the_mask_of_the_command_line(
    viewer, image, segmented
):
    viewer.click_voxel("red", BALL)
    before = mask_in(viewer.save("before.seg.nrrd"), image)
    with viewer.answered():
        viewer.click_at("view-3d", surface_pixel(viewer))
    saved = viewer.save("saved.seg.nrrd")
    words = clicks_in(saved, image)
    assert len(words) == 2 and words[0] == "28,30,26"
    ijk = np.array([int(word) for word in words[1].split(",")])
    assert before[tuple(ijk)], "the click is not inside the mask"
    far_mm = np.linalg.norm((ijk - BALL) * SPACING_MM)
    assert far_mm > BALL_RADIUS_MM / 2
    neighbours = before[tuple(slice(n - 2, n + 3) for n in ijk)]
    assert not neighbours.all(), "the click is deep inside the mask"
    np.testing.assert_array_equal(mask_in(saved, image), segmented(*words))


def surface_pixel(viewer):
    """A pixel of the 3D view in the middle of what has the colours of the surface."""
    picture = viewer.picture("view-3d").astype(int)
    colored = (picture.max(axis=2) - picture.min(axis=2)) > 60
    rows, columns = np.nonzero(colored)
    assert len(rows) > 500, "no surface is seen"
    return float(np.median(columns)), float(np.median(rows))


def test_mask_and_surface_are_seen(viewer):
    before = {name: viewer.picture(f"view-{name}") for name in ("red", "green", "yellow", "3d")}
    viewer.click_voxel("red", BALL)
    for name, picture in before.items():
        changed = (np.abs(viewer.picture(f"view-{name}").astype(int) - picture) > 40).any(axis=2)
        assert changed.mean() > 0.002, f"{name} shows nothing new"


def test_undo_and_redo_step_through_the_clicks(viewer, image):
    viewer.click_voxel("red", BALL)
    first = mask_in(viewer.save("first.seg.nrrd"), image)
    viewer.click_voxel("red", SMALL)
    second = mask_in(viewer.save("second.seg.nrrd"), image)
    assert (first != second).any()
    viewer.press("undo")
    undone = viewer.save("undone.seg.nrrd")
    assert clicks_in(undone, image) == ["28,30,26"]
    np.testing.assert_array_equal(mask_in(undone, image), first)
    viewer.press("redo")
    redone = viewer.save("redone.seg.nrrd")
    assert clicks_in(redone, image) == ["28,30,26", "55,30,26"]
    np.testing.assert_array_equal(mask_in(redone, image), second)


def test_second_segment_has_clicks_and_voxels_of_its_own(viewer, image):
    viewer.click_voxel("red", BALL)
    viewer.press("segment-add")
    viewer.click_voxel("red", SMALL)
    assert len(viewer.segments) == 2
    saved = labels_in(viewer.save("both.nii.gz"))
    assert set(np.unique(saved)) == {0, 1, 2}
    assert saved[BALL] == 1 and saved[SMALL] == 2
