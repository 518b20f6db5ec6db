"""The values that the editor's parts exchange: models, targets, prompts, requests, steps and status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sam3dseg.slices.options import SliceOptions

from .EditPorts import EditPort

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Answerer:
    """What a mask depends on besides its prompts: the model's name or path, and the SliceOptions of a model of slices.

    slices None is for models that answer in 3D, and for the engine's defaults.
    """

    name: str = "embedded"
    slices: SliceOptions | None = None


Model = tuple[Answerer, str]  # and the device, on which no mask depends


@dataclass(frozen=True)
class Target:
    """Who is edited: a segment, the volume it is seen in, and the port that writes it."""

    volumeNode: Any
    segmentationNode: Any
    segmentId: str
    port: EditPort


@dataclass(frozen=True)
class Prompt:
    """A point as the user sees it, in world RAS mm."""

    ras: Triple
    isForeground: bool


@dataclass(frozen=True)
class PlacedClick:
    """A click in the volume's own RAS mm (parent transforms left out)."""

    position: Triple
    isForeground: bool


@dataclass(frozen=True)
class PlacedBox:
    """A box between the centres of two opposite corner voxels, in the volume's own RAS mm."""

    lower: Triple
    upper: Triple


@dataclass(frozen=True)
class Group:
    """What was asked in one request, and the candidate that was chosen of its answer."""

    prompts: tuple[PlacedClick | PlacedBox, ...]
    chosen: int = 0


@dataclass(frozen=True)
class Step:
    """What is known of one step of a segment's history, in the order of the engine's own history.

    initial: the engine's CroppedMask that the groups started from, or None; hint is in the volume's own RAS mm;
    notices: what the engine has to say of the answer.
    """

    uid: str = ""
    groups: tuple[Group, ...] = ()
    initial: Any | None = None
    candidates: tuple[float, ...] = ()
    chosen: int = 0
    hint: Triple | None = None
    answer: str = ""
    notices: tuple[str, ...] = ()

    @property
    def clicks(self) -> tuple[PlacedClick, ...]:
        return tuple(p for group in self.groups for p in group.prompts if isinstance(p, PlacedClick))


@dataclass(frozen=True)
class Status:
    """What the options frame shows of a segment. hintRas and prompts are in world RAS mm, deviceBytes in bytes.

    progress: the engine's Progress of what runs for it, or None; notices as in Step.
    """

    text: str = ""
    predictedIou: float | None = None
    candidates: tuple[float, ...] = ()
    chosen: int = 0
    position: int = 0
    length: int = 1
    timing: Any | None = None
    deviceLine: str = ""
    deviceBytes: int = 0
    hintRas: Triple | None = None
    prompts: tuple[Prompt, ...] = ()
    progress: Any | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogicError:
    """Why a request failed; kind is "torch-missing", "weights-missing" or "failed"."""

    message: str
    kind: str = "failed"


@dataclass(frozen=True)
class Written:
    """The last change of a segment: cropped vtkOrientedImageData (0 and 1) in segmentation space, None for nothing."""

    target: Target
    added: Any | None
    removed: Any | None


@dataclass(frozen=True)
class Proposed:
    """What a model proposed: the segments in the order of its classes, and the names of those that it found nowhere."""

    target: Target
    segmentIds: tuple[str, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ask:
    """One request in the queue.

    kind: "add" (prompts), "move" (value: index, PlacedClick), "delete" or "flip" (value: index), "choose" (value:
    index), "show" (value: position), "replay", "restart" (value: what it is called), or "propose" (value: the model's
    name or path), which is for all segments of the target's segmentation.
    """

    kind: str
    target: Target
    prompts: tuple[PlacedClick | PlacedBox, ...] = ()
    value: Any = None

    @property
    def key(self) -> tuple[str, str]:
        """Which segment it is for."""
        return keyOf(self.target)


def keyOf(target: Target) -> tuple[str, str]:
    """Names a segment within its scene: MRML id of the segmentation, segment id."""
    return target.segmentationNode.GetID() or "", target.segmentId
