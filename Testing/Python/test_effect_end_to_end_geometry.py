"""Clicks on volumes and segmentations that are tilted, stretched, mirrored, transformed, or on grids of their own."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PySide6")
slicer = pytest.importorskip("slicer")

import vtk  # noqa: E402
from slicer_host.editing import ball, dice, twoBlobs  # noqa: E402
from slicer_host.fixtures import chain, makeChain  # noqa: E402, F401
from slicer_host.scene import matrixOf  # noqa: E402

FIRST, SECOND = (14, 20, 18), (34, 24, 22)
CUT = (14, 20, 13)


def turned(degrees, axis):
    """Rotation (3, 3)."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across


def affine(columns, origin=(5.0, -30.0, 12.0)):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = columns, origin
    return matrix


GRIDS = {
    "anisotropic": affine(np.diag([0.8, 0.9, 2.5])),
    "LPS": affine(np.diag([-1.0, -1.0, 1.0])),
    "left-handed": affine(np.diag([-1.0, 1.0, 1.2])),
    "sagittal": affine(np.array([[0, 0, 1.5], [1, 0, 0], [0, -1, 0]], dtype=float)),
    "oblique": affine(turned(35, (1, 2, 3)) * (0.9, 1.0, 1.6)),
    "oblique and left-handed": affine(turned(-50, (3, -1, 1)) @ np.diag([1.0, -1.0, 1.0]) * (1.1, 0.8, 1.3)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_clicks_land_under_the_mouse_on_any_grid(makeChain, name):
    chain = makeChain(ijkToRas=GRIDS[name])
    chain.press(FIRST, view=chain.views.green)
    assert dice(chain.mask(), ball(chain.mask().shape, FIRST, 7)) > 0.8
    assert np.allclose(chain.status().prompts[0].ras, chain.ras(FIRST), atol=0.3)
    chain.press(CUT, view=chain.views.yellow, ctrl=True)
    assert not chain.mask()[CUT] and chain.mask()[FIRST] and not chain.mask()[SECOND]
    chain.undo()
    assert chain.mask()[CUT] and len(chain.status().prompts) == 1


def test_a_sheared_volume_is_refused_and_says_what_helps(makeChain):
    chain = makeChain(ijkToRas=affine(np.array([[1, 0.4, 0], [0, 1, 0], [0, 0, 1.0]])))
    chain.press(FIRST)
    assert "sheared" in chain.options.errorLabel.text and "Resample Scalar Volume" in chain.options.errorLabel.text
    assert not chain.mask().any() and not chain.editor.logic.CanUndo() and chain.options.retryButton.isHidden()


TRANSFORM = affine(turned(15, (1, 1, 0)), origin=(4.0, -5.0, 3.0))
FAR = affine(np.eye(3), origin=(40.0, 0.0, 0.0))
STRETCH = affine(turned(10, (0, 0, 1)) @ np.diag([1.2, 0.9, 1.1]), origin=(3.0, 4.0, -6.0))


@pytest.mark.parametrize("matrix", [TRANSFORM, STRETCH], ids=["rigid", "affine"])
@pytest.mark.parametrize("which", ["both", "volume", "segmentation"])
def test_linear_parent_transforms(makeChain, which, matrix):
    chain = makeChain()
    before = freeMask(chain)
    node = chain.scene.addTransform(matrix).GetID()
    if which != "segmentation":
        chain.volume.SetAndObserveTransformNodeID(node)
    if which != "volume":
        chain.segmentation.SetAndObserveTransformNodeID(node)
    clickBoth(chain, before)


def test_linear_parent_transforms_that_differ_and_are_nested(makeChain):
    chain = makeChain()
    before = freeMask(chain)
    outer, inner = chain.scene.addTransform(TRANSFORM), chain.scene.addTransform(STRETCH)
    inner.SetAndObserveTransformNodeID(outer.GetID())
    chain.volume.SetAndObserveTransformNodeID(inner.GetID())
    chain.segmentation.SetAndObserveTransformNodeID(outer.GetID())
    clickBoth(chain, before)


def test_a_place_that_the_segmentation_has_no_voxels_for_is_refused(makeChain):
    chain = makeChain()
    chain.segmentation.SetAndObserveTransformNodeID(chain.scene.addTransform(FAR).GetID())
    chain.press(FIRST)
    assert "outside the voxels of Segmentation" in chain.options.errorLabel.text
    assert not chain.logic.isBusy and chain.status().prompts == () and not chain.editor.logic.CanUndo()
    chain.options.boxButton.click()
    roi = chain.controller._box.node
    roi.SetSize(14, 14, 14)
    roi.SetCenter(*FIRST)
    chain.options.boxButton.click()
    assert "outside the voxels of Segmentation" in chain.options.errorLabel.text


def freeMask(chain):
    """What two clicks give without any transform; the segment is empty afterwards."""
    chain.press(FIRST)
    chain.press(CUT, ctrl=True)
    mask = chain.mask()
    chain.undo()
    chain.undo()
    assert not chain.mask().any()
    return mask


def clickBoth(chain, expected):
    """The same clicks where the voxels are now. Grids that differ cost some voxels at the edge."""
    chain.press(FIRST)
    assert chain.options.errorLabel.text == "" and np.allclose(
        chain.status().prompts[0].ras, chain.ras(FIRST), atol=0.3
    )
    chain.press(CUT, view=chain.views.yellow, ctrl=True)
    assert dice(chain.mask(), expected) > 0.9
    assert not chain.mask()[CUT] and chain.mask()[FIRST]
    assert len(chain.status().prompts) == 2
    chain.undo()
    assert chain.mask()[CUT] and len(chain.status().prompts) == 1
    chain.undo()
    assert not chain.mask().any()


@pytest.mark.parametrize("which", ["both", "volume", "segmentation"])
def test_non_linear_parent_transforms(makeChain, which):
    chain = makeChain()
    before = freeMask(chain)
    node = bend(chain.scene)
    if which != "segmentation":
        chain.volume.SetAndObserveTransformNodeID(node.GetID())
    if which != "volume":
        chain.segmentation.SetAndObserveTransformNodeID(node.GetID())
    assert np.linalg.norm(np.subtract(chain.ras(FIRST), FIRST)) > 2 or which == "segmentation"
    clickBoth(chain, before)


def bend(scene):
    """A thin-plate spline that pushes the first blob by some mm and holds the corners."""
    corners = [(x, y, z) for x in (0, 47) for y in (0, 43) for z in (0, 39)]
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for point in corners:
        source.InsertNextPoint(point)
        target.InsertNextPoint(point)
    source.InsertNextPoint(FIRST)
    target.InsertNextPoint(np.add(FIRST, (3, -2, 2)))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    node = scene.mrml.AddNewNodeByClass("vtkMRMLTransformNode", "Bend")
    node.SetAndObserveTransformToParent(spline)
    return node


SEGMENTATION_GRIDS = {
    "finer": (affine(np.diag([0.5, 0.5, 0.5]), origin=(0.1, 0.2, -0.2)), (94, 86, 78)),
    "shifted by whole voxels": (affine(np.eye(3), origin=(-4.0, -3.0, -2.0)), (58, 54, 50)),
    "turned": (affine(turned(20, (0, 0, 1)), origin=(6.0, -18.0, -4.0)), (64, 64, 48)),
    "mirrored": (affine(np.diag([-1.0, -1.0, 1.0]), origin=(47.0, 43.0, 0.0)), (48, 44, 40)),
}


@pytest.mark.parametrize("name", SEGMENTATION_GRIDS)
def test_a_segmentation_keeps_a_grid_of_its_own(makeChain, name):
    matrix, shape = SEGMENTATION_GRIDS[name]
    chain = makeChain()
    expected = freeMask(chain)
    other = chain.scene.addVolume(np.zeros(shape, np.uint8), ijkToRas=matrix, name="Other")
    chain.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(other)
    clickBoth(chain, expected)
    chain.press(FIRST)
    image = chain.segmentation.GetBinaryLabelmapInternalRepresentation("Segment_1")
    kept = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(kept)
    assert np.allclose(np.array([kept.GetElement(r, c) for r in range(3) for c in range(3)]), matrix[:3, :3].ravel())


def test_a_segmentation_smaller_than_the_volume_holds_what_fits(makeChain):
    chain = makeChain()
    other = chain.scene.addVolume(np.zeros((14, 44, 40), np.uint8), name="Half")
    chain.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(other)
    chain.press((12, 20, 18))
    assert chain.mask()[13, 20, 18] and not chain.mask()[14:].any() and len(chain.status().prompts) == 1
    chain.press((12, 20, 13), ctrl=True)
    assert not chain.mask()[12, 20, 13] and len(chain.status().prompts) == 2


def test_a_transform_that_changes_between_clicks_takes_points_and_voxels_along(makeChain):
    chain = makeChain()
    node = chain.scene.addTransform(np.eye(4))
    for each in (chain.volume, chain.segmentation):
        each.SetAndObserveTransformNodeID(node.GetID())
    chain.press(FIRST)
    before = chain.mask()
    node.SetMatrixTransformToParent(matrixOf(TRANSFORM))
    assert np.array_equal(chain.mask(), before)
    assert len(chain.status().prompts) == 1 and np.allclose(chain.status().prompts[0].ras, chain.ras(FIRST), atol=0.3)
    chain.host.run(0.1)
    shown = chain.controller._prompts.markupsNode.GetNthControlPointPositionWorld(0)
    assert np.allclose(shown, chain.ras(FIRST), atol=0.3)
    chain.press(CUT, ctrl=True)
    assert not chain.mask()[CUT] and len(chain.status().prompts) == 2


def test_a_colour_volume_is_refused_and_says_what_helps(makeChain):
    chain = makeChain(volume_ijk=twoBlobs())
    image = vtk.vtkImageData()
    image.SetDimensions(48, 44, 40)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    chain.volume.SetAndObserveImageData(image)
    chain.press(FIRST)
    assert "expected one value per voxel" in chain.options.errorLabel.text and not chain.mask().any()
