"""The browser's tutorial says what the page does: its labels, keys, messages, links and pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial"
PICTURES = TUTORIAL / "browser"
TEXT = (TUTORIAL / "browser.md").read_text(encoding="utf-8")
VIEWER = ROOT / "Viewer" / "sam3dseg_viewer"
PAGE = (VIEWER / "web" / "page.html").read_text(encoding="utf-8")
KEYBOARD = {"Ctrl", "Shift", "+"}
FILM_BYTES, PICTURES_BYTES = 2_000_000, 2_500_000


def test_labels_are_those_of_the_page():
    labels = set(re.findall(r"\*\*(.+?)\*\*", TEXT.replace("\n", " "))) - KEYBOARD
    assert len(labels) >= 6
    shown = set(re.findall(r">\s*([^<>{}]+?)\s*<", PAGE))
    assert labels - shown == set()


def test_keys_are_those_of_the_page():
    keys = {key for keys in re.findall(r'data-keys="([^"]+)"', PAGE) for key in keys.split()}
    named = set(re.findall(r"(?:key|or) `(\w+)`", TEXT))
    assert named == {"T", "Esc"}
    assert {"t", "escape"} <= keys


@pytest.mark.parametrize("option", ["--host", "--no-browser", "--folder", "--port"])
def test_options_are_those_of_the_command(option):
    assert f"{option}" in TEXT
    assert f'"{option}"' in (ROOT / "SAM3DSegment/sam3dseg/view_command.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("message", ["click inside the structure first", "expected the token"])
def test_messages_are_in_the_code(message):
    assert message in TEXT
    sources = [*VIEWER.rglob("*.py"), *(ROOT / "SAM3DSegment").rglob("*.py")]
    assert any(message in path.read_text(encoding="utf-8") for path in sources)


def test_endings_are_those_that_can_be_saved():
    table = set(re.findall(r"^\| `(\.[\w.]+)` \|", TEXT, re.MULTILINE))
    code = "".join(path.read_text(encoding="utf-8") for path in VIEWER.glob("*.py"))
    assert len(table) == 4
    assert all(f'"{ending}"' in code for ending in table)


def test_links_and_pictures_are_there_and_every_picture_is_shown():
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    for target in targets:
        assert (TUTORIAL / target).exists(), f"{target} is not there"
    assert {path.name for path in PICTURES.iterdir()} == {Path(target).name for target in targets}


def test_pictures_are_small_enough_for_a_repository():
    assert (PICTURES / "three-clicks.webp").stat().st_size < FILM_BYTES
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < PICTURES_BYTES


def test_the_film_moves():
    pillow = pytest.importorskip("PIL.Image")
    with pillow.open(PICTURES / "three-clicks.webp") as film:
        assert film.is_animated and film.n_frames > 20


def test_script_that_takes_them_takes_exactly_these():
    script = (ROOT / "Testing" / "Pictures" / "make_page_pictures.py").read_text(encoding="utf-8")
    taken = set(re.findall(r'_save\("([\w-]+)"', script)) | {"save", "help", "three-clicks"}
    assert taken == {path.stem for path in PICTURES.iterdir()}


@pytest.mark.parametrize("name", ["screenshot-browser.png", "screenshot-effect.png"])
def test_screenshots_for_the_extensions_index_are_png_of_a_readable_size(name):
    data = (ROOT / "Resources" / name).read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    assert 800 <= width <= 1920 and 600 <= height <= 1200
    assert len(data) < 1_000_000
