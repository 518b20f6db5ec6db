"""What the Makefile would run: the demonstration, an image of one's own, and continuous integration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (shutil.which("make") and sys.platform.startswith("linux")), reason="needs make, and Linux as the viewer does"
)


def planned(*words: str, **env: str) -> str:
    """What `make` with these words would run, with no more of a desktop than `env` says."""
    unwanted = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "MAKEFLAGS", "MAKELEVEL")
    bare = {key: value for key, value in os.environ.items() if key not in unwanted}
    command = ["make", "--dry-run", f"PYTHON={sys.executable}", *words]
    done = subprocess.run(command, cwd=ROOT, env={**bare, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


DESKTOP = {"DISPLAY": ":0", "BROWSER": "/bin/true"}


def test_demo_ends_in_the_page_where_there_is_a_browser():
    plan = planned("demo", **DESKTOP)
    sample = re.search(r"^\.venv-viewer/bin/sam3dseg view (\S+)$", plan, re.MULTILINE)
    assert sample and f"sam3dseg_viewer.sample {sample.group(1)}" in plan
    assert re.search(r"^\.venv-viewer/bin/sam3dseg demo$", plan, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "env"), [(("HEADLESS=1",), DESKTOP), ((), {}), ((), {"BROWSER": "/bin/true"})],
    ids=["told so", "no desktop", "no screen"],
)  # fmt: skip
def test_demo_ends_with_its_files_otherwise(words, env):
    plan = planned("demo", *words, **env)
    assert re.search(r"^\.venv/bin/sam3dseg demo$", plan, re.MULTILINE)
    assert "sam3dseg view" not in plan and ".venv-viewer" not in plan


def test_view_opens_an_image_of_ones_own():
    plan = planned("view", "IMAGE=ct.nii.gz")
    assert re.search(r"^\.venv-viewer/bin/sam3dseg view ct\.nii\.gz$", plan, re.MULTILINE)
    assert "sam3dseg demo" not in plan


def test_continuous_integration_runs_both_kinds_of_tests():
    said = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"make ([\w-]+)$", said, re.MULTILINE) == ["test", "test-browser"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "pytest Testing/Browser" in planned("test-browser")
    assert "Testing/Python/test_viewer_page.py" in planned("test-browser")


def test_the_viewer_gets_the_slicer_that_its_own_packages_ask_for():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("$(VIEWER)/constraints.txt: ")[1].split("\n\n")[0]
    assert "grep -v ^slicer-core== constraints.txt" in recipe
    assert "slicer-core==" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
