"""Pictures of a case in canonical axes: outlines on three planes, and slice by slice side by side."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from sam3dseg.masks import bounding_box
from sam3dseg.preview import PLANES, Plane, grey_range
from sam3dseg.prompts import Click

from ..data.entries import CachedCase

REFERENCE_COLOR, MODEL_COLOR, BASELINE_COLOR = "#3ddc84", "#4da3ff", "#ffae42"
LABEL_COLORS = ("#4da3ff", "#ffae42", "#3ddc84", "#ff6b81", "#b388ff", "#ffe066", "#4dd0e1", "#f48fb1")
DARK, LIGHT, DIM = "#15171c", "#e8eaee", "#9aa3b2"
MARGIN_MM = 12.0
FILL = 0.45


@dataclass(frozen=True)
class Layer:
    """A mask (R, A, S) to draw, and what it is called."""

    name: str
    mask: NDArray[np.bool_]
    color: str


def planes_picture(
    case: CachedCase, layers: Sequence[Layer], *, clicks: Sequence[Click] = (), title: str = ""
) -> Figure:
    """Three planes through the middle of the first layer that is not empty, all layers as outlines."""
    box = _frame(case, [layer.mask for layer in layers])
    center = _middle(layers, case)
    grey = _grey(case, box, layers)
    figure = _figure(width=9.6, height=3.75)
    for axes, plane in zip(figure.subplots(1, 3), PLANES, strict=True):
        _show(axes, case, plane, int(center[plane.axis]), box, grey)
        for layer in layers:
            _outline(axes, np.take(layer.mask, int(center[plane.axis]), axis=plane.axis), layer.color)
        for click in clicks:
            if click.ijk[plane.axis] == center[plane.axis]:
                _mark(axes, click.ijk[plane.across], click.ijk[plane.up], click.is_foreground)
        axes.set_title(f"{plane.title} {int(center[plane.axis]) + 1}/{case.image.shape[plane.axis]}", fontsize=9,
                       color=DIM)  # fmt: skip
    _caption(figure, title, layers)
    return figure


def labels_picture(case: CachedCase, rows: Sequence[tuple[str, Sequence[Layer]]], *, title: str = "") -> Figure:
    """A row per result, three planes each, all labels as coloured areas; planes pass through the middle of the first
    row's labels."""
    every = [layer for _, layers in rows for layer in layers]
    box, grey = _frame(case, [layer.mask for layer in every]), None
    together = Layer("", np.logical_or.reduce([layer.mask for layer in rows[0][1]]), "")
    center = _middle([together], case)
    grey = _grey(case, box, every)
    figure = _figure(width=9.6, height=3.3 * len(rows) + 0.5)
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for line, (name, layers) in zip(grid, rows, strict=True):
        for axes, plane in zip(line, PLANES, strict=True):
            position = int(center[plane.axis])
            _show(axes, case, plane, position, box, grey)
            for layer in layers:
                _area(axes, np.take(layer.mask, position, axis=plane.axis), layer.color)
            axes.set_title(f"{name} · {plane.title}", fontsize=9, color=DIM, parse_math=False)
    _caption(figure, title, rows[0][1])
    return figure


def slices_picture(
    case: CachedCase, reference: NDArray[np.bool_], columns: Sequence[Layer], *, slices: int, title: str = ""
) -> Figure:
    """A row per slice: the image alone, then each layer as an area with the reference's outline.

    The slices are spread evenly over reference and layers, along the axis in which the voxels are longest.
    """
    masks = [reference, *(layer.mask for layer in columns)]
    plane = max(PLANES, key=lambda plane: case.spacing_mm[plane.axis])  # the first, axial, where all are equal
    extent = bounding_box(np.logical_or.reduce(masks))
    low, high = (extent[plane.axis].start, extent[plane.axis].stop - 1) if extent else (0, 0)
    positions = sorted({int(p) for p in np.linspace(high, low, slices + 2).round()[1:-1]}, reverse=True)
    box = _frame(case, masks)
    grey = _grey(case, box, [Layer("", reference, "")])
    width, height = (float(np.ptp(box[:, axis]) * case.spacing_mm[axis]) for axis in (plane.across, plane.up))
    side = 2.3
    figure = _figure(width=side * (len(columns) + 1) + 0.6, height=side * height / width * len(positions) + 0.9)
    grid = figure.subplots(len(positions), len(columns) + 1, squeeze=False)
    for row, (line, position) in enumerate(zip(grid, positions, strict=True)):
        outline = np.take(reference, position, axis=plane.axis)
        for axes, layer in zip(line, (None, *columns), strict=True):
            _show(axes, case, plane, position, box, grey)
            if layer is not None:
                _area(axes, np.take(layer.mask, position, axis=plane.axis), layer.color)
                _outline(axes, outline, REFERENCE_COLOR)
            if row == 0:
                axes.set_title(layer.name if layer else "image", fontsize=9, color=LIGHT, parse_math=False)
        line[0].text(0.03, 0.96, f"{plane.title} {position + 1}", transform=line[0].transAxes, fontsize=8, color=LIGHT,
                     va="top")  # fmt: skip
    _caption(figure, title, [Layer("outline: reference", reference, REFERENCE_COLOR)])
    return figure


