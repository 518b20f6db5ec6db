"""Which OpenGL renders off screen on this computer: asked in a process of its own, since VTK without any ends it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

PROBE = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
window.AddRenderer(vtk.vtkRenderer())
window.Render()
lines = [line.split(":", 1) for line in window.ReportCapabilities().splitlines() if ":" in line]
found = {key.strip(): value.strip() for key, value in lines}
print("backend:", window.GetClassName(), "|", found["OpenGL renderer string"], "|", found["OpenGL version string"])
"""


@cache
def renderingBackend() -> str:
    """One line on the window class, the renderer and the OpenGL version, such as "vtkEGLRenderWindow | llvmpipe …".

    Raises RuntimeError where nothing can be rendered.
    """
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("backend: ")]
    if done.returncode or not lines:
        raise RuntimeError(
            f"VTK cannot render off screen here (the probe ended with {done.returncode}); "
            "install libegl1 libegl-mesa0 libgl1-mesa-dri"
        )
    return lines[0].removeprefix("backend: ")


def skipWithoutRendering() -> None:
    """Skip the calling test, with the reason, where VTK cannot render off screen."""
    try:
        renderingBackend()
    except RuntimeError as error:
        import pytest  # benchmarks do without

        pytest.skip(str(error))
