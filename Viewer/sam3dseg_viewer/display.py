"""How bright a volume is shown: Slicer's automatic contrast, or a window of Hounsfield units."""

from __future__ import annotations

from typing import Any

AUTOMATIC = "Automatic"
WINDOWS = {  # width and centre, HU
    "CT soft tissue": (400.0, 40.0),
    "CT bone": (1800.0, 400.0),
    "CT lung": (1500.0, -600.0),
    "CT brain": (80.0, 40.0),
}
CONTRASTS = (AUTOMATIC, *WINDOWS)
CT_AIR = -900.0  # HU; images that reach it, and have no negative values in other modalities, are CT


def set_contrast(volume: Any, name: str) -> None:
    """Show a volume node with one of CONTRASTS. Raises ValueError for another name."""
    if name not in CONTRASTS:
        raise ValueError(f"expected a contrast from {', '.join(CONTRASTS)}, received {name}")
    display = volume.GetDisplayNode()
    if name == AUTOMATIC:
        display.AutoWindowLevelOn()
    else:
        display.AutoWindowLevelOff()
        display.SetWindowLevel(*WINDOWS[name])


def suggested_contrast(volume: Any) -> str:
    """Soft tissue for what looks like CT, else automatic."""
    lowest, highest = volume.GetImageData().GetScalarRange()
    return "CT soft tissue" if lowest <= CT_AIR and highest > -lowest / 4 else AUTOMATIC
