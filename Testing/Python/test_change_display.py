"""What a click changed, as seen for a moment in the pixels of real views."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("vtk")

from slicer_host.phantom import ORGAN, phantom  # noqa: E402
from slicer_host.scene import matrixOf  # noqa: E402
from slicer_host.viewing import Viewing, colorAt, isGreen, isRed, labelmapOf, viewing  # noqa: E402, F401

from SAM3DSegmentLib.Views.ChangeDisplay import ChangeDisplay, coarseSurface  # noqa: E402
from SAM3DSegmentLib.Views.ViewPicking import pickIn3D  # noqa: E402

OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])


class Timer:
    """Takes note of what it shall call, until `ring`."""

    def __init__(self):
        self.asked = []

    def __call__(self, ms, callback):
        self.asked.append((ms, callback))

    def ring(self):
        self.asked.pop(0)[1]()


class Changes:
    """An organ of which the last click added the right third (small i) and removed a piece left of it (large i)."""

    def __init__(self, viewing):
        self.timer = Timer()
        self.display = ChangeDisplay(startTimer=self.timer)
        self.viewing = viewing
        organ = viewing.case.labels == ORGAN
        i = np.indices(organ.shape)[0]
        self.masks = organ & (i < 28), organ & (i > 50)
        self.added, self.removed = (viewing.labelmap(mask) for mask in self.masks)
        self.segmentation = viewing.addSegmentation(ORGAN)
        self.addedAt, self.removedAt = viewing.case.rasOf((22, 44, 24)), viewing.case.rasOf((54, 44, 24))
        self.keptAt = viewing.case.rasOf((40, 44, 24))

    def flash(self):
        self.display.flash(self.added, self.removed, self.segmentation)

    def colours(self, view, move=lambda ras: ras):
        """What a view shows where voxels were added, removed and kept: G, R, or - for neither."""
        pixels = view.pixels()
        seen = [colorAt(pixels, view.xyOf(move(ras))) for ras in (self.addedAt, self.removedAt, self.keptAt)]
        return "".join("G" if isGreen(rgb) else "R" if isRed(rgb) else "-" for rgb in seen)


@pytest.fixture
def changes(viewing):
    return Changes(viewing)


@pytest.fixture
def zeros():
    return labelmapOf(np.zeros((4, 5, 6), dtype=bool), np.eye(4))


def nodeIds(viewing):
    nodes = viewing.scene.mrml.GetNodes()
    return {nodes.GetItemAsObject(index).GetID() for index in range(nodes.GetNumberOfItems())}


# ---- what is drawn -------------------------------------------------------------------------------------------------


def test_added_is_green_and_removed_red_in_slices_and_in_3d(viewing, changes):
    views = viewing.views
    assert [changes.colours(view) for view in (views.red, views.green, views.threeD)] == ["---"] * 3
    changes.flash()
    assert [changes.colours(view) for view in (views.red, views.green, views.threeD)] == ["GR-"] * 3


def test_exactly_the_changed_voxels_are_coloured_in_a_slice(viewing, changes):
    """9 pixels to a voxel in this view; an outline is a pixel wide."""
    changes.flash()
    pixels = viewing.views.red.pixels() / 255
    for mask, isColor in zip(changes.masks, (isGreen, isRed), strict=True):
        expected = 9 * mask[:, :, 24].sum()
        assert isColor(pixels).sum() == pytest.approx(expected, rel=0.1)


def test_change_hides_the_segment_in_3d(viewing, changes):
    """Its surface lies outside the segment's own, so that no pixel is fought for."""
    view = viewing.views.threeD
    isOrange = lambda rgb: (rgb[..., 0] > rgb[..., 2] + 0.2) & (rgb[..., 1] > rgb[..., 2] + 0.1)  # noqa: E731
    before = isOrange(view.pixels() / 255).sum()
    changes.display.flash(viewing.labelmap(viewing.case.labels == ORGAN), None, changes.segmentation)
    assert before > 1000
    assert isOrange(view.pixels() / 255).sum() < 0.01 * before


