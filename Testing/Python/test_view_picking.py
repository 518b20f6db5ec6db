"""Picks under real pixels of real views: slices of any orientation, surfaces, slices in 3D, volume renderings."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
vtk = pytest.importorskip("vtk")

from slicer_host.phantom import LUMP, ORGAN, ROD, phantom  # noqa: E402
from slicer_host.scene import matrixOf  # noqa: E402
from slicer_host.viewing import Viewing, viewing  # noqa: E402, F401

from SAM3DSegmentLib.Views.ViewPicking import nearestPoint, pickIn3D, pickInSlice  # noqa: E402

OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])


@pytest.fixture
def tilted():
    """The phantom stored along oblique axes."""
    opened = Viewing(phantom(direction=OBLIQUE))
    yield opened
    opened.close()


def pickedBy(view, xy, *, depth_mm=0.0):
    if view.node.IsA("vtkMRMLSliceNode"):
        return pickInSlice(view.interactor, view.node, xy)
    pick = pickIn3D(view.renderer, xy, depth_mm=depth_mm)
    return pick and pick.ras


def showVolumeRendering(viewing, *, from_: float = 250.0):
    """Volume rendering of what is brighter than `from_`."""
    node = viewing.scene.logics["volumerendering"].CreateDefaultVolumeRenderingNodes(viewing.volume)
    opacity = vtk.vtkPiecewiseFunction()
    for value, alpha in ((-1000, 0.0), (from_ - 1, 0.0), (from_, 0.9), (3000, 0.9)):
        opacity.AddPoint(value, alpha)
    node.GetVolumePropertyNode().SetScalarOpacity(opacity)
    node.SetVisibility(True)
    viewing.views.threeD.window.Render()
    return node


# ---- slices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("color", ["red", "yellow", "green"])
def test_pick_in_each_orientation_is_the_point_under_the_pixel(viewing, color):
    view = getattr(viewing.views, color)
    for label in (ORGAN, LUMP, ROD):
        target = viewing.case.center(label)
        view.node.JumpSlice(*target)
        found = pickedBy(view, view.xyOf(target))
        assert found == pytest.approx(tuple(target), abs=1e-6)
        assert viewing.case.labelAt(found) == label


@pytest.mark.parametrize("color", ["red", "yellow", "green"])
def test_pixel_shows_the_voxel_that_is_picked(viewing, color):
    """Pixel by pixel, with voxels drawn as blocks; only pixels whose centre lies between two voxels are left out."""
    view = getattr(viewing.views, color)
    viewing.volume.GetDisplayNode().SetInterpolate(False)
    view.zoom(1.237)  # not a whole number of pixels to a voxel
    view.pan(3.1, 2.3)
    pixels = view.pixels()
    compared = 0
    for x, y in np.random.default_rng(0).integers(0, 240, size=(3000, 2)).tolist():
        ijk = viewing.case.ijkOf(pickedBy(view, (x, y)))
        if np.abs(ijk - np.floor(ijk) - 0.5).min() > 0.02:
            shown = pixels[len(pixels) - 1 - y, x, 0]
            assert abs(float(shown) - greyOf(viewing, np.round(ijk).astype(int))) <= 1, f"pixel {x, y}, voxel {ijk}"
            compared += 1
    assert compared > 2500


def greyOf(viewing, ijk):
    """What the slice views' window of -100 to 800 makes of a voxel, 0 to 255; black outside the volume."""
    if (ijk < 0).any() or (ijk >= viewing.case.image.shape).any():
        return 0.0
    return float(np.clip((viewing.case.image[tuple(ijk)] + 100) / 900, 0, 1) * 255)


def test_pick_in_a_zoomed_and_panned_slice(viewing):
    view = viewing.views.green
    view.zoom(3.7)
    view.pan(9.0, -4.0)
    target = viewing.case.center(ROD)
    view.node.JumpSlice(*target)
    assert pickedBy(view, view.xyOf(target)) == pytest.approx(tuple(target), abs=1e-6)
    left, right = pickedBy(view, (0, 100)), pickedBy(view, (230, 100))
    assert np.linalg.norm(np.subtract(left, right)) == pytest.approx(
        view.node.GetFieldOfView()[0] * 230 / 240, rel=1e-6
    )


def test_pick_after_navigation_by_mouse(viewing):
    """Right drag zooms, shift drag pans, the wheel browses: all are Slicer's own, and picks follow."""
    view = viewing.views.red
    before = view.node.GetFieldOfView()[0], view.node.GetXYZOrigin()[:2], view.node.GetSliceOffset()
    view.drag((120, 60), (120, 110), button="Right")
    view.drag((100, 100), (130, 90), shift=True)
    view.wheel((120, 120))
    after = view.node.GetFieldOfView()[0], view.node.GetXYZOrigin()[:2], view.node.GetSliceOffset()
    assert all(a != b for a, b in zip(before, after, strict=True))
    target = (*viewing.center[:2], view.node.GetSliceOffset())
    assert pickedBy(view, view.xyOf(target)) == pytest.approx(target, abs=1e-6)


