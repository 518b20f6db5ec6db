"""A stand-in for a network that proposes: the first blob of `twoBlobs`, the second, and what is nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3dseg.proposals.structures import StructureClass
from sam3dseg.request import Progress

CLASSES = (
    StructureClass("First", (1.0, 0.0, 0.0)),
    StructureClass("Second", (0.0, 0.5, 1.0)),
    StructureClass("Nowhere", (0.0, 1.0, 0.0)),
)


@dataclass
class BlobProposer:
    """on_part is called between the parts of its work."""

    classes: tuple[StructureClass, ...] = CLASSES
    name: str = "blobs"
    device_line: str = "CPU"
    on_part: Any = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def propose(self, array_ijk, *, spacing_mm, direction=None, mirror=False, check, on_progress) -> NDArray[np.uint8]:
        self.asked.append({"shape": array_ijk.shape, "spacing_mm": spacing_mm, "direction": direction})
        labels = np.zeros(array_ijk.shape, dtype=np.uint8)
        for number, value in enumerate((200, 150), start=1):
            on_progress(Progress(number, 2, "slices"))
            if self.on_part:
                self.on_part()
            check()
            labels[array_ijk == value] = number
        return labels
