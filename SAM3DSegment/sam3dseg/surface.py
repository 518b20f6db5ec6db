"""The surface of a mask: marching cubes, smoothing without shrinking, and files that Slicer places correctly."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from .atomic import replacing, suffix_of
from .imageio import LPS_TO_RAS, Image

SURFACE_SUFFIXES = (".stl", ".obj", ".ply")
HEADER = "SAM3DSegment output. SPACE=LPS"  # Slicer reads the coordinate system from this comment
BLUR_VOXELS = 0.8
PASS_BAND = {"lamb": 0.5, "nu": 0.526}  # 1/lamb - 1/nu = 0.1
ITERATIONS = 10


@dataclass(frozen=True)
class Surface:
    """Triangles around a mask: vertices_ras (V, 3) in RAS mm; faces (F, 3), counter-clockwise seen from outside."""

    vertices_ras: NDArray[np.float64]
    faces: NDArray[np.int64]


def surface_of(mask: NDArray[np.bool_], image: Image, *, longest_side: int | None = None) -> Surface:
    """Smooth closed surface of a bool mask (I, J, K) on the grid of `image`.

    Marching cubes (Lewiner et al. 2003) on the slightly blurred mask, then Taubin's smoothing (1995), which keeps the
    volume. With `longest_side` the mask is first reduced to about that many voxels along its longest side, for fewer
    triangles. Raises ValueError for an empty mask or another shape.
    """
    if mask.shape != image.shape:
        raise ValueError(f"expected a mask of the image's shape {image.shape}, received {mask.shape}")
    if not mask.any():
        raise ValueError("expected a mask with at least one voxel for a surface, received an empty one; click first")
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    solid = mask[box].astype(np.float32)
    factors = np.ones(3, dtype=int)
    if longest_side is not None:
        finest = max(np.array(solid.shape) * image.spacing_mm) / longest_side
        factors = np.maximum(1, np.floor(finest / np.array(image.spacing_mm) + 0.5)).astype(int)
        solid = _block_means(solid, factors)
    vertices, faces = _isosurface(np.pad(solid, 3))
    cells = (vertices - 3) * factors + (factors - 1) / 2 + [side.start for side in box]
    smooth = _taubin(image.ras_of(cells), faces)
    return Surface(smooth, _outward(smooth, faces))


def write_surface(path: str | os.PathLike[str], surface: Surface) -> None:
    """Write .stl (binary), .obj or .ply in LPS mm, which Slicer assumes and the file says.

    Raises ValueError for another file name ending, OSError when the file cannot be written.
    """
    import trimesh  # slow to load, and only needed here

    suffix = suffix_of(path, SURFACE_SUFFIXES)
    mesh = trimesh.Trimesh(surface.vertices_ras @ LPS_TO_RAS, surface.faces, process=False)
    content = mesh.export(file_type=suffix[1:], **({"header": HEADER} if suffix == ".obj" else {}))
    if suffix == ".stl":
        content = HEADER.encode().ljust(80) + content[80:]
    elif suffix == ".ply":
        content = content.replace(b"\nelement", b"\ncomment " + HEADER.encode() + b"\nelement", 1)
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _isosurface(solid: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
    """Vertices in voxels and faces at one half; what the blur would wipe out stays as it is."""
    blurred = ndimage.gaussian_filter(solid, BLUR_VOXELS)
    lost = (solid >= 0.5) & (ndimage.maximum_filter(blurred, 3) < 0.5)
    field = np.where(lost, solid, blurred)
    vertices, faces, _, _ = marching_cubes(field, min(0.5, float(field.max()) / 2))
    return vertices, faces


def _block_means(solid: NDArray[np.float32], factors: NDArray[np.int64]) -> NDArray[np.float32]:
    """Means over blocks of `factors` voxels; the last block is filled up with zeros."""
    short = [(0, int(-n % f)) for n, f in zip(solid.shape, factors, strict=True)]
    filled = np.pad(solid, short)
    a, b, c = (n // f for n, f in zip(filled.shape, factors, strict=True))
    return filled.reshape(a, factors[0], b, factors[1], c, factors[2]).mean(axis=(1, 3, 5))


def _taubin(vertices: NDArray[np.float64], faces: NDArray) -> NDArray[np.float64]:
    """Alternate shrinking and growing towards the mean of the neighbours."""
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces, process=False)
    trimesh.smoothing.filter_taubin(mesh, iterations=ITERATIONS, **PASS_BAND)
    return np.asarray(mesh.vertices)


def _outward(vertices: NDArray[np.float64], faces: NDArray) -> NDArray[np.int64]:
    """Faces turned so that the enclosed volume is positive."""
    a, b, c = (vertices[faces[:, n]] for n in range(3))
    volume = np.einsum("ij,ij->", a - vertices[0], np.cross(b - vertices[0], c - vertices[0]))
    return np.ascontiguousarray(faces[:, ::-1] if volume < 0 else faces).astype(np.int64)
