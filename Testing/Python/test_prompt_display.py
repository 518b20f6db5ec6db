"""Prompts and hint as seen in the pixels of real views, and as dragged, deleted and flipped there by mouse and keys."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("vtk")

from slicer_host.phantom import LUMP, ORGAN  # noqa: E402
from slicer_host.viewing import colorAt, isBlue, isGreen, isRed, spots, viewing  # noqa: E402, F401

from SAM3DSegmentLib.Views.PromptDisplay import PromptDisplay  # noqa: E402
from SAM3DSegmentLib.Views.ViewPicking import pickInSlice  # noqa: E402


class Prompts:
    """A display, and what it told: ("moved", index, ras), ("deleted", index), ("flipped", index)."""

    def __init__(self, viewing):
        self.told = []
        self.display = PromptDisplay(
            onMoved=lambda *what: self.told.append(("moved", *what)),
            onDeleted=lambda *what: self.told.append(("deleted", *what)),
            onFlipped=lambda *what: self.told.append(("flipped", *what)),
        )
        self.center = viewing.center

    def show(self, *offsets_mm, signs="+-+-+-"):
        """Prompts at offsets from the organ's centre, + for foreground."""
        self.display.show(
            [prompt(self.center + offset, sign == "+") for offset, sign in zip(offsets_mm, signs, strict=False)]
        )

    @property
    def node(self):
        return self.display.markupsNode


def prompt(ras, isForeground=True):
    return SimpleNamespace(ras=tuple(ras), isForeground=isForeground)


@pytest.fixture
def prompts(viewing):
    return Prompts(viewing)


def nodeIds(viewing):
    nodes = viewing.scene.mrml.GetNodes()
    return {nodes.GetItemAsObject(index).GetID() for index in range(nodes.GetNumberOfItems())}


# ---- what is drawn -------------------------------------------------------------------------------------------------


def test_prompts_of_a_slice_are_drawn_there_in_the_colour_of_their_sign(viewing, prompts):
    offsets = np.array([(0, 0, 0), (10, 5, 0), (-12, 10, 0), (3, 3, 9)])
    prompts.show(*offsets, signs="+-++")
    view = viewing.views.red
    at = [view.xyOf(viewing.center + offset) for offset in offsets[:3]]
    assert spots(view, isGreen) == [pytest.approx(at[n], abs=1) for n in sorted((0, 2), key=lambda n: at[n][0])]
    assert spots(view, isRed) == [pytest.approx(at[1], abs=1)]
    assert len(spots(viewing.views.yellow, isGreen)) == 1  # the first, through which it runs
    view.node.SetSliceOffset(view.node.GetSliceOffset() + 9)
    assert spots(view, isGreen) == [pytest.approx(view.xyOf(viewing.center + offsets[3]), abs=1)]
    assert spots(view, isRed) == []


def test_prompts_are_drawn_in_3d_wherever_they_lie(viewing, prompts):
    offsets = [(0, 0, 0), (25, 5, 0), (-25, 10, 6), (3, 3, 25)]
    prompts.show(*offsets, signs="+-+-")
    view = viewing.views.threeD
    for isColor, indices in ((isGreen, (0, 2)), (isRed, (1, 3))):
        at = sorted(view.xyOf(viewing.center + offsets[index]) for index in indices)
        assert spots(view, isColor) == [pytest.approx(xy, abs=1.5) for xy in at]


def test_prompts_inside_a_segment_shine_through_its_surface(viewing, prompts):
    viewing.addSegmentation(ORGAN)
    view = viewing.views.threeD
    view.look(viewing.center, viewing.center + (0, 120, 0))
    xy = view.xyOf(viewing.center)
    bare = colorAt(view.pixels(), xy)
    prompts.show((0, 0, 0))
    covered = colorAt(view.pixels(), xy)
    assert not isGreen(bare)
    assert isGreen(covered)


def test_no_names_beside_the_points(viewing, prompts):
    """Only the glyph changes the picture: a name beside it would change more."""
    view = viewing.views.red
    before = view.pixels().astype(int)
    prompts.show((0, 0, 0))
    changed = np.argwhere(np.abs(view.pixels() - before).max(axis=2) > 8)
    assert 9 <= len(changed) <= 100
    assert np.ptp(changed, axis=0).max() <= 10


