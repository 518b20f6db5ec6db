"""Reloads, second tabs and dropped connections: the session stays on the server."""

from __future__ import annotations

import numpy as np
from clicks_in_files import clicks_in, labels_in
from phantom_volume import BALL, SMALL, write_phantom
from viewer_page import until

KEEP_SOCKETS = """
window.keptSockets = [];
const Original = window.WebSocket;
window.WebSocket = class extends Original { constructor(...words) { super(...words); keptSockets.push(this); } };
"""


def test_reload_keeps_segments_points_and_undo(viewer, image):
    viewer.click_voxel("red", BALL)
    viewer.press("segment-add")
    viewer.click_voxel("red", SMALL)
    labels = labels_in(viewer.save("before.nii.gz"))
    segments, picture = viewer.segments, viewer.picture("view-red")
    viewer.page.reload()
    viewer.wait_until_drawn()
    viewer.wait_for_segments(segments)
    assert (np.abs(viewer.picture("view-red").astype(int) - picture) > 60).any(axis=2).mean() < 0.01
    np.testing.assert_array_equal(labels_in(viewer.save("after.nii.gz")), labels)
    viewer.press("undo")
    assert [clicks for _, clicks in viewer.segments] == [1, 0]


def test_two_tabs_show_and_change_one_session(viewer, open_page, service, image):
    first, second = viewer, open_page(service.url)
    first.click_voxel("red", BALL)
    until(lambda: second.segments and second.segments[0][1] == 1, 20, "the click to be seen in the second tab")
    second.click_voxel("red", (22, 30, 26))
    until(lambda: first.segments[0][1] == 2, 20, "the click to be seen in the first tab")
    saved = first.save("tabs.seg.nrrd")
    assert clicks_in(saved, image) == ["28,30,26", "22,30,26"]
    second.page.close()
    first.click_voxel("green", (28, 30, 20))
    assert first.segments[0][1] == 3


def test_clicks_of_two_tabs_at_once_all_count(viewer, open_page, service, image):
    first, second = viewer, open_page(service.url)
    first.click_voxel("red", BALL)
    box = first.box("view-red")
    middle = (box["width"] / 2, box["height"] / 2)
    for number in range(3):
        first.click_at("view-red", (middle[0] + 10 * number, middle[1] + 20))
        second.click_at("view-red", (middle[0] + 10 * number, middle[1] - 20))
    until(lambda: first.segments[0][1] == 7 == second.segments[0][1], 30, "all seven points")
    first.wait_until_idle()
    assert len(clicks_in(first.save("both.seg.nrrd"), image)) == 7


def test_page_that_goes_away_during_an_encode_loses_nothing(viewer, open_page, service):
    service.gate.unlink()
    viewer.press_voxel("red", BALL)
    until(lambda: viewer.element("cancel").is_visible(), 30, "the click to be worked on")
    viewer.page.close()
    service.gate.touch()
    later = open_page(service.url)
    later.wait_for_segments([("Segment 1", 1)])
    assert labels_in(later.save("later.nii.gz"))[BALL] == 1


def test_dropped_connection_loses_nothing(viewer, open_page, service):
    other = open_page(None)
    other.page.add_init_script(KEEP_SOCKETS)
    other.open(service.url)
    other.click_voxel("red", BALL)
    other.page.evaluate("keptSockets.forEach(socket => socket.close())")
    viewer.click_voxel("red", (22, 30, 26))
    other.page.reload()
    other.wait_until_drawn()
    other.wait_for_segments([("Segment 1", 2)])
    other.click_voxel("green", (28, 30, 20))
    viewer.wait_for_segments([("Segment 1", 3)])
    other.errors.clear()


def test_another_image_starts_anew(viewer, folder):
    viewer.click_voxel("red", BALL)
    write_phantom(folder / "other.nii.gz")
    viewer.open_file("other.nii.gz")
    until(lambda: "other" in viewer.element("image-name").inner_text(), 20, "the other image")
    viewer.wait_for_segments([("Segment 1", 0)])
    viewer.click_voxel("red", BALL)
    assert [clicks for _, clicks in viewer.segments] == [1]
