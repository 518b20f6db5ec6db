"""One picture of a result: three planes with the contour and the clicks, and the surface."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from .atomic import replacing
from .geometry import Orientation
from .imageio import Image
from .info import volume_text
from .prompts import Box, Click
from .proposals.structures import StructureClass
from .surface import surface_of
from .surface_view import FRONT, best_side, draw_surfaces

PREVIEW_SUFFIXES = (".png",)
BACKGROUND, PANEL, TEXT, DIM, CAPTION = "#15171c", "#000000", "#e8eaee", "#8b93a1", "#b9c0cc"
MASK_COLOR, FOREGROUND, BACKGROUND_CLICK, BOX_COLOR = "#35d07f", "#7dff9b", "#ff5a5f", "#ffd23f"
SURFACE_COLOR = (0.93, 0.80, 0.62)
SMALLEST_FRAME_MM = 90.0
SURFACE_VOXELS = 96  # along the longest side of the rendered surface
LONGEST_TITLE = 100
LEGEND_END = 0.82  # share of the width; the grey range is to the right
NEAR_MM = 6.0  # clicks this close to a plane are drawn on it, hollow


@dataclass(frozen=True)
class Plane:
    """A slice through canonical (R, A, S) axes: axis cut, axes across and up, whether each runs right to left."""

    title: str
    axis: int
    across: int
    up: int
    mirrored: bool
    letters: tuple[str, str, str, str]  # left, right, bottom, top


PLANES = (  # as radiologists and Slicer show them: the patient's right on the left, the face to the left
    Plane("Axial", 2, 0, 1, True, ("R", "L", "P", "A")),
    Plane("Coronal", 1, 0, 2, True, ("R", "L", "I", "S")),
    Plane("Sagittal", 0, 1, 2, True, ("A", "P", "I", "S")),
)


@dataclass(frozen=True)
class _Layer:
    """One mask of the picture: label, what the legend says, colours of its contour and of its surface."""

    label: int
    text: str
    color: str
    surface_color: tuple[float, float, float]


@dataclass(frozen=True)
class _Scene:
    """The image, the mask and the prompts in canonical axes."""

    image: NDArray
    labels: NDArray[np.uint8]
    layers: tuple[_Layer, ...]
    spacing: NDArray[np.float64]
    points: NDArray[np.int64]  # (N, 3)
    signs: tuple[bool, ...]
    boxes: tuple[NDArray[np.int64], ...]  # each (2, 3), lower and upper
    center: NDArray[np.int64]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where anything is."""
        return self.labels > 0


