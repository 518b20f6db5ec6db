"""What an editor edits at present. No Qt."""

from __future__ import annotations

from ..Editor.EditorData import Target, keyOf
from ..Editor.EditPorts import EffectPort


class EditedSegment:
    """The source volume and the segment that are selected in the editor of one effect."""

    def __init__(self, scriptedEffect) -> None:
        self._effect = scriptedEffect

    @property
    def parameterNode(self):
        return self._effect.parameterSetNode()

    @property
    def volumeNode(self):
        return self.parameterNode.GetSourceVolumeNode() if self.parameterNode else None

    def target(self) -> Target | None:
        """What requests are made for; None while no volume or no segment is selected."""
        node, volume = self.parameterNode, self.volumeNode
        segmentation = node.GetSegmentationNode() if node else None
        segmentId = node.GetSelectedSegmentID() if node else None
        if not (volume and segmentation and segmentId and segmentation.GetSegmentation().GetSegment(segmentId)):
            return None
        return Target(volume, segmentation, segmentId, EffectPort(self._effect, segmentation, segmentId))

    def isSelected(self, target: Target) -> bool:
        """Whether this is the segment that is edited now."""
        mine = self.target()
        return mine is not None and keyOf(mine) == keyOf(target)

    def isMine(self, target: Target) -> bool:
        """Whether a request would be written through this editor."""
        return getattr(target.port, "scriptedEffect", None) is self._effect

    def center(self, sliceNode=None) -> tuple[float, ...] | None:
        """Centre of a slice view, else of the volume, in world RAS, mm; None without a volume."""
        if self.volumeNode is None:
            return None
        if sliceNode is not None and sliceNode.GetScene() is not None:
            width, height = sliceNode.GetDimensions()[:2]
            return sliceNode.GetXYToRAS().MultiplyPoint((width / 2, height / 2, 0.0, 1.0))[:3]
        bounds = [0.0] * 6
        self.volumeNode.GetRASBounds(bounds)
        return tuple((lower + upper) / 2 for lower, upper in zip(bounds[::2], bounds[1::2], strict=True))
