from __future__ import annotations

import os

import numpy as np
import pytest
from matplotlib.image import imread

from sam3dseg.imageio import Image
from sam3dseg.preview import write_preview
from sam3dseg.prompts import Box, Click
from sam3dseg.proposals.structures import StructureClass


def volume(mask: np.ndarray, direction: np.ndarray | None = None, spacing=(1.0, 1.0, 2.0)) -> Image:
    array = (mask * 100 + np.random.default_rng(0).normal(0, 5, mask.shape)).astype(np.int16)
    return Image(array, spacing, np.eye(3) if direction is None else direction, np.zeros(3))


def greens(picture: np.ndarray) -> np.ndarray:
    """(rows, columns) of pixels in the colour of the contour."""
    return np.abs(picture[..., :3] - np.array([0x35, 0xD0, 0x7F]) / 255).max(axis=2) < 0.06


def test_the_picture_shows_contour_clicks_box_and_surface(tmp_path, make_ellipsoid):
    mask = make_ellipsoid((60, 70, 30), (30, 35, 15), (15, 12, 6))
    clicks = [Click((30, 35, 15)), Click((50, 35, 15), False)]
    path = tmp_path / "p.png"
    write_preview(path, volume(mask), mask, clicks=clicks, boxes=[Box((14, 22, 8), (46, 48, 22))], title="T")
    picture = imread(path)
    assert picture.shape[:2] == (1600, 1600) and os.listdir(tmp_path) == ["p.png"]
    quarters = [greens(picture)[r : r + 700, c : c + 780].sum() for r in (100, 820) for c in (20, 800)]
    assert min(quarters[:3]) > 300 and quarters[3] < 50  # contours on three planes, none on the surface
    skin = picture[850:1500, 820:1580, :3].astype(float)
    assert ((skin[..., 0] > skin[..., 2] + 0.1).mean()) > 0.1  # the shaded surface


def test_any_orientation_gives_the_same_picture(tmp_path, make_ellipsoid):
    mask = make_ellipsoid((40, 50, 30), (12, 30, 15), (8, 10, 5))
    image = volume(mask)
    write_preview(tmp_path / "a.png", image, mask, clicks=[Click((12, 30, 15))], title="T")
    direction = np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]])  # index axes lead to P, S, L
    turned = mask.transpose(1, 2, 0)[::-1, :, ::-1]
    array = image.array_ijk.transpose(1, 2, 0)[::-1, :, ::-1]
    spun = Image(array, (1.0, 2.0, 1.0), direction, np.array([39.0, 49.0, 0.0]))
    write_preview(tmp_path / "b.png", spun, turned, clicks=[Click((19, 15, 27))], title="T")
    difference = np.abs(imread(tmp_path / "a.png") - imread(tmp_path / "b.png"))
    assert difference.mean() < 2e-3


def test_aspect_follows_the_spacing(tmp_path, make_ellipsoid):
    mask = make_ellipsoid((60, 60, 20), (30, 30, 10), (15, 15, 5))  # a ball of 15 mm at 1 x 1 x 3 mm
    write_preview(tmp_path / "p.png", volume(mask, spacing=(1.0, 1.0, 3.0)), mask, clicks=[Click((30, 30, 10))])
    rows, columns = np.nonzero(greens(imread(tmp_path / "p.png"))[130:800, 830:1560])  # coronal
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("kind", ["empty", "single slice", "constant", "nan", "ct"])
def test_odd_images_still_give_a_picture(tmp_path, kind):
    shape = (20, 25, 1) if kind == "single slice" else (20, 25, 12)
    mask = np.zeros(shape, bool)
    array = np.zeros(shape, np.float32)
    if kind != "empty":
        mask[5:12, 6:14] = True
    if kind == "nan":
        array[:10] = np.nan
    if kind == "ct":
        array = np.where(mask, 60, -1000).astype(np.int16)
    image = Image(array, (1.0, 1.0, 1.0), np.eye(3), np.zeros(3))
    write_preview(tmp_path / "p.png", image, mask)
    assert imread(tmp_path / "p.png").shape[:2] == (1600, 1600)


def test_every_structure_has_its_colour_and_name(tmp_path, make_ellipsoid):
    shape = (60, 70, 30)
    labels = make_ellipsoid(shape, (20, 35, 15), (10, 12, 6)).astype(np.uint8)
    labels[make_ellipsoid(shape, (42, 35, 15), (9, 12, 6))] = 3
    structures = [StructureClass(name, rgb) for name, rgb in (("a", (1, 0, 0)), ("b", (0, 1, 0)), ("c", (0, 0, 1)))]
    write_preview(tmp_path / "p.png", volume(labels > 0), labels, structures=structures)
    picture = imread(tmp_path / "p.png")[..., :3]
    for color, there in (((1, 0, 0), True), ((0, 1, 0), False), ((0, 0, 1), True)):
        contour = (np.abs(picture - color).max(axis=2) < 0.1)[:800, :800].sum()
        assert (contour > 200) == there, color
        legend = (np.abs(picture - color).max(axis=2) < 0.1)[1560:].sum()
        assert (legend > 5) == there, color
    skin = picture[850:1500, 820:1580].astype(float)
    assert ((skin[..., 0] > skin[..., 2] + 0.2).mean()) > 0.02 and ((skin[..., 2] > skin[..., 0] + 0.2).mean()) > 0.02


def test_another_shape_is_refused(tmp_path):
    mask = np.ones((5, 5, 5), bool)
    with pytest.raises(ValueError, match=r"shape \(5, 5, 5\), received \(4, 5, 5\)"):
        write_preview(tmp_path / "p.png", volume(mask), mask[:4])
    assert not os.listdir(tmp_path)


def test_a_name_is_drawn_as_it_is_written(tmp_path, recwarn):
    mask = np.zeros((9, 9, 9), bool)
    mask[3:6, 3:6, 3:6] = True
    pictures = []
    for title in (r"cost $5 \frac$ 腫瘍", r"cost $5 \alpha$ 腫瘍"):  # no formula, and letters the font lacks
        write_preview(tmp_path / "p.png", volume(mask), mask, title=title)
        pictures.append(imread(tmp_path / "p.png"))
    assert np.abs(pictures[0] - pictures[1]).max() > 0
    assert not [str(w.message) for w in recwarn if "Glyph" in str(w.message)]


def test_a_long_name_leaves_room_for_the_volume(tmp_path):
    mask = np.zeros((9, 9, 9), bool)
    mask[3:6, 3:6, 3:6] = True
    pictures = []
    for title in ("short", "Wm" * 200):
        write_preview(tmp_path / "p.png", volume(mask), mask, title=title)
        pictures.append(imread(tmp_path / "p.png")[20:100, 1310:])
    assert pictures[0].max() > 0.8 and (pictures[0] == pictures[1]).all()