def test_one_voxel_is_seen_everywhere(viewing, changes):
    mask = np.zeros(viewing.case.labels.shape, dtype=bool)
    mask[36, 15, 24] = True
    spot = viewing.case.rasOf((36, 15, 24))
    changes.display.flash(None, viewing.labelmap(mask), changes.segmentation)
    red, threeD = viewing.views.red, viewing.views.threeD
    threeD.look(spot, spot + (0, 60, 0))
    assert isRed(colorAt(red.pixels(), red.xyOf(spot), radius=0))
    assert isRed(colorAt(threeD.pixels(), threeD.xyOf(spot), radius=1))


def test_change_on_an_oblique_grid():
    viewing = Viewing(phantom(direction=OBLIQUE))
    changes = Changes(viewing)
    changes.flash()
    assert changes.colours(viewing.views.red) == "GR-"
    viewing.views.threeD.look(viewing.center, viewing.center + 250 * OBLIQUE[:, 1])
    assert changes.colours(viewing.views.threeD) == "GR-"
    viewing.close()


def test_change_follows_the_transform_of_its_segmentation(viewing, changes):
    transform = viewing.scene.addTransform()
    for node in viewing.volume, changes.segmentation:
        node.SetAndObserveTransformNodeID(transform.GetID())
    shift = np.array((11.0, -9.0, 0.0))
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    transform.SetMatrixTransformToParent(matrixOf(matrix))
    changes.flash()
    for view in viewing.views.red, viewing.views.threeD:
        assert changes.colours(view, move=lambda ras: ras + shift) == "GR-"
    matrix[:3, 3] = -shift  # moved while shown
    transform.SetMatrixTransformToParent(matrixOf(matrix))
    for view in viewing.views.red, viewing.views.threeD:
        assert changes.colours(view, move=lambda ras: ras - shift) == "GR-"
    changes.segmentation.SetAndObserveTransformNodeID(None)
    changes.flash()
    assert changes.colours(viewing.views.red) == "GR-"


def test_what_the_segmentation_does_not_show_is_not_shown(viewing, changes):
    views, display = viewing.views, changes.segmentation.GetDisplayNode()
    display.SetVisibility3D(False)
    changes.flash()
    assert (changes.colours(views.red), changes.colours(views.threeD)) == ("GR-", "---")
    display.SetVisibility3D(True)
    display.SetViewNodeIDs([views.red.node.GetID()])
    changes.flash()
    assert (changes.colours(views.red), changes.colours(views.green)) == ("GR-", "---")
    display.RemoveAllViewNodeIDs()
    changes.flash()
    assert changes.colours(views.green) == "GR-"
    changes.segmentation.SetDisplayVisibility(False)
    changes.flash()
    assert not changes.display.isShown
    assert changes.colours(views.red) == "---"


def test_no_surface_is_made_where_none_is_shown(viewing, changes):
    changes.segmentation.RemoveClosedSurfaceRepresentation()
    changes.flash()
    for name in "added", "removed":
        segment = changes.display.segmentationNode.GetSegmentation().GetSegment(name)
        assert segment.GetRepresentation("Closed surface").GetNumberOfPoints() == 0
    assert (changes.colours(viewing.views.red), changes.colours(viewing.views.threeD)) == ("GR-", "---")


def test_click_means_what_lies_under_the_change(viewing, changes):
    view = viewing.views.threeD
    view.window.Render()
    xy = view.xyOf(changes.addedAt)
    before = pickIn3D(view.renderer, xy)
    changes.flash()
    view.window.Render()
    assert pickIn3D(view.renderer, xy).ras == pytest.approx(before.ras, abs=1e-6)


# ---- for a moment --------------------------------------------------------------------------------------------------


def test_change_disappears_when_its_time_is_over(viewing, changes):
    before = viewing.views.mosaic()
    changes.flash()
    assert [ms for ms, _ in changes.timer.asked] == [1000]
    assert changes.display.isShown
    changes.timer.ring()
    assert not changes.display.isShown
    assert (viewing.views.mosaic() == before).all()


def test_clear_hides_at_once(viewing, changes):
    before = viewing.views.mosaic()
    changes.flash()
    changes.display.clear()
    assert (viewing.views.mosaic() == before).all()
    changes.timer.ring()
    changes.display.clear()
    assert (viewing.views.mosaic() == before).all()


