"""The tutorial says what the effect does: its labels, keys, messages, links and pictures."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial"
TEXT = (TUTORIAL / "README.md").read_text(encoding="utf-8")
LAYER = ROOT / "SAM3DSegment"
SLICERS_OWN = {
    "Extensions Manager",
    "Segment Editor",
    "Show 3D",
    "Undo",
    "Redo",
    "Editable area",
    "Editable intensity range",
    "Modify other segments",
    "Ctrl",
    "Shift",
}
PICTURES_BYTES = 1_200_000


def constants():
    """All texts of the Slicer layer's code."""
    found = set()
    for path in [LAYER / "SAM3DSegment.py", *(LAYER / "SAM3DSegmentLib").rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return found


def test_labels_are_those_of_the_effect_or_slicers():
    known = {text.rstrip(":") for text in constants()} | SLICERS_OWN
    labels = set(re.findall(r"\*\*(.+?)\*\*", TEXT.replace("\n", " ")))
    assert len(labels) > 25
    assert labels - known == set()


@pytest.mark.parametrize(
    "message",
    ["PyTorch is needed", "click inside the structure first", "the point is outside ", " is sheared"]
    + ["expected one value per voxel", "Segmenting…"],
)
def test_messages_are_in_the_code(message):
    assert message in TEXT
    assert any(message in text for text in constants())


def test_keys_are_those_that_the_effect_installs():
    keys = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    source = (LAYER / "SAM3DSegmentLib" / "Effect" / "EffectShortcuts.py").read_text(encoding="utf-8")
    installed = re.findall(r'\("(\w)", "\w+"\)', source.partition("KEYS =")[2].partition("\n")[0])
    assert keys == [*installed, "Esc"]


def test_links_and_pictures_are_there_and_every_picture_is_shown():
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    headings = {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in TEXT.splitlines()}
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in headings, f"no heading for {target}"
        elif "://" not in target:
            assert (TUTORIAL / target).exists(), f"{target} is not there"
    pictures = {path.name for path in (TUTORIAL / "pictures").iterdir()}
    assert pictures == {Path(target).name for target in targets if target.startswith("pictures/")}


def test_pictures_are_small_enough_for_a_repository():
    assert sum(path.stat().st_size for path in (TUTORIAL / "pictures").iterdir()) < PICTURES_BYTES


def test_script_that_draws_them_draws_exactly_these():
    script = (ROOT / "Testing" / "Pictures" / "make_pictures.py").read_text(encoding="utf-8")
    drawn = set(re.findall(r'_save\("([\w-]+)"', script)) | {"added", "removed"}
    assert drawn == {path.stem for path in (TUTORIAL / "pictures").iterdir()}
