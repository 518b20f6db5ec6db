"""Golden pictures: what views looked like when somebody looked at them, compared on the renderer that drew them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from slicer_host.rendering import renderingBackend

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BACKEND_FILE = GOLDEN / "backend.txt"
REWRITE = "SAM3DSEG_REWRITE_GOLDEN"  # set it to 1 to store what is drawn now; then look at the files
MEAN_DIFFERENCE = 1.5  # of 255
OTHER_PIXELS = 0.005  # share of the pixels that may differ by more than CLEARLY in any channel
CLEARLY = 48  # of 255


def compareWithGolden(name: str, pixels: NDArray[np.uint8], folder: Path) -> None:
    """Assert that a picture (rows, columns, 3) is the golden one of this name, nearly.

    What was drawn is saved in `folder` for whoever looks into a failure. Skips on another renderer than the pinned one.
    """
    from PIL import Image

    golden, drawn = GOLDEN / f"{name}.png", Path(folder) / f"{name}.png"
    Image.fromarray(pixels).save(drawn)
    if os.environ.get(REWRITE) == "1":
        GOLDEN.mkdir(exist_ok=True)
        BACKEND_FILE.write_text(renderingBackend() + "\n", encoding="utf-8")
        Image.fromarray(pixels).quantize(colors=128, dither=Image.Dither.NONE).save(golden, optimize=True)
    pinned = BACKEND_FILE.read_text(encoding="utf-8").strip()
    if renderingBackend() != pinned:
        pytest.skip(f"golden pictures were drawn by {pinned}, here it is {renderingBackend()}")
    expected = np.asarray(Image.open(golden).convert("RGB")).astype(int)
    assert expected.shape == pixels.shape, f"{drawn} is {pixels.shape}, {golden} is {expected.shape}"
    difference = np.abs(expected - pixels)
    others = float((difference.max(axis=2) > CLEARLY).mean())
    assert difference.mean() <= MEAN_DIFFERENCE and others <= OTHER_PIXELS, (
        f"{drawn} differs from {golden}: by {difference.mean():.2f} of 255 on average, clearly in {others:.2%}"
    )
