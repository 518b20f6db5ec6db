"""The page at a small and a large size, dark and light: everything is there, apart, and readable."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from phantom_volume import BALL
from viewer_page import VIEWS, until

CONTRAST = 4.5  # of text on what is behind it: WCAG 2.2, level AA
TEXTS = """() => {
  const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = numbers(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0.9) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('.page *')].filter(e => e.offsetParent && !e.disabled && !e.closest(':disabled')
    && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => ({
    text: e.innerText, size: parseFloat(getComputedStyle(e).fontSize),
    color: numbers(getComputedStyle(e).color).slice(0, 3), behind: behind(e)}));
}"""


def luminance(color: list[float]) -> float:
    """Relative luminance of an sRGB colour, 0 to 1."""
    c = np.array(color) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(text: dict) -> float:
    """Contrast of a text with what is behind it, 1 to 21."""
    dark, light = sorted((luminance(text["color"]), luminance(text["behind"])))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [(1280, 720), (3840, 2160)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_everything_is_seen_and_readable(start, open_page, image, size, scheme):
    width, height = size
    viewer = open_page(start(image).url, viewport={"width": width, "height": height}, color_scheme=scheme)
    viewer.click_voxel("red", BALL)
    boxes = {name: viewer.box(name) for name in (*VIEWS, "segment-row-0", "undo", "status", "save", "open")}
    for name, box in boxes.items():
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, name
        assert box["y"] >= 0 and box["y"] + box["height"] <= height, name
    for one, other in itertools.combinations(boxes, 2):
        assert apart(boxes[one], boxes[other]), f"{one} and {other} overlap"
    assert sum(boxes[name]["width"] * boxes[name]["height"] for name in VIEWS) > 0.6 * width * height
    texts = viewer.page.evaluate(TEXTS)
    assert len(texts) > 8
    least = 11 if width < 2000 else 15
    for text in texts:
        assert contrast(text) >= CONTRAST, text
        assert text["size"] >= least, text
    panel = np.asarray(viewer.picture("segment-row-0"), dtype=float).mean()
    assert panel < 110 if scheme == "dark" else panel > 150


def apart(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two boxes share nothing."""
    return (
        one["x"] + one["width"] <= other["x"] + 1
        or other["x"] + other["width"] <= one["x"] + 1
        or one["y"] + one["height"] <= other["y"] + 1
        or other["y"] + other["height"] <= one["y"] + 1
    )


def test_theme_can_be_changed_and_stays_after_a_reload(viewer):
    before = viewer.picture("segment-row-0").mean()
    viewer.element("theme").click()
    until(lambda: abs(viewer.picture("segment-row-0").mean() - before) > 60, 10, "the other theme")
    viewer.page.reload()
    viewer.wait_until_drawn()
    assert abs(viewer.picture("segment-row-0").mean() - before) > 60


def test_a_view_can_be_enlarged_and_put_back(viewer):
    small = viewer.box("view-3d")
    viewer.element("large-3d").click()
    until(lambda: viewer.box("view-3d")["width"] > 1.6 * small["width"], 10, "a large view")
    viewer.element("large-3d").click()
    until(lambda: viewer.box("view-3d") == small, 10, "the view as it was")
