from __future__ import annotations

import os

import numpy as np
import pytest
import trimesh

from sam3dseg.imageio import Image
from sam3dseg.surface import Surface, surface_of, write_surface

DIRECTIONS = {
    "ras": np.eye(3),
    "lps": np.diag([-1.0, -1.0, 1.0]),
    "left-handed": np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, 1]]),
}


def place(mask: np.ndarray, direction: np.ndarray = DIRECTIONS["lps"]) -> Image:
    return Image(mask, (1.0, 0.8, 2.0), direction, np.array([10.0, 20.0, 30.0]))


def mesh_of(surface: Surface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices_ras, surface.faces, process=False)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_an_ellipsoid_keeps_its_place_and_volume(make_ellipsoid, direction):
    mask = make_ellipsoid((50, 60, 40), (25, 30, 20), (15, 18, 9))
    image = place(mask, direction)
    mesh = mesh_of(surface_of(mask, image))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(mask.sum() * 1.6, rel=0.02)  # positive: triangles face outwards
    np.testing.assert_allclose(mesh.center_mass, image.ras_of((25, 30, 20)), atol=0.05)


def test_reduced_surface_has_few_triangles_in_the_same_place(make_ellipsoid):
    mask = make_ellipsoid((60, 60, 60), (30, 30, 30), (25, 20, 12))
    image = place(mask)
    full, reduced = surface_of(mask, image), surface_of(mask, image, longest_side=20)
    assert len(reduced.faces) < len(full.faces) / 3
    np.testing.assert_allclose(mesh_of(reduced).center_mass, image.ras_of((30, 30, 30)), atol=0.5)
    assert mesh_of(reduced).volume == pytest.approx(mesh_of(full).volume, rel=0.06)


def test_smoothing_removes_the_steps(make_ellipsoid):
    mask = make_ellipsoid((40, 40, 40), (20, 20, 20), (15, 15, 15))
    image = Image(mask, (1.0, 1.0, 1.0), np.eye(3), np.zeros(3))
    radius = np.linalg.norm(surface_of(mask, image).vertices_ras - 20, axis=1)
    assert radius.std() < 0.2  # the voxels' own steps scatter by about 0.29


def test_tiny_and_thin_masks_do_not_vanish():
    mask = np.zeros((20, 20, 20), bool)
    mask[3, 4, 5] = True
    image = place(mask)
    np.testing.assert_allclose(surface_of(mask, image).vertices_ras.mean(axis=0), image.ras_of((3, 4, 5)), atol=0.01)
    mask[:, 10, 10] = True  # a line along the whole image, through its faces
    assert len(mesh_of(surface_of(mask, image)).split(only_watertight=True)) == 2
    assert len(surface_of(mask, image, longest_side=5).faces)


def test_a_mask_that_fills_the_image_is_closed():
    mask = np.ones((6, 7, 8), bool)
    assert mesh_of(surface_of(mask, place(mask))).is_watertight


def test_empty_mask_and_other_shape_are_refused():
    mask = np.zeros((5, 5, 5), bool)
    with pytest.raises(ValueError, match="received an empty one"):
        surface_of(mask, place(mask))
    with pytest.raises(ValueError, match=r"shape \(5, 5, 5\), received \(4, 5, 5\)"):
        surface_of(mask[:4], place(mask))


@pytest.fixture
def surface(make_ellipsoid) -> Surface:
    mask = make_ellipsoid((20, 20, 20), (9, 10, 11), (5, 6, 4))
    return surface_of(mask, place(mask))


@pytest.mark.parametrize("suffix", [".stl", ".obj", ".ply"])
def test_files_are_in_lps_and_say_so(tmp_path, surface, suffix):
    path = tmp_path / f"s{suffix}"
    write_surface(path, surface)
    lps = surface.vertices_ras * (-1, -1, 1)
    mesh = trimesh.load_mesh(path)
    np.testing.assert_allclose(mesh.bounds, [lps.min(axis=0), lps.max(axis=0)], atol=1e-4)
    assert mesh.volume == pytest.approx(mesh_of(surface).volume, rel=1e-4)
    assert b"SPACE=LPS" in path.read_bytes()[:200]
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".stl", ".obj", ".ply"])
def test_slicer_reads_them_in_ras(tmp_path, surface, suffix):
    slicer = pytest.importorskip("slicer", reason="needs slicer-core")
    path = tmp_path / f"s{suffix}"
    write_surface(path, surface)
    scene, node, storage = slicer.vtkMRMLScene(), slicer.vtkMRMLModelNode(), slicer.vtkMRMLModelStorageNode()
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    bounds = np.array(node.GetPolyData().GetBounds()).reshape(3, 2)
    np.testing.assert_allclose(bounds[:, 0], surface.vertices_ras.min(axis=0), atol=1e-3)
    np.testing.assert_allclose(bounds[:, 1], surface.vertices_ras.max(axis=0), atol=1e-3)


def test_unknown_ending_is_refused(tmp_path, surface):
    with pytest.raises(ValueError, match="expected a name ending in .stl, .obj, .ply"):
        write_surface(tmp_path / "s.vtk", surface)