def test_showing_other_prompts_replaces_those_shown(viewing, prompts):
    view = viewing.views.red
    prompts.show((0, 0, 0), (10, 0, 0))
    prompts.show((0, 0, 0), (-10, 0, 0), (0, 10, 0), signs="-++")
    assert (len(spots(view, isGreen)), len(spots(view, isRed))) == (2, 1)
    prompts.show()
    assert (len(spots(view, isGreen)), len(spots(view, isRed))) == (0, 0)
    assert prompts.told == []


def test_no_prompts_make_no_node(viewing, prompts):
    before = nodeIds(viewing)
    prompts.show()
    prompts.display.hintAt(None)
    assert nodeIds(viewing) == before
    assert prompts.display.promptAt(viewing.views.red.renderer, viewing.views.red.node, (120, 120)) is None


def test_prompts_stay_on_top_of_segments_that_come_later(viewing, prompts):
    view = viewing.views.red
    prompts.show((0, 0, 0), (12, 0, 0))
    alone = [colorAt(view.pixels(), view.xyOf(viewing.center + offset), radius=1) for offset in ((0, 0, 0), (12, 0, 0))]
    for _ in range(2):
        viewing.addSegmentation(ORGAN)
        prompts.show((0, 0, 0), (12, 0, 0))
        for offset, expected in zip(((0, 0, 0), (12, 0, 0)), alone, strict=True):
            seen = colorAt(view.pixels(), view.xyOf(viewing.center + offset), radius=1)
            assert seen == pytest.approx(expected, abs=0.02)
    assert prompts.node.GetNumberOfDisplayNodes() == 1
    xy = view.xyOf(viewing.center + (12, 0, 0))
    view.move(xy)
    viewing.addSegmentation(LUMP)
    prompts.show((0, 0, 0), (12, 0, 0))  # under the mouse
    view.drag(xy, np.add(xy, (0, 20)))
    assert [told[:2] for told in prompts.told] == [("moved", 1)]


def test_segment_that_comes_during_a_drag_ends_up_under_the_prompts(viewing, prompts):
    view = viewing.views.red
    prompts.show((0, 0, 0))
    xy = view.xyOf(viewing.center)
    view.move(xy)
    view.press(xy)
    view.move(np.add(xy, (12, 0)))
    viewing.addSegmentation(ORGAN)
    prompts.show((0, 0, 0))
    display = prompts.node.GetDisplayNode()
    view.release(np.add(xy, (12, 0)))
    assert prompts.node.GetDisplayNode() is display
    view.move((5, 5))
    prompts.show((0, 0, 0))
    assert colorAt(view.pixels(), xy, radius=1) == pytest.approx((0.15, 0.85, 0.25), abs=0.02)


# ---- dragging ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("color", ["red", "yellow", "green"])
def test_dragging_a_prompt_in_a_slice_tells_its_new_place(viewing, prompts, color):
    view = getattr(viewing.views, color)
    prompts.show((3, 4, 5), (0, 0, 0))
    start, end = view.xyOf(viewing.center), np.add(view.xyOf(viewing.center), (30, -22))
    view.drag(start, end)
    [(what, index, ras)] = prompts.told
    assert (what, index) == ("moved", 1)
    assert ras == pytest.approx(pickInSlice(view.interactor, view.node, np.round(end)), abs=0.4)  # a pixel is 0.33 mm
    assert tuple(prompts.node.GetNthControlPointPositionWorld(1)) == pytest.approx(ras)
    assert tuple(prompts.node.GetNthControlPointPositionWorld(0)) == pytest.approx(tuple(viewing.center + (3, 4, 5)))


def test_dragging_a_prompt_in_3d_tells_its_new_place(viewing, prompts):
    view = viewing.views.threeD
    prompts.show((0, 0, 0), (20, 0, 0))
    view.window.Render()
    end = np.add(view.xyOf(viewing.center + (20, 0, 0)), (25, 31))
    view.drag(view.xyOf(viewing.center + (20, 0, 0)), end)
    [(what, index, ras)] = prompts.told
    assert (what, index) == ("moved", 1)
    assert view.xyOf(ras) == pytest.approx(tuple(end), abs=1.5)


def test_pressing_a_prompt_without_dragging_tells_nothing(viewing, prompts):
    prompts.show((0, 0, 0))
    for view in viewing.views.red, viewing.views.threeD:
        view.window.Render()
        view.click(view.xyOf(viewing.center))
    assert prompts.told == []