def test_of_two_flashes_the_second_stays_its_whole_time(viewing, changes):
    changes.flash()
    changes.display.flash(changes.removed, None, changes.segmentation)
    for view in viewing.views.red, viewing.views.threeD:
        assert changes.colours(view) == "-G-"  # nothing of the first is left
    changes.timer.ring()
    assert changes.colours(viewing.views.red) == "-G-"
    changes.timer.ring()
    assert changes.colours(viewing.views.red) == "---"


def test_empty_change_shows_nothing_and_ends_the_one_before(viewing, changes, zeros):
    before, nodes = viewing.views.mosaic(), nodeIds(viewing)
    empty = slicer.vtkOrientedImageData()
    for nothing in ((None, None), (empty, empty), (zeros, None)):
        changes.display.flash(*nothing, changes.segmentation)
    assert nodeIds(viewing) == nodes and changes.timer.asked == []
    changes.flash()
    changes.display.flash(zeros, empty, changes.segmentation)
    assert not changes.display.isShown
    assert (viewing.views.mosaic() == before).all()


# ---- the scene -----------------------------------------------------------------------------------------------------


def test_removal_leaves_nothing_in_scene_and_views(viewing, changes):
    before, nodes = viewing.views.mosaic(), nodeIds(viewing)
    changes.flash()
    assert len(nodeIds(viewing)) == len(nodes) + 2  # the node and its display
    changes.display.remove()
    assert nodeIds(viewing) == nodes
    assert (viewing.views.mosaic() == before).all()
    changes.timer.ring()
    changes.display.remove()
    changes.flash()
    assert changes.colours(viewing.views.red) == "GR-"


def test_saved_scene_knows_nothing_of_changes(viewing, changes, tmp_path):
    changes.flash()
    path = tmp_path / "scene.mrml"
    assert viewing.scene.mrml.Commit(str(path))
    saved = path.read_text(encoding="utf-8")
    edited, shown = changes.segmentation, changes.display.segmentationNode
    for node in edited, edited.GetDisplayNode():
        assert f'id="{node.GetID()}"' in saved
    for node in shown, shown.GetDisplayNode():
        assert f'id="{node.GetID()}"' not in saved
    assert shown.GetHideFromEditors()


def test_closed_scene_and_removed_node_are_survived(viewing, changes):
    changes.flash()
    viewing.scene.mrml.RemoveNode(changes.display.segmentationNode)
    assert not changes.display.isShown
    changes.timer.ring()
    changes.flash()
    assert changes.colours(viewing.views.red) == "GR-"
    viewing.scene.mrml.Clear(False)
    assert not changes.display.isShown
    changes.timer.ring()
    changes.display.clear()
    changes.display.remove()
    assert changes.display.segmentationNode is None


def test_edited_segmentation_is_left_alone(viewing, changes):
    segmentation = changes.segmentation.GetSegmentation()
    modified = []
    for event in ("SourceRepresentationModified", "RepresentationModified", "SegmentModified"):
        segmentation.AddObserver(getattr(segmentation, event), lambda *what: modified.append(what))
    changes.flash()
    changes.display.clear()
    changes.display.remove()
    assert modified == []


# ---- the surface ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 40, 130])
@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_surface_lies_around_the_voxels_and_stays_small(size, flip):
    """A cube of voxels at (30, 40, 50) of a grid, mirrored or not: its surface is at most two coarse cells outside."""
    matrix = np.diag([0.7 * flip, 0.8, 1.5, 1.0])
    matrix[:3, 3] = 5, -6, 7
    surface = coarseSurface(labelmapOf(np.ones((size,) * 3, dtype=bool), matrix, offset=(30, 40, 50)))
    corners = [matrix[:3, :3] @ (np.array((30, 40, 50)) + edge) + matrix[:3, 3] for edge in (-0.5, size - 0.5)]
    lower, upper = np.minimum(*corners), np.maximum(*corners)
    bounds = np.array(surface.GetBounds())
    cell_mm = np.abs(np.diag(matrix)[:3]) * -(-size // 48)
    assert (bounds[::2] > lower - 2 * cell_mm).all() and (bounds[::2] < lower + cell_mm / 2).all()
    assert (bounds[1::2] < upper + 2 * cell_mm).all() and (bounds[1::2] > upper - cell_mm / 2).all()
    assert 0 < surface.GetNumberOfPoints() < 15_000