def test_pick_in_an_oblique_slice(viewing):
    view = viewing.views.yellow
    target = viewing.case.center(LUMP)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = OBLIQUE, target
    view.node.GetSliceToRAS().DeepCopy(matrixOf(matrix))
    view.node.UpdateMatrices()
    assert view.node.GetOrientation() == "Reformat"
    assert pickedBy(view, view.xyOf(target)) == pytest.approx(tuple(target), abs=1e-6)
    away = np.array(view.xyOf(target)) + (30, 17)
    step = np.subtract(pickedBy(view, away), target)
    assert step @ OBLIQUE[:, 2] == pytest.approx(0, abs=1e-6)  # still on the slice
    assert step @ OBLIQUE[:, 0] > 0 and step @ OBLIQUE[:, 1] > 0


def test_pick_in_an_oblique_volume_rotated_to_its_own_planes(tilted):
    view = tilted.views.red
    view.node.RotateToVolumePlane(tilted.volume)
    target = tilted.case.center(LUMP)
    view.node.JumpSlice(*target)
    found = pickedBy(view, view.xyOf(target))
    assert tilted.case.labelAt(found) == LUMP
    assert found == pytest.approx(tuple(target), abs=1e-6)


def test_pick_in_a_view_of_another_size(viewing):
    view = viewing.views.red
    view.window.SetSize(400, 150)
    view.logic.ResizeSliceNode(400, 150)
    target = viewing.case.center(LUMP)
    assert pickedBy(view, view.xyOf(target)) == pytest.approx(tuple(target), abs=1e-6)


def test_nothing_outside_the_window(viewing):
    view = viewing.views.red
    assert [pickedBy(view, xy) for xy in ((-1, 5), (5, -1), (240, 5), (5, 240))] == [None] * 4


def test_real_press_carries_position_and_keys(viewing):
    """What an effect receives: the event position picks the voxel, Ctrl and Shift come along."""
    view = viewing.views.green
    seen = []

    def onPress(interactor, event):
        ras = pickInSlice(interactor, view.node, interactor.GetEventPosition())
        seen.append((viewing.case.labelAt(ras), interactor.GetControlKey(), interactor.GetShiftKey()))

    view.interactor.AddObserver(vtk.vtkCommand.LeftButtonPressEvent, onPress, 1.0)
    target = viewing.case.center(LUMP)
    view.node.JumpSlice(*target)
    view.click(view.xyOf(target))
    view.click(view.xyOf(target), ctrl=True)
    view.node.JumpSlice(*viewing.center)
    view.click(view.xyOf(viewing.center), shift=True)
    assert seen == [(LUMP, 0, 0), (LUMP, 1, 0), (ORGAN, 0, 1)]


# ---- surfaces ------------------------------------------------------------------------------------------------------


def test_surface_pick_meets_the_nearest_segment(viewing):
    viewing.addSegmentation(ORGAN, LUMP)
    view = viewing.views.threeD  # looks from the front, where the lump is
    view.window.Render()
    pick = pickIn3D(view.renderer, view.xyOf(viewing.case.center(LUMP)), depth_mm=1.0)
    assert pick.kind == "surface"
    assert viewing.case.labelAt(pick.ras) == LUMP
    aside = viewing.center + (14, 0, 0)
    assert viewing.case.labelAt(pickedBy(view, view.xyOf(aside), depth_mm=1.0)) == ORGAN


def test_surface_pick_lies_where_the_surface_is(viewing):
    """The organ is an ellipsoid of radii 22, 18 and 19.5 mm: the ray through its centre meets it 18 mm in front."""
    viewing.addSegmentation(ORGAN)
    view = viewing.views.threeD
    view.look(viewing.center, viewing.center + (0, 300, 0))
    found = pickedBy(view, view.xyOf(viewing.center))
    assert found == pytest.approx(tuple(viewing.center + (0, 18, 0)), abs=0.8)
    deeper = pickedBy(view, view.xyOf(viewing.center), depth_mm=2.5)
    assert np.subtract(found, deeper) == pytest.approx((0, 2.5, 0), abs=0.05)