def write_preview(
    path: str | os.PathLike[str],
    image: Image,
    mask: NDArray[np.bool_] | NDArray[np.uint8],
    *,
    clicks: Sequence[Click] = (),
    boxes: Sequence[Box] = (),
    structures: Sequence[StructureClass] = (),
    title: str = "",
) -> None:
    """Write a PNG (1600 x 1600) of axial, coronal and sagittal slices through the first click, and of the surface.

    mask: bool (I, J, K) on the grid of `image`, or a label map of `structures`, n being structures[n - 1]. Without a
    click the planes pass through the first box or the middle of the mask. Raises ValueError for another shape,
    OSError when the file cannot be written.
    """
    if mask.shape != image.shape:
        raise ValueError(f"expected a mask of the image's shape {image.shape}, received {mask.shape}")
    scene = _scene(image, mask, clicks, boxes, _layers(mask, structures))
    figure = Figure(figsize=(10, 10), dpi=160, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    planes = [np.take(scene.image, scene.center[axis], axis=axis).ravel() for axis in range(3)]
    shown = scene.mask
    low, high = grey_range(np.concatenate(planes), scene.image[shown])
    frame = _frame(scene, shown)
    spots = ((0.015, 0.485), (0.505, 0.485), (0.015, 0.035), (0.505, 0.035))
    for plane, (left, bottom) in zip(PLANES, spots, strict=False):
        panel = _panel(figure, (left, bottom), plane.letters, _caption(scene, plane))
        axes = figure.add_axes((left, bottom, 0.48, 0.44), facecolor="none")
        panel.set_zorder(axes.get_zorder() - 1)
        _draw_plane(axes, scene, plane, frame=frame, grey=(low, high))
    _draw_surface(figure, spots[3], image, mask, scene.layers)
    voxels = int(np.count_nonzero(mask))
    _headline(figure, title or image.name, f"{volume_text(voxels, image)} · {voxels:,} voxels")
    _legend(figure, scene)
    figure.text(0.98, 0.017, f"grey {low:.4g} to {high:.4g}", color=DIM, fontsize=9, ha="right", va="center")
    with replacing(path) as temporary, _unknown_letters():
        figure.savefig(temporary, format="png", facecolor=BACKGROUND)


def _headline(figure: Figure, title: str, size: str) -> None:
    """The title, cut to the room that the size on the right leaves."""
    right = figure.text(0.98, 0.965, size, color=TEXT, fontsize=13, ha="right", va="center")
    room = right.get_window_extent().x0 - 0.02 * figure.bbox.width  # pixels
    shown = title[:LONGEST_TITLE]
    left = figure.text(0.02, 0.965, shown, color=TEXT, fontsize=17, weight="bold", va="center", parse_math=False)
    with _unknown_letters():
        while left.get_window_extent().x1 > room and len(shown) > 1:
            shown = shown[:-1]
            left.set_text(f"{shown.rstrip()}…")


@contextmanager
def _unknown_letters() -> Iterator[None]:
    """Without a warning: what the font lacks is drawn as an empty box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        yield


def _layers(labels: NDArray, structures: Sequence[StructureClass]) -> tuple[_Layer, ...]:
    """What is there: the one mask, or those structures that occur."""
    if not structures:
        return (_Layer(1, "— contour", MASK_COLOR, SURFACE_COLOR),)
    present = np.bincount(labels.ravel(), minlength=len(structures) + 1)
    return tuple(
        _Layer(number, f"— {structure.name}", to_hex(structure.color), structure.color)
        for number, structure in enumerate(structures, start=1)
        if present[number]
    )


def _scene(
    image: Image, mask: NDArray, clicks: Sequence[Click], boxes: Sequence[Box], layers: tuple[_Layer, ...]
) -> _Scene:
    orientation = Orientation.from_direction(image.direction_ras)
    shape = image.shape
    points = orientation.point_to_canonical(np.array([c.ijk for c in clicks]).reshape(-1, 3), shape).astype(int)
    corners = [orientation.point_to_canonical([b.lower_ijk, b.upper_ijk], shape).astype(int) for b in boxes]
    corners = [np.stack([pair.min(axis=0), pair.max(axis=0)]) for pair in corners]
    turned = orientation.to_canonical(mask.view(np.uint8) if mask.dtype == bool else mask)
    if len(points):
        center = points[0]
    elif corners:
        center = corners[0].mean(axis=0).astype(int)
    else:
        center = np.median(np.argwhere(turned), axis=0).astype(int) if turned.any() else np.array(turned.shape) // 2
    return _Scene(
        image=orientation.to_canonical(image.array_ijk),
        labels=turned,
        layers=layers,
        spacing=np.array(orientation.shape_to_canonical(image.spacing_mm)),
        points=points,
        signs=tuple(c.is_foreground for c in clicks),
        boxes=tuple(corners),
        center=center,
    )


def grey_range(shown: NDArray, inside: NDArray) -> tuple[float, float]:
    """Display range for the grey values `shown`: a CT window that suits those inside the structure, or percentiles."""
    values = shown.astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    if values.min() <= -900 and values.max() <= 32767:  # Hounsfield units
        level = float(np.median(inside)) if len(inside) else 40.0
        if level < -400:
            return -1350.0, 150.0  # lung
        return (-450.0, 1050.0) if level > 250 else (-160.0, 240.0)  # bone; soft tissue
    busy = values[values > values.min()]
    low, high = np.percentile(busy if len(busy) else values, (0.5, 99.7))
    low = min(low, float(values.min())) if values.min() >= 0 else low
    high += 0.08 * (high - low)  # room above, so that the brightest tissue keeps its texture
    return float(low), float(high) if high > low else float(low) + 1.0


def _frame(scene: _Scene, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2, 3) canonical voxel bounds to show: the structure and all prompts with room around, same for all planes."""
    last = np.array(scene.image.shape) - 1
    filled = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    ends = np.array([[f[0], f[-1]] for f in filled]).T if len(filled[0]) else np.stack([scene.center, scene.center])
    marks = np.concatenate([ends, scene.points, *scene.boxes])
    low, high = marks.min(axis=0), marks.max(axis=0)
    side = max(float(((high - low) * scene.spacing).max()) * 1.7, SMALLEST_FRAME_MM)
    half = side / scene.spacing / 2
    middle = (low + high) / 2
    return np.stack([np.maximum(middle - half, -0.5), np.minimum(middle + half, last + 0.5)])


def _draw_plane(
    axes: Axes, scene: _Scene, plane: Plane, *, frame: NDArray[np.float64], grey: tuple[float, float]
) -> None:
    across, up = plane.across, plane.up
    position = int(scene.center[plane.axis])
    picture, labels = (np.take(a, position, axis=plane.axis) for a in (scene.image, scene.labels))  # (across, up)
    aspect = scene.spacing[up] / scene.spacing[across]
    axes.imshow(picture.T, cmap="gray", vmin=grey[0], vmax=grey[1], origin="lower", aspect=aspect,
                interpolation="bilinear")  # fmt: skip
    for layer in scene.layers:
        outline = np.equal(labels.T, layer.label)
        if not outline.any():
            continue
        shade = np.zeros((*outline.shape, 4))
        shade[outline] = (*to_rgb(layer.color), 0.13)
        axes.imshow(shade, origin="lower", aspect=aspect, interpolation="nearest")
        axes.contour(np.pad(outline, 1).astype(float), [0.5], colors=layer.color, linewidths=1.5,
                     extent=(-1, outline.shape[1], -1, outline.shape[0]))  # fmt: skip
    for low, high in scene.boxes:
        if low[plane.axis] <= position <= high[plane.axis]:
            x, y = np.array([low[across] - 0.5, high[across] + 0.5]), np.array([low[up] - 0.5, high[up] + 0.5])
            axes.plot(x[[0, 1, 1, 0, 0]], y[[0, 0, 1, 1, 0]], color=BOX_COLOR, linewidth=1.4, linestyle="--")
    for number, (point, sign) in enumerate(zip(scene.points, scene.signs, strict=True), start=1):
        off_mm = abs(int(point[plane.axis]) - position) * scene.spacing[plane.axis]
        if off_mm <= NEAR_MM or number == 1:
            _draw_click(axes, point[across], point[up], number, sign, solid=off_mm == 0)
    bounds_x, bounds_y = frame[:, across], frame[:, up]
    axes.set_xlim(*(bounds_x[::-1] if plane.mirrored else bounds_x))
    axes.set_ylim(*bounds_y)
    axes.set_axis_off()


def _draw_click(axes: Axes, x: float, y: float, number: int, sign: bool, *, solid: bool) -> None:
    color = FOREGROUND if sign else BACKGROUND_CLICK
    axes.plot(x, y, "o", markersize=13, markerfacecolor="#00000090" if solid else "none", markeredgecolor=color,
              markeredgewidth=1.8 if solid else 1.0, alpha=1.0 if solid else 0.7)  # fmt: skip
    axes.plot(x, y, "+" if sign else "_", markersize=7, color=color, markeredgewidth=1.8, alpha=1.0 if solid else 0.7)
    axes.annotate(str(number), (x, y), xytext=(8, 7), textcoords="offset points", color=color, fontsize=10,
                  weight="bold", path_effects=[withStroke(linewidth=2.5, foreground="black")])  # fmt: skip


def _caption(scene: _Scene, plane: Plane) -> str:
    return f"{plane.title}  {int(scene.center[plane.axis]) + 1} / {scene.image.shape[plane.axis]}"


def _panel(figure: Figure, spot: tuple[float, float], letters: tuple[str, str, str, str], caption: str) -> Axes:
    """A dark field with orientation letters (left, right, bottom, top) and a caption."""
    panel = figure.add_axes((*spot, 0.48, 0.44), facecolor=PANEL)
    panel.set(xticks=[], yticks=[])
    for spine in panel.spines.values():
        spine.set_visible(False)
    halo = [withStroke(linewidth=2.5, foreground="black")]  # readable on any tissue
    for (x, y), letter in zip(((0.03, 0.5), (0.97, 0.5), (0.5, 0.035), (0.5, 0.965)), letters, strict=True):
        figure.text(spot[0] + 0.48 * x, spot[1] + 0.44 * y, letter, color=TEXT, fontsize=13, weight="bold", ha="center",
                    va="center", path_effects=halo)  # fmt: skip
    figure.text(spot[0] + 0.01, spot[1] + 0.424, caption, color=CAPTION, fontsize=10, va="center", path_effects=halo)
    return panel


def _draw_surface(
    figure: Figure, spot: tuple[float, float], image: Image, mask: NDArray, layers: Sequence[_Layer]
) -> None:
    if not mask.any():
        panel = _panel(figure, spot, FRONT.letters, "Surface")
        panel.text(0.5, 0.5, "empty mask", color=DIM, fontsize=13, ha="center")
        return
    surfaces = [surface_of(mask == layer.label, image, longest_side=SURFACE_VOXELS) for layer in layers]
    side = best_side(surfaces)
    panel = _panel(figure, spot, side.letters, f"Surface{'s' * (len(surfaces) > 1)}, from the {side.name}")
    panel.set_zorder(-1)
    draw_surfaces(figure, (*spot, 0.48, 0.44), surfaces, [layer.surface_color for layer in layers], side)


def _legend(figure: Figure, scene: _Scene) -> None:
    entries = []
    if any(scene.signs):
        entries.append(("⊕ inside", FOREGROUND))
    if not all(scene.signs):
        entries.append(("⊖ outside", BACKGROUND_CLICK))
    if scene.boxes:
        entries.append(("▢ box", BOX_COLOR))
    entries += [(layer.text, layer.color) for layer in scene.layers]
    left = 0.02
    for text, color in entries:
        left = _legend_entry(figure, left, text, color)
    if len(scene.points) > 1:
        _legend_entry(figure, left, f"thin rings: clicks up to {NEAR_MM:.0f} mm off the plane", DIM)


def _legend_entry(figure: Figure, left: float, text: str, color: str) -> float:
    """Draw at `left` unless there is no room; gives where the next begins."""
    shown = figure.text(left, 0.017, text, color=color, fontsize=10, va="center", parse_math=False)
    with _unknown_letters():
        right = shown.get_window_extent().x1 / figure.bbox.width
    if right > LEGEND_END:
        shown.remove()
        return left
    return right + 0.03
