"""While the model works: the page stays live, says so, and can stop it."""

from __future__ import annotations

import numpy as np
import pytest
from clicks_in_files import labels_in
from phantom_volume import BALL
from viewer_page import until


@pytest.fixture
def gate(service):
    """The model encodes once this file is there."""
    service.gate.unlink()
    return service.gate


@pytest.fixture
def encoding(viewer, gate):
    """The page after a click, during the encode that it needs."""
    viewer.press_voxel("red", BALL)
    until(lambda: viewer.element("cancel").is_visible(), 30, "the click to be worked on")
    return viewer


def test_page_stays_live_during_an_encode(encoding, gate):
    assert encoding.element("progress").is_visible()
    assert "Segmenting" in encoding.status
    offset = encoding.element("offset-green").inner_text()
    before = encoding.picture("view-green").astype(int)
    encoding.element("view-green").hover()
    encoding.page.mouse.wheel(0, -300)
    until(lambda: encoding.element("offset-green").inner_text() != offset, 5, "the slice to move")
    until(lambda: np.abs(encoding.picture("view-green") - before).max() > 40, 5, "the slice to be drawn")
    assert encoding.element("cancel").is_visible(), "the encode ended before it was looked at"
    gate.touch()
    encoding.wait_until_idle()
    assert encoding.segments[0][1] == 1


@pytest.mark.parametrize("how", ["button", "key"])
def test_cancelled_click_leaves_nothing_and_the_next_one_works(encoding, gate, how):
    if how == "button":
        encoding.element("cancel").click()
    else:
        encoding.page.keyboard.press("Escape")
    until(lambda: not encoding.element("cancel").is_visible(), 5, "the work to be cancelled")
    gate.touch()
    encoding.page.wait_for_timeout(1500)  # an answer that comes late
    assert encoding.segments[0][1] == 0
    encoding.ask_to_save("cancelled.nii.gz")
    until(lambda: "expected a segment with voxels" in encoding.dialog_error, 10, "a message that nothing is there")
    encoding.page.keyboard.press("Escape")
    encoding.click_voxel("red", BALL)
    assert encoding.segments[0][1] == 1
    assert labels_in(encoding.save("clicked.nii.gz"))[BALL] == 1


def test_clicks_made_meanwhile_are_answered_too(encoding, gate):
    encoding.press_voxel("red", (22, 30, 26))
    gate.touch()
    encoding.wait_until_idle()
    assert encoding.segments[0][1] == 2


def test_what_goes_wrong_is_one_line_that_can_be_closed(start, open_page, image):
    viewer = open_page(start(image, "--model", "medsam").url)  # not downloaded
    viewer.press_voxel("red", BALL)
    until(lambda: viewer.error, 60, "a message")
    assert "medsam" in viewer.error and "Traceback" not in viewer.error and len(viewer.error) < 400
    assert viewer.element("view-red").is_visible()
    viewer.element("error-close").click()
    until(lambda: not viewer.error, 5, "the message to go")


def test_background_click_first_says_what_to_do(viewer):
    viewer.press_voxel("red", (5, 5, 26), "Control")
    until(lambda: "inside the structure first" in viewer.error + viewer.status, 20, "a hint")
    viewer.click_voxel("red", BALL)
    assert viewer.segments[0][1] >= 1
