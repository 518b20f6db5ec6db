"""Golden pictures: what views looked like when somebody looked at them, compared on the renderer that drew them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import vtk
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from slicer_host.rendering import renderingBackend

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
REWRITE = "SAM3DSEG_REWRITE_GOLDEN"  # set it to 1 to store what is drawn now; then look at the files
RENDERER = "renderer"  # text in each PNG: what drew it
MEAN_DIFFERENCE = 0.5  # of 255
CLEARLY = 32  # of 255, in any channel
OTHER_PIXELS = 8  # may differ clearly; the smallest point has 20


def compareWithGolden(name: str, pixels: NDArray[np.uint8], drawnFolder: Path, *, golden: Path = GOLDEN) -> None:
    """Assert that a picture (rows, columns, 3) is the golden one of this name, nearly.

    What was drawn is saved in drawnFolder for whoever looks into a failure. Skips on another renderer than the one that
    drew the golden picture.
    """
    expectedFile, drawnFile = Path(golden) / f"{name}.png", Path(drawnFolder) / f"{name}.png"
    Image.fromarray(pixels).save(drawnFile)
    if os.environ.get(REWRITE) == "1":
        expectedFile.parent.mkdir(exist_ok=True)
        text = PngImagePlugin.PngInfo()
        text.add_text(RENDERER, rendererLine())
        Image.fromarray(pixels).save(expectedFile, optimize=True, pnginfo=text)
    if not expectedFile.exists():
        pytest.fail(f"{expectedFile} does not exist; {REWRITE}=1 stores what is drawn")
    with Image.open(expectedFile) as picture:
        drawnBy, expected = picture.text.get(RENDERER), np.asarray(picture.convert("RGB")).astype(int)
    if drawnBy != rendererLine():
        pytest.skip(f"the golden picture {name} was drawn by {drawnBy}, here it is {rendererLine()}")
    assert expected.shape == pixels.shape, f"{drawnFile} is {pixels.shape}, {expectedFile} is {expected.shape}"
    difference = np.abs(expected - pixels)
    others = int((difference.max(axis=2) > CLEARLY).sum())
    assert difference.mean() <= MEAN_DIFFERENCE and others <= OTHER_PIXELS, (
        f"{drawnFile} is not {expectedFile}: off by {difference.mean():.2f} of 255 on average, and {others} pixels"
    )


def rendererLine() -> str:
    """One line on the renderer and VTK's version: pictures are the same, to the bit, where it is."""
    return f"VTK {vtk.vtkVersion.GetVTKVersion()} | {renderingBackend()}"
