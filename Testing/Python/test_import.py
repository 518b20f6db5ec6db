from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[2] / "SAM3DSegment"


def _modules_after(statement: str) -> set[str]:
    code = f"import sys; sys.path.insert(0, {str(PACKAGE_ROOT)!r}); {statement}; print(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    loaded = _modules_after("import sam3dseg; assert sam3dseg.__version__")
    assert not loaded & {"torch", "numpy", "scipy", "SimpleITK", "slicer", "vtk", "qt"}


def test_a_session_needs_no_network_library():
    loaded = _modules_after("from sam3dseg import Box, Click, Session")
    assert "numpy" in loaded
    assert not loaded & {"torch", "SimpleITK", "slicer", "vtk", "qt"}


def test_unknown_name_is_an_attribute_error():
    code = "import sam3dseg\ntry:\n    sam3dseg.nothing\nexcept AttributeError as e:\n    assert 'nothing' in str(e)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE_ROOT)
