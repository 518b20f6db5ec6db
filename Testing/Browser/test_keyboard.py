"""Everything can be done without a mouse, and what has the focus is seen."""

from __future__ import annotations

from phantom_volume import BALL
from viewer_page import until

ENABLED = "[...document.querySelectorAll('.page button, .page input, .page select')].filter(e => !e.disabled && \
e.offsetParent).map(e => e.dataset.testid || e.ariaLabel || e.title || e.className)"
FOCUSED = "(e => e.dataset.testid || e.ariaLabel || e.title || e.className)(document.activeElement)"
OUTLINE = """(e => [e, e.parentElement].map(getComputedStyle).some(s =>
  s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== 'none'))(document.activeElement)"""
UNNAMED = """[...document.querySelectorAll('button, input, select, [role=application]')].filter(e =>
  !(e.innerText || '').trim() && !e.ariaLabel && !e.title && !(e.labels && e.labels.length)
  && !e.getAttribute('aria-labelledby')).map(e => e.outerHTML)"""


def test_tab_reaches_every_button_and_shows_where_it_is(viewer):
    viewer.click_voxel("red", BALL)
    wanted = set(viewer.page.evaluate(ENABLED))
    assert {"open", "save", "sign", "undo", "segment-add", "theme"} <= wanted
    viewer.page.evaluate("document.activeElement.blur()")
    seen = set()
    for _ in range(3 * len(wanted)):
        viewer.page.keyboard.press("Tab")
        seen.add(viewer.page.evaluate(FOCUSED))
        assert viewer.page.evaluate("document.activeElement === document.body || " + OUTLINE), f"no focus: {seen}"
    assert wanted - seen == set()
    assert {"view-red", "view-green", "view-yellow", "view-3d"} <= seen


def test_everything_has_a_name_for_a_screen_reader(viewer):
    assert viewer.page.evaluate(UNNAMED) == []
    assert viewer.page.evaluate("document.documentElement.lang")
    assert viewer.page.title()


def test_keys_do_what_the_help_says(viewer):
    keyboard = viewer.page.keyboard
    viewer.click_voxel("red", BALL)
    keyboard.press("Control+z")
    until(lambda: viewer.segments[0][1] == 0, 20, "undo")
    keyboard.press("Control+y")
    until(lambda: viewer.segments[0][1] == 1, 20, "redo")
    keyboard.press("a")
    until(lambda: len(viewer.segments) == 2, 20, "a segment more")
    selected = viewer.page.locator(".row.selected").get_attribute("data-testid")
    keyboard.press("n")
    until(lambda: viewer.page.locator(".row.selected").get_attribute("data-testid") != selected, 20, "the next segment")
    assert viewer.element("sign").get_attribute("aria-pressed") == "false"
    keyboard.press("t")
    until(lambda: viewer.element("sign").get_attribute("aria-pressed") == "true", 20, "the other sign")
    keyboard.press("s")
    until(lambda: viewer.element("save-path").is_visible(), 10, "the dialog to save")
    keyboard.press("Escape")
    until(lambda: not viewer.element("save-path").is_visible(), 10, "the dialog to go")
    keyboard.press("?")
    until(lambda: viewer.page.get_by_text("Mouse and keys").is_visible(), 10, "the help")


def test_letters_typed_into_a_name_are_no_shortcuts(viewer):
    name = viewer.element("segment-name-0")
    name.fill("")
    name.press_sequentially("sand ?")
    assert not viewer.element("save-path").is_visible()
    name.press("Enter")
    until(lambda: viewer.segments[0][0] == "sand ?", 10, "the name")
    assert len(viewer.segments) == 1


def test_a_structure_is_segmented_saved_and_undone_without_a_mouse(viewer):
    keyboard = viewer.page.keyboard
    viewer.element("view-red").focus()
    with viewer.answered():
        keyboard.press("Enter")  # the cursor starts in the middle
    assert viewer.segments[0][1] == 1
    for _ in range(3):
        keyboard.press("ArrowLeft")
    with viewer.answered():
        keyboard.press("Shift+Enter")
    assert viewer.segments[0][1] == 2
    offset = viewer.element("offset-red").inner_text()
    keyboard.press("PageUp")
    until(lambda: viewer.element("offset-red").inner_text() != offset, 10, "the slice to move")
    keyboard.press("Control+s")
    until(lambda: viewer.element("save-path").is_visible(), 10, "the dialog to save")
    viewer.element("save-path").fill("keys.seg.nrrd")
    keyboard.press("Enter")
    until((viewer.folder / "keys.seg.nrrd").exists, 30, "the file")
    until(lambda: not viewer.element("save-path").is_visible(), 10, "the dialog to go")
    keyboard.press("Control+z")
    until(lambda: viewer.segments[0][1] == 1, 20, "undo")
