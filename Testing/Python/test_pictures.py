"""Golden pictures of a slice and of 3D: before the first click, after it, and while and after a correction is shown.

SAM3DSEG_REWRITE_GOLDEN=1 stores what is drawn; look at the files then.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")
pytest.importorskip("vtk")
pytest.importorskip("PIL")

from _pytest.outcomes import Failed, Skipped  # noqa: E402
from slicer_host import pictures  # noqa: E402
from slicer_host.phantom import LUMP, ORGAN, ROD  # noqa: E402
from slicer_host.pictures import compareWithGolden  # noqa: E402
from slicer_host.viewing import ORANGE, viewing  # noqa: E402, F401

from SAM3DSegmentLib.Views.ChangeDisplay import ChangeDisplay  # noqa: E402
from SAM3DSegmentLib.Views.PromptDisplay import PromptDisplay  # noqa: E402


class Story:
    """A click on the organ takes a lump along and misses the organ's left side; two clicks correct both.

    The masks are made by hand from the phantom's labels, as is what a segment editor does with them.
    """

    def __init__(self, viewing):
        self.viewing = viewing
        self.segmentation = viewing.scene.addSegmentation(viewing.volume, segments=())
        self.segmentation.GetSegmentation().AddEmptySegment("organ", "organ", ORANGE)
        self.prompts = PromptDisplay()
        self.changes = ChangeDisplay(startTimer=lambda ms, callback: setattr(self, "timeOver", callback))
        labels, i = viewing.case.labels, np.indices(viewing.case.labels.shape)[0]
        self.organ = (labels == ORGAN) | (labels == ROD)
        self.first = (self.organ & (i < 51)) | (labels == LUMP)
        self.mask = np.zeros_like(self.organ)
        view = viewing.views.threeD
        view.node.SetBoxVisible(False)
        view.look(viewing.center + (0, 8, 0), viewing.center + np.array((-75, 110, 70)))

    def before(self):
        self.viewing.views.red.node.SetSliceVisible(True)

    def firstClick(self):
        self.before()
        self._show(self.first)
        self.prompts.show([self._prompt((36, 44, 24))])
        self.prompts.hintAt(self.viewing.case.rasOf((54, 44, 24)))

    def correction(self):
        self.firstClick()
        before = self.mask
        self._show(self.organ)
        image = self.viewing.labelmap
        self.changes.flash(image(self.organ & ~before), image(before & ~self.organ), self.segmentation)
        corrections = self._prompt((36, 15, 24), False), self._prompt((54, 42, 24))
        self.prompts.show([self._prompt((36, 44, 24)), *corrections])
        self.prompts.hintAt(None)

    def afterwards(self):
        self.correction()
        self.timeOver()

    def _show(self, mask):
        self.mask = mask
        segmentation = self.segmentation.GetSegmentation()
        segmentation.GetSegment("organ").AddRepresentation("Binary labelmap", self.viewing.labelmap(mask))
        segmentation.RemoveRepresentation("Closed surface")
        self.segmentation.CreateClosedSurfaceRepresentation()

    def _prompt(self, ijk, isForeground=True):
        return SimpleNamespace(ras=tuple(self.viewing.case.rasOf(ijk)), isForeground=isForeground)


@pytest.mark.parametrize("view", ["red", "threeD"])
@pytest.mark.parametrize("moment", ["before", "firstClick", "correction", "afterwards"])
def test_views_look_as_they_did(viewing, moment, view, tmp_path):
    getattr(Story(viewing), moment)()
    compareWithGolden(f"{moment}-{view}", getattr(viewing.views, view).pixels(), tmp_path)


def test_golden_pictures_are_few_and_small():
    files = sorted(pictures.GOLDEN.iterdir())
    assert 0 < len(files) <= 8
    assert all(file.suffix == ".png" and file.stat().st_size < 40_000 for file in files)


# ---- what the comparison notices -----------------------------------------------------------------------------------


@pytest.fixture
def story(viewing):
    """After the correction, with its picture stored as golden."""
    told = Story(viewing)
    told.afterwards()
    return told


@pytest.fixture
def differs(story, viewing, tmp_path, monkeypatch):
    """Whether a view, by its name, no longer looks as it does now."""
    golden = tmp_path / "golden"
    monkeypatch.setenv(pictures.REWRITE, "1")
    for name in "red", "threeD":
        compareWithGolden(name, getattr(viewing.views, name).pixels(), tmp_path, golden=golden)
    monkeypatch.delenv(pictures.REWRITE)

    def compare(name):
        try:
            compareWithGolden(name, getattr(viewing.views, name).pixels(), tmp_path, golden=golden)
        except AssertionError:
            return True
        return False

    return compare


def test_the_same_again_is_no_difference(differs, story, viewing):
    story.changes.flash(viewing.labelmap(story.organ), None, story.segmentation)
    assert differs("red") and differs("threeD")
    story.changes.clear()
    assert not differs("red") and not differs("threeD")


def test_missing_point_is_noticed(differs, story, viewing):
    story.prompts.show([story._prompt((36, 44, 24)), story._prompt((36, 15, 24), False)])
    assert differs("red") and differs("threeD")


def test_point_of_the_wrong_colour_is_noticed(differs, story):
    story.prompts.markupsNode.SetNthControlPointSelected(0, False)
    assert differs("red") and differs("threeD")


def test_missing_contour_is_noticed(differs, story):
    story.segmentation.GetDisplayNode().SetVisibility2DOutline(False)
    assert differs("red")


def test_segment_of_another_colour_is_noticed(differs, story):
    story.segmentation.GetSegmentation().GetSegment("organ").SetColor(0.9, 0.75, 0.1)
    assert differs("red") and differs("threeD")


def test_segment_without_a_layer_of_voxels_is_noticed(differs, story, viewing):
    story._show(story.organ & (np.indices(story.organ.shape)[0] < 57))
    assert differs("red") and differs("threeD")


def test_other_renderer_skips_and_missing_picture_fails(tmp_path, monkeypatch, viewing):
    pixels = viewing.views.red.pixels()
    with pytest.raises(Failed, match=f"does not exist; {pictures.REWRITE}=1"):
        compareWithGolden("red", pixels, tmp_path, golden=tmp_path / "golden")
    monkeypatch.setenv(pictures.REWRITE, "1")
    compareWithGolden("red", pixels, tmp_path, golden=tmp_path / "golden")
    monkeypatch.delenv(pictures.REWRITE)
    here = pictures.rendererLine()
    monkeypatch.setattr(pictures, "renderingBackend", lambda: "a graphics card")
    with pytest.raises(Skipped, match="a graphics card") as skipped:
        compareWithGolden("red", pixels, tmp_path, golden=tmp_path / "golden")
    assert here in str(skipped.value)
