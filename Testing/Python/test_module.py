"""The Slicer module file, imported under small stand-ins for qt and slicer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

MODULE = Path(__file__).resolve().parents[2] / "SAM3DSegment"


class Label:
    """Stands in for qt.QLabel."""

    def __init__(self, text: str) -> None:
        self.text = text


class ScriptedLoadableModule:
    """Stands in for Slicer's base class."""

    def __init__(self, parent) -> None:
        self.parent = parent


class ScriptedLoadableModuleWidget:
    """Stands in for Slicer's base class: a layout that remembers what it holds."""

    def setup(self) -> None:
        self.shown: list = []
        self.layout = SimpleNamespace(addWidget=self.shown.append, addStretch=lambda factor: None)


class ScriptedLoadableModuleTest:
    """Stands in for Slicer's base class, which is a unittest.TestCase."""

    def setUp(self) -> None:
        self.set_up = getattr(self, "set_up", 0) + 1

    def assertIn(self, member, container) -> None:
        assert member in container

    def assertEqual(self, first, second) -> None:
        assert first == second


@pytest.fixture
def module(monkeypatch):
    stubs = {name: ModuleType(name) for name in ("qt", "slicer", "slicer.i18n", "slicer.ScriptedLoadableModule")}
    stubs["qt"].QLabel = Label
    stubs["slicer.i18n"].tr = lambda text: text
    stubs["slicer.i18n"].translate = lambda context, text: text
    for base in (ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleTest):
        setattr(stubs["slicer.ScriptedLoadableModule"], base.__name__, base)
    for name, stub in stubs.items():
        monkeypatch.setitem(sys.modules, name, stub)
    monkeypatch.delitem(sys.modules, "SAM3DSegment", raising=False)
    import SAM3DSegment

    yield SAM3DSegment
    sys.modules.pop("SAM3DSegment", None)


def test_module_list_entry(module):
    parent = SimpleNamespace()
    module.SAM3DSegment(parent)
    assert parent.title == "SAM 3D Segment"
    assert parent.categories == ["Segmentation"]
    assert module.HOMEPAGE in parent.helpText
    assert parent.contributors and parent.acknowledgementText


def test_page_states_the_engine_and_links_to_the_documentation(module):
    import sam3dseg

    page = module.SAM3DSegmentWidget()
    page.setup()
    texts = [label.text for label in page.shown]
    assert f"sam3dseg {sam3dseg.__version__}, PyTorch is" in page.engineLabel.text
    assert page.engineLabel.text in texts
    assert any(f"{module.HOMEPAGE}/issues" in text for text in texts)


def test_self_test_passes(module):
    test = module.SAM3DSegmentTest()
    test.runTest()
    assert test.set_up == 2


def test_engine_line_loads_no_torch():
    """The module page must not make Slicer wait for PyTorch."""
    names = "qt", "slicer", "slicer.i18n", "slicer.ScriptedLoadableModule"
    code = f"""
import sys
from unittest.mock import MagicMock
for name in {names!r}:
    sys.modules[name] = MagicMock()
sys.modules["slicer.i18n"].tr = str
for base in "ScriptedLoadableModule", "ScriptedLoadableModuleWidget", "ScriptedLoadableModuleTest":
    setattr(sys.modules["slicer.ScriptedLoadableModule"], base, type(base, (), {{}}))
sys.path.append({str(MODULE)!r})
import SAM3DSegment
assert "sam3dseg" in SAM3DSegment.engineLine()
assert not {{"torch", "numpy"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