def test_surface_pick_from_other_sides_and_in_parallel_projection(viewing):
    viewing.addSegmentation(ORGAN)
    view = viewing.views.threeD
    for direction, expected in (((1, 0, 0), 22), ((0, -1, 0), 18), ((0.01, 0.01, 1), 19.5)):
        unit = np.array(direction) / np.linalg.norm(direction)
        for parallel in (False, True):
            view.cameraNode.SetParallelProjection(parallel)
            view.cameraNode.SetParallelScale(60)
            view.look(viewing.center, viewing.center + 250 * unit, (0, 1, 0) if direction[2] else (0, 0, 1))
            found = pickedBy(view, view.xyOf(viewing.center))
            assert np.linalg.norm(found - viewing.center) == pytest.approx(expected, abs=0.9)


def test_nothing_hit_is_none(viewing):
    view = viewing.views.threeD
    view.window.Render()
    assert pickedBy(view, (120, 120)) is None  # nothing is shown in 3D but the box
    viewing.addSegmentation(ORGAN)
    view.window.Render()
    assert pickedBy(view, (3, 3)) is None
    assert pickedBy(view, (120, 120)) is not None


def test_box_around_the_scene_is_no_surface(viewing):
    viewing.addSegmentation(LUMP)
    view = viewing.views.threeD
    bounds = [0.0] * 6
    viewing.volume.GetRASBounds(bounds)
    pixels = view.pixels()
    magenta = np.argwhere((pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] > 200))
    assert len(magenta) > 50
    assert all(pickedBy(view, (x, 239 - row)) is None for row, x in magenta[::10])


def test_hidden_and_nearly_transparent_segments_let_the_ray_through(viewing):
    segmentation = viewing.addSegmentation(ORGAN, LUMP)
    view = viewing.views.threeD
    spot = view.xyOf(viewing.case.center(LUMP))
    display = segmentation.GetDisplayNode()
    lump, organ = (segmentation.GetSegmentation().GetSegmentIdBySegmentName(name) for name in ("lump", "organ"))
    display.SetSegmentOpacity3D(lump, 0.01)
    view.window.Render()
    assert viewing.case.labelAt(pickedBy(view, spot, depth_mm=1.0)) == ORGAN
    display.SetSegmentOpacity3D(lump, 0.5)
    view.window.Render()
    assert viewing.case.labelAt(pickedBy(view, spot, depth_mm=1.0)) == LUMP
    display.SetSegmentVisibility(lump, False)
    view.window.Render()
    assert viewing.case.labelAt(pickedBy(view, spot, depth_mm=1.0)) == ORGAN
    display.SetSegmentPickable(organ, False)
    view.window.Render()
    assert pickedBy(view, spot) is None


def test_surface_under_a_transform_is_picked_in_the_world(viewing):
    segmentation = viewing.addSegmentation(ORGAN)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = OBLIQUE, (5, -8, 12)
    segmentation.SetAndObserveTransformNodeID(viewing.scene.addTransform(matrix).GetID())
    view = viewing.views.threeD
    view.window.Render()
    moved = OBLIQUE @ viewing.center + (5, -8, 12)
    found = pickedBy(view, view.xyOf(moved), depth_mm=1.0)
    back = OBLIQUE.T @ (np.subtract(found, (5, -8, 12)))
    assert viewing.case.labelAt(back) == ORGAN
    assert 17 <= np.linalg.norm(back - viewing.center) <= 22


def test_markups_are_not_what_is_picked(viewing):
    viewing.addSegmentation(ORGAN)
    view = viewing.views.threeD
    node = viewing.scene.mrml.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.AddControlPoint(vtk.vtkVector3d(*(viewing.center + (0, 60, 0))))
    view.window.Render()
    found = pickedBy(view, view.xyOf(viewing.center + (0, 60, 0)), depth_mm=1.0)
    assert viewing.case.labelAt(found) == ORGAN


# ---- slices in 3D --------------------------------------------------------------------------------------------------


def test_slice_shown_in_3d_is_picked_on_its_plane(viewing):
    viewing.views.green.node.SetSliceVisible(True)
    view = viewing.views.threeD
    view.window.Render()
    pick = pickIn3D(view.renderer, view.xyOf(viewing.center), depth_mm=3.0)
    assert pick.kind == "slice"
    assert pick.ras == pytest.approx(tuple(viewing.center), abs=0.1)


def test_part_of_a_slice_beyond_its_image_lets_the_ray_through(viewing):
    """A wide view makes a wide slice in 3D; beyond the volume it is transparent."""
    green, view = viewing.views.green, viewing.views.threeD
    green.window.SetSize(600, 240)
    green.logic.ResizeSliceNode(600, 240)
    green.logic.FitSliceToBackground()
    green.node.SetSliceVisible(True)
    view.window.Render()
    bounds = [0.0] * 6
    viewing.volume.GetRASBounds(bounds)
    inside, beyond = (bounds[1] - 4, *viewing.center[1:]), (bounds[1] + 8, *viewing.center[1:])
    assert pickedBy(view, view.xyOf(inside)) is not None
    assert pickedBy(view, view.xyOf(beyond)) is None


