"""What an answer does to a segment that is shown in 3D: its surface follows, and is made once."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")

import slicer
from slicer_host.fixtures import editing, scene  # noqa: F401

SURFACE = "Closed surface"
FIRST_BLOB, SECOND_BLOB = (14, 20, 18), (34, 24, 22)


def surfaceOf(bench):
    return bench.segmentation.GetSegmentation().GetSegment("Segment_1").GetRepresentation(SURFACE)


def moveToSecondBlob(bench):
    """A move that removes one blob and adds another; returns at which writes the segment had a surface."""
    bench.click(FIRST_BLOB)
    target, found = bench.target(), []
    apply = target.port.apply
    target.port.apply = lambda image, mode: (found.append((mode, surfaceOf(bench) is not None)), apply(image, mode))
    bench.logic.movePrompt(target, 0, bench.ras(SECOND_BLOB))
    bench.settle()
    return found


def assertSurfaceIsTrue(bench):
    """It is the one that Slicer makes of the segment now."""
    shown = surfaceOf(bench)
    points, bounds = shown.GetNumberOfPoints(), shown.GetBounds()
    bench.segmentation.GetSegmentation().CreateRepresentation(SURFACE, True)
    assert (points, bounds) == (surfaceOf(bench).GetNumberOfPoints(), surfaceOf(bench).GetBounds())


def test_the_surface_is_made_once_where_voxels_go_and_come(editing):
    editing.segmentation.CreateClosedSurfaceRepresentation()
    assert moveToSecondBlob(editing) == [("remove", False), ("add", True)]
    assert editing.mask()[SECOND_BLOB] and not editing.mask()[FIRST_BLOB]
    assertSurfaceIsTrue(editing)


def test_the_surface_follows_a_removal_when_nothing_may_be_added(editing):
    editing.segmentation.CreateClosedSurfaceRepresentation()
    editing.paint((28, 18, 16), (40, 30, 28), segmentId="Segment_2")
    editing.parameters.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    editing.click(FIRST_BLOB)
    before = surfaceOf(editing).GetNumberOfPoints()
    editing.logic.movePrompt(editing.target(), 0, editing.ras(SECOND_BLOB))
    editing.settle()
    assert not editing.mask().any()
    assert before > 0 == surfaceOf(editing).GetNumberOfPoints()


def test_a_segment_without_surface_gets_none(editing):
    assert moveToSecondBlob(editing) == [("remove", False), ("add", False)]
    assert surfaceOf(editing) is None


def test_the_surface_comes_back_when_a_write_fails(editing):
    editing.segmentation.CreateClosedSurfaceRepresentation()
    editing.click(FIRST_BLOB)
    target = editing.target()

    def fail(image, mode):
        raise ValueError("no")

    target.port.apply = fail
    editing.logic.movePrompt(target, 0, editing.ras(SECOND_BLOB))
    editing.settle()
    assert editing.logic.lastError.message == "no"
    assertSurfaceIsTrue(editing)