def test_prompts_shown_during_a_drag_wait_for_its_end(viewing, prompts):
    """A result that comes meanwhile does not tear the point out of the user's hand."""
    view = viewing.views.red
    prompts.show((0, 0, 0))
    start = view.xyOf(viewing.center)
    view.move(start)
    view.press(start)
    view.move(np.add(start, (12, 0)))
    prompts.show((0, 0, 0), (0, 10, 0))
    assert prompts.node.GetNumberOfControlPoints() == 1
    view.move(np.add(start, (24, 0)))
    view.release(np.add(start, (24, 0)))
    assert prompts.node.GetNumberOfControlPoints() == 2
    assert [told[:2] for told in prompts.told] == [("moved", 0)]
    assert prompts.told[0][2] == pytest.approx(pickInSlice(view.interactor, view.node, np.add(start, (24, 0))), abs=0.4)


def test_refused_drag_goes_back_when_shown_again(viewing, prompts):
    view = viewing.views.red
    prompts.show((0, 0, 0))
    view.drag(view.xyOf(viewing.center), np.add(view.xyOf(viewing.center), (30, 0)))
    assert spots(view, isGreen) != [pytest.approx(view.xyOf(viewing.center), abs=1.5)]
    prompts.show((0, 0, 0))
    view.move((5, 5))  # away from the point, which is highlighted under the mouse
    assert spots(view, isGreen) == [pytest.approx(view.xyOf(viewing.center), abs=1.5)]


@pytest.mark.parametrize("name", ["red", "threeD"])
def test_prompt_is_found_where_a_press_would_drag_it_and_only_there(viewing, prompts, name):
    view = getattr(viewing.views, name)
    offset = (8, 3, 0)
    for distance in (0, 6, 10, 13, 20):
        prompts.show((-15, 0, 0), offset)
        view.window.Render()
        xy = np.round(view.xyOf(viewing.center + offset)) + (0, distance)
        found = prompts.display.promptAt(view.renderer, view.node, xy)
        prompts.told.clear()
        view.drag(xy, xy + (0, 9))
        assert found == (1 if distance <= 10 else None)
        assert [told[1] for told in prompts.told] == ([] if found is None else [found])
        if name == "threeD":
            view.look(viewing.center, viewing.center + (0, 250, 0))  # a drag beside it turns the camera
    assert prompts.display.promptAt(view.renderer, view.node, view.xyOf(viewing.center + (-15, 0, 0))) == 0


# ---- deleting, flipping --------------------------------------------------------------------------------------------


def test_delete_key_over_a_prompt_tells_which_one_went(viewing, prompts):
    view = viewing.views.red
    prompts.show((0, 0, 0), (12, 0, 0), (-12, 0, 0))
    xy = view.xyOf(viewing.center + (12, 0, 0))
    view.move(xy)
    view.key("Delete", xy)
    assert prompts.told == [("deleted", 1)]
    assert prompts.node.GetNumberOfControlPoints() == 2
    view.move((5, 5))
    assert (len(spots(view, isGreen)), len(spots(view, isRed))) == (2, 0)


def test_deletion_through_markups_tells_each_point(viewing, prompts):
    prompts.show((0, 0, 0), (12, 0, 0), (-12, 0, 0))
    prompts.node.RemoveNthControlPoint(0)
    prompts.node.RemoveNthControlPoint(1)
    assert prompts.told == [("deleted", 0), ("deleted", 1)]  # of those left
    prompts.show((0, 0, 0), (12, 0, 0), (-12, 0, 0))
    prompts.told.clear()
    prompts.node.RemoveAllControlPoints()
    assert prompts.told == [("deleted", 2), ("deleted", 1), ("deleted", 0)]


def test_flip_through_markups_changes_the_colour_and_is_told(viewing, prompts):
    view = viewing.views.red
    prompts.show((0, 0, 0), (12, 0, 0), signs="++")
    prompts.node.SetNthControlPointSelected(1, False)
    assert prompts.told == [("flipped", 1)]
    assert spots(view, isRed) == [pytest.approx(view.xyOf(viewing.center + (12, 0, 0)), abs=1)]
    assert len(spots(view, isGreen)) == 1


# ---- hint ----------------------------------------------------------------------------------------------------------