# ---- volume rendering ----------------------------------------------------------------------------------------------


def test_volume_rendering_pick_is_the_first_opaque_voxel(viewing):
    showVolumeRendering(viewing)
    view = viewing.views.threeD
    pick = pickIn3D(view.renderer, view.xyOf(viewing.case.center(LUMP)))
    assert pick.kind == "volume"
    assert viewing.case.labelAt(pick.ras) == LUMP
    assert viewing.case.labelAt(pickedBy(view, view.xyOf(viewing.center + (12, 0, 0)))) == ORGAN


@pytest.mark.parametrize("seed", range(3))
def test_volume_rendering_pick_lies_in_the_structure_from_any_side(viewing, seed):
    showVolumeRendering(viewing)
    view = viewing.views.threeD
    unit = np.random.default_rng(seed).normal(size=3)
    unit /= np.linalg.norm(unit)
    view.look(viewing.center, viewing.center + 220 * unit)
    found = pickedBy(view, view.xyOf(viewing.center))
    assert viewing.case.labelAt(found) > 0
    assert viewing.case.labelAt(np.add(found, 2 * unit)) <= 0  # and it is the first one on the way


def test_volume_rendering_follows_its_opacity(viewing):
    """With only the rod (700) opaque, the ray passes the lump and the organ."""
    showVolumeRendering(viewing, from_=600.0)
    view = viewing.views.threeD
    found = pickedBy(view, view.xyOf(viewing.case.center(ROD)))
    assert viewing.case.labelAt(found) == ROD
    assert pickedBy(view, view.xyOf(viewing.case.center(LUMP))) is None


def test_nothing_hit_in_a_volume_rendering(viewing):
    display = showVolumeRendering(viewing)
    view = viewing.views.threeD
    assert pickedBy(view, (4, 4)) is None
    display.SetVisibility(False)
    view.window.Render()
    assert pickedBy(view, view.xyOf(viewing.center)) is None


def test_nearer_of_surface_and_volume_rendering_wins(viewing):
    viewing.addSegmentation(LUMP)
    showVolumeRendering(viewing, from_=600.0)  # the rod, behind the lump when seen from the front
    view = viewing.views.threeD
    rod, lump = viewing.case.center(ROD), viewing.case.center(LUMP)
    view.look(rod, lump + 3 * (lump - rod))
    assert pickIn3D(view.renderer, view.xyOf(rod)).kind == "surface"
    view.look(rod, rod + 3 * (rod - lump))
    assert pickIn3D(view.renderer, view.xyOf(rod)).kind == "volume"


def test_volume_rendering_under_a_transform_is_picked_in_the_world(viewing):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = OBLIQUE, (30, 4, -9)
    viewing.volume.SetAndObserveTransformNodeID(viewing.scene.addTransform(matrix).GetID())
    showVolumeRendering(viewing)
    view = viewing.views.threeD
    lump = OBLIQUE @ viewing.case.center(LUMP) + (30, 4, -9)
    organ = OBLIQUE @ viewing.center + (30, 4, -9)
    view.look(organ, organ + 4 * (lump - organ))
    found = pickedBy(view, view.xyOf(lump))
    assert viewing.case.labelAt(OBLIQUE.T @ np.subtract(found, (30, 4, -9))) == LUMP


# ---- points under the mouse ----------------------------------------------------------------------------------------


def test_nearest_point_in_a_slice_is_one_of_that_slice(viewing):
    view = viewing.views.red
    on, off = tuple(viewing.center), tuple(viewing.center + (3, 0, 6))
    x, y = view.xyOf(on)
    find = lambda points, xy, reach=8: nearestPoint(points, view.renderer, view.node, xy, reach=reach)  # noqa: E731
    assert find([off, on], (x + 3, y - 2)) == 1
    assert find([off, on], (x + 20, y)) is None
    assert find([off], view.xyOf(off)) is None
    assert find([on, on], (x, y), 0.5) is not None
    assert find([], (x, y)) is None


def test_nearest_point_in_3d_is_the_one_drawn_nearest(viewing):
    view = viewing.views.threeD
    view.window.Render()
    points = [tuple(viewing.center), tuple(viewing.center + (10, 0, 0)), tuple(viewing.center + (0, 5000, 0))]
    for index in (0, 1):
        xy = np.add(view.xyOf(points[index]), (2, 1))
        assert nearestPoint(points, view.renderer, view.node, xy, reach=8) == index
    assert (
        nearestPoint(points[2:], view.renderer, view.node, view.xyOf(points[0]), reach=8) is None
    )  # behind the camera
