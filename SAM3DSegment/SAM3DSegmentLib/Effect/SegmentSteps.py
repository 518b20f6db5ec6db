"""From one segment to the next. No Qt."""

from __future__ import annotations

import slicer


def nextSegmentId(segmentationNode, segmentId: str) -> str:
    """Id of the segment after this one; after the last one, of a new empty segment."""
    segmentation = segmentationNode.GetSegmentation()
    ids = segmentation.GetSegmentIDs()
    following = ids[ids.index(segmentId) + 1 :] if segmentId in ids else ids[:1]
    return following[0] if following else segmentation.AddEmptySegment()


def acceptSegment(segmentationNode, segmentId: str) -> None:
    """Mark a segment as completed, as the status column of the segment list does."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(segmentationNode.GetSegmentation().GetSegment(segmentId), logic.Completed)
