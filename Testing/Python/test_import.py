from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_loading_a_model_leaves_the_compiler_of_the_network_library_alone():
    pytest.importorskip("torch")
    load = "from sam3dseg import load_segmenter; load_segmenter('embedded', device='cpu')"
    other = "from sam3dseg.checkpoint import _without_weights; _without_weights('sam_med3d_vit_b_ori', {})"
    loaded = _modules_after(f"{load}; {other}")
    assert "torch" in loaded
    assert not loaded & {"torch._dynamo", "sympy"}  # longer to import than all else together


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_large_pages_are_asked_for_unless_the_user_decided(given, expected):
    environment = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    code = "import sam3dseg, os; print(os.environ['THP_MEM_ALLOC_ENABLE'])"
    environment |= {} if given is None else {"THP_MEM_ALLOC_ENABLE": given}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, cwd=PACKAGE_ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == expected


def test_unknown_name_is_an_attribute_error():
    code = "import sam3dseg\ntry:\n    sam3dseg.nothing\nexcept AttributeError as e:\n    assert 'nothing' in str(e)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE_ROOT)