def png(figure: Figure, *, dpi: int = 100) -> bytes:
    """The figure as a PNG file."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # what the font lacks is drawn as an empty box
        figure.savefig(stream, format="png", dpi=dpi, facecolor=DARK)
    return stream.getvalue()


def _figure(*, width: float, height: float) -> Figure:
    layout = ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.06)
    return Figure(figsize=(width, height), layout=layout, facecolor=DARK)


def _middle(layers: Sequence[Layer], case: CachedCase) -> NDArray[np.int64]:
    """The voxel (3,) through which the planes pass: where each axis cuts most of the first layer with voxels."""
    mask = next((layer.mask for layer in layers if layer.mask.any()), None)
    if mask is None:
        return np.array(case.image.shape) // 2
    return np.array([mask.sum(axis=tuple(a for a in range(3) if a != axis)).argmax() for axis in range(3)])


def _frame(case: CachedCase, masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """(2, 3) voxel bounds to show: a box around all masks with a margin, its sides equal in mm where they can be."""
    shape, spacing = np.array(case.image.shape), np.array(case.spacing_mm)
    extent = bounding_box(np.logical_or.reduce(masks))
    if extent is None:
        return np.stack([np.full(3, -0.5), shape - 0.5])
    low, high = (np.array([getattr(part, end) for part in extent], float) for end in ("start", "stop"))
    half = (float(((high - low) * spacing).max()) / 2 + MARGIN_MM) / spacing
    middle = (low + high - 1) / 2
    return np.stack([np.maximum(middle - half, -0.5), np.minimum(middle + half, shape - 0.5)])


def _grey(case: CachedCase, box: NDArray[np.float64], layers: Sequence[Layer]) -> tuple[float, float]:
    region = tuple(slice(int(a + 0.5), int(b + 0.5) + 1) for a, b in box.T)
    inside = np.logical_or.reduce([layer.mask[region] for layer in layers])
    return grey_range(case.image[region], case.image[region][inside])


def _show(
    axes: Axes, case: CachedCase, plane: Plane, position: int, box: NDArray[np.float64], grey: tuple[float, float]
) -> None:
    picture = np.take(case.image, position, axis=plane.axis)  # (across, up)
    aspect = case.spacing_mm[plane.up] / case.spacing_mm[plane.across]
    axes.imshow(picture.T, cmap="gray", vmin=grey[0], vmax=grey[1], origin="lower", aspect=aspect,
                interpolation="bilinear")  # fmt: skip
    across, up = box[:, plane.across], box[:, plane.up]
    axes.set_xlim(*(across[::-1] if plane.mirrored else across))
    axes.set_ylim(*up)
    axes.set_axis_off()


def _outline(axes: Axes, mask: NDArray[np.bool_], color: str) -> None:
    if mask.any():
        axes.contour(np.pad(mask.T, 1).astype(float), [0.5], colors=color, linewidths=1.5,
                     extent=(-1, mask.shape[0], -1, mask.shape[1]))  # fmt: skip


def _area(axes: Axes, mask: NDArray[np.bool_], color: str) -> None:
    shade = np.zeros((*mask.T.shape, 4))
    shade[mask.T] = (*to_rgb(color), FILL)
    axes.imshow(shade, origin="lower", aspect=axes.get_aspect(), interpolation="nearest")


def _mark(axes: Axes, x: float, y: float, is_foreground: bool) -> None:
    axes.plot(x, y, "o", markersize=9, markerfacecolor="#000000a0", markeredgecolor="white", markeredgewidth=1)
    axes.plot(x, y, "+" if is_foreground else "_", markersize=6, color="white", markeredgewidth=1.5)


def _caption(figure: Figure, title: str, layers: Sequence[Layer]) -> None:
    from matplotlib.patches import Patch

    if title:
        figure.suptitle(title, color=LIGHT, fontsize=10, x=0.01, ha="left", parse_math=False)
    handles = [Patch(color=layer.color, label=layer.name.replace("$", r"\$")) for layer in layers]
    figure.legend(handles=handles, loc="outside lower left", ncols=6, frameon=False, labelcolor=LIGHT, fontsize=9)