def test_hint_is_drawn_and_taken_away(viewing, prompts):
    view, place = viewing.views.green, viewing.center + (9, 0, 7)
    prompts.display.hintAt(place)
    assert spots(view, isBlue) == [pytest.approx(view.xyOf(place), abs=1.5)]
    assert spots(viewing.views.threeD, isBlue) == [pytest.approx(viewing.views.threeD.xyOf(place), abs=1.5)]
    prompts.display.hintAt(viewing.center)
    assert spots(view, isBlue) == [pytest.approx(view.xyOf(viewing.center), abs=1.5)]
    prompts.display.hintAt(None)
    assert spots(view, isBlue) == []


def test_hint_in_another_slice_casts_a_shadow(viewing, prompts):
    view = viewing.views.red
    before = view.pixels().astype(int)
    prompts.display.hintAt(viewing.center + (9, 4, 12))
    changed = np.argwhere(np.abs(view.pixels() - before).max(axis=2) > 8)
    row, column = changed.mean(axis=0)
    assert (column, 239 - row) == pytest.approx(view.xyOf(viewing.center + (9, 4, 12)), abs=1.5)


def test_hint_is_neither_dragged_nor_taken_for_a_prompt(viewing, prompts):
    view = viewing.views.red
    prompts.display.hintAt(viewing.center)
    xy = view.xyOf(viewing.center)
    view.drag(xy, np.add(xy, (30, 0)))
    assert prompts.told == []
    assert tuple(prompts.display.hintNode.GetNthControlPointPositionWorld(0)) == pytest.approx(tuple(viewing.center))
    assert prompts.display.promptAt(view.renderer, view.node, xy) is None


# ---- the scene -----------------------------------------------------------------------------------------------------


def test_removal_leaves_nothing_in_scene_and_views(viewing, prompts):
    viewing.addSegmentation(ORGAN, LUMP)
    before, empty = nodeIds(viewing), viewing.views.mosaic()
    prompts.show((0, 0, 0), (12, 0, 0))
    prompts.display.hintAt(viewing.center + (5, 5, 0))
    assert len(nodeIds(viewing)) == len(before) + 4  # two nodes and their displays
    assert (viewing.views.mosaic() != empty).any()
    prompts.display.remove()
    assert nodeIds(viewing) == before
    assert (viewing.views.mosaic() == empty).all()
    assert prompts.told == []
    prompts.show((0, 0, 0))
    assert len(spots(viewing.views.red, isGreen)) == 1


def test_saved_scene_knows_nothing_of_prompts(viewing, prompts, tmp_path):
    prompts.show((0, 0, 0))
    prompts.display.hintAt(viewing.center)
    path = tmp_path / "scene.mrml"
    assert viewing.scene.mrml.Commit(str(path))
    saved = path.read_text(encoding="utf-8")
    assert "Volume" in saved
    assert "SAM 3D" not in saved
    assert "<Markups" not in saved
    assert prompts.node.GetHideFromEditors()


def test_place_mode_keeps_its_own_node(viewing, prompts):
    own = viewing.scene.mrml.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Own")
    selection = viewing.scene.mrml.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
    selection.SetActivePlaceNodeID(own.GetID())
    prompts.show((0, 0, 0))
    prompts.display.hintAt(viewing.center)
    assert selection.GetActivePlaceNodeID() == own.GetID()


def test_closed_scene_and_removed_node_are_survived(viewing, prompts):
    prompts.show((0, 0, 0))
    viewing.scene.mrml.RemoveNode(prompts.node)
    assert prompts.node is None
    prompts.show((0, 0, 0), (12, 0, 0))
    assert (len(spots(viewing.views.red, isGreen)), len(spots(viewing.views.red, isRed))) == (1, 1)
    prompts.display.hintAt(viewing.center)
    viewing.scene.mrml.Clear(False)
    assert prompts.node is None and prompts.display.hintNode is None
    prompts.display.remove()
    prompts.show((0, 0, 0))
    assert prompts.node.GetNumberOfControlPoints() == 1
    assert prompts.told == []


def test_two_displays_keep_apart(viewing, prompts):
    other = Prompts(viewing)
    prompts.show((0, 0, 0))
    other.show((12, 0, 0))
    view = viewing.views.red
    xy = view.xyOf(viewing.center + (12, 0, 0))
    view.drag(xy, np.add(xy, (0, 20)))
    assert prompts.told == []
    assert [told[:2] for told in other.told] == [("moved", 0)]
    other.display.remove()
    view.move((5, 5))
    assert len(spots(view, isGreen)) == 1
