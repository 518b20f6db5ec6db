"""Surfaces drawn in light and shade by Matplotlib, as seen from one side of the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray

from .surface import Surface

LIGHTS = (((-0.4, 0.75, 0.6), 0.75), ((0.9, 0.3, 0.1), 0.25))  # direction (right, towards the viewer, up), strength
AMBIENT = 0.16


@dataclass(frozen=True)
class Side:
    """A side to see surfaces from: rows of `axes` are screen right, away from the viewer, and up, in RAS."""

    name: str
    axes: tuple[tuple[int, int, int], ...]
    azimuth: float
    letters: tuple[str, str, str, str]  # left, right, bottom, top


FRONT = Side("front left", ((-1, 0, 0), (0, -1, 0), (0, 0, 1)), -70, ("R", "L", "I", "S"))
LEFT = Side("left front", ((0, -1, 0), (1, 0, 0), (0, 0, 1)), -110, ("A", "P", "I", "S"))


def best_side(surfaces: Sequence[Surface]) -> Side:
    """Where most of the surfaces is seen from."""
    width, depth, _ = np.ptp(np.concatenate([surface.vertices_ras for surface in surfaces]), axis=0)
    return LEFT if depth > 1.3 * width else FRONT


def draw_surfaces(
    figure: Figure,
    place: tuple[float, float, float, float],
    surfaces: Sequence[Surface],
    colors: Sequence[Sequence[float]],
    side: Side,
) -> None:
    """Draw into `place` (left, bottom, width, height) of a figure, a little from above; colors (red, green, blue)."""
    axes: Any = figure.add_axes(place, projection="3d", facecolor="none", computed_zorder=False)
    axes.set_axis_off()
    turned = [surface.vertices_ras @ np.array(side.axes, dtype=float).T for surface in surfaces]
    triangles, shades = [], []
    for vertices, surface, color in zip(turned, surfaces, colors, strict=True):
        triangles.append(vertices[surface.faces])  # (F, 3, 3)
        shades.append(np.clip(_light(vertices, surface.faces)[:, None] * np.asarray(color, dtype=float), 0, 1))
    faces = np.concatenate(shades)
    axes.add_collection3d(
        Poly3DCollection(np.concatenate(triangles), facecolors=faces, edgecolors=faces, linewidths=0.2)
    )
    points = np.concatenate(turned)
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, float((high - low).max()) * 0.5
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half),
             zlim=(middle[2] - half, middle[2] + half))  # fmt: skip
    axes.set_box_aspect((1, 1, 1), zoom=1.35)
    axes.set_proj_type("persp", focal_length=1.4)
    axes.view_init(elev=14, azim=side.azimuth)


def _light(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """Brightness of every face (F,), smooth across edges."""
    corners = vertices[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    corner_normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(corner_normals, faces[:, corner], flat)
    normals = _unit(_unit(corner_normals)[faces].mean(axis=1))
    shade = np.full(len(normals), AMBIENT)
    for (right, front, top), strength in LIGHTS:
        shade += strength * np.clip(normals @ _unit(np.array([right, -front, top])), 0, None)
    return shade


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
