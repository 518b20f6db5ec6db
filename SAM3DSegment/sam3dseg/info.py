"""An image in a few lines of text: what `sam3dseg info` prints."""

from __future__ import annotations

import numpy as np

from .geometry import Orientation
from .imageio import Image

LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))  # towards positive and negative RAS


def orientation_code(image: Image) -> str:
    """Three letters: where each index axis leads, e.g. LPS. Raises ValueError for a sheared direction."""
    orientation = Orientation.from_direction(image.direction_ras)
    code = [""] * 3
    for canonical, (axis, flipped) in enumerate(zip(orientation.perm, orientation.flips, strict=True)):
        code[axis] = LETTERS[canonical][int(flipped)]
    return "".join(code)


def volume_text(voxels: int, image: Image) -> str:
    """The volume of so many voxels in millilitres; small ones keep three digits."""
    millilitres = voxels * image.voxel_ml
    return f"{millilitres:,.1f} ml" if millilitres >= 10 else f"{millilitres:.3g} ml"


def describe(image: Image) -> str:
    """Size, spacing, orientation, place and intensities, one per line."""
    array, shape = image.array_ijk, image.shape
    extent = [n * s for n, s in zip(shape, image.spacing_mm, strict=True)]
    axes = np.abs(image.direction_ras).max(axis=0)
    oblique = float(np.degrees(np.arccos(np.clip(axes.min(), -1, 1))))
    lines = [
        ("image", image.name),
        ("voxels", f"{shape[0]} x {shape[1]} x {shape[2]} ({array.size:,}), {array.dtype}"),
        ("spacing", " x ".join(f"{s:.4g}" for s in image.spacing_mm) + " mm"),
        ("extent", " x ".join(f"{e:.1f}" for e in extent) + " mm"),
        ("axes lead to", orientation_code(image) + (f", oblique by {oblique:.1f} degrees" if oblique > 0.05 else "")),
        ("first voxel", "RAS " + ", ".join(f"{v:.2f}" for v in image.origin_ras) + " mm"),
        ("middle voxel", ", ".join(str(n // 2) for n in shape)),
    ]
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if finite.size:
        low, median, high = np.percentile(finite, (0.5, 50, 99.5))
        lines.append(("intensities", f"{finite.min():.6g} to {finite.max():.6g}"))
        lines.append(("percentiles", f"0.5 %: {low:.6g}, 50 %: {median:.6g}, 99.5 %: {high:.6g}"))
    if finite.size < array.size:
        lines.append(("not finite", f"{array.size - finite.size:,} voxels (NaN or infinite)"))
    return "\n".join(f"{name:<14}{value}" for name, value in lines)
