"""The part of the editor that runs on the worker thread: the model, and one engine session per image."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .EditorData import Model
from .EngineDesk import Desk, Request, digestOf
from .EngineLoading import loadModel
from .JobState import JobState
from .MaskPlacement import Patch

SESSIONS = 3  # images whose encoded windows or slices are kept
AGREEMENT = 0.99  # Dice from which a mask made again counts as the one in the segment


@dataclass(frozen=True)
class Source:
    """An image as the engine takes it: voxels (I, J, K), spacing per axis, RAS direction (3, 3)."""

    key: tuple
    voxels: NDArray
    spacing_mm: tuple[float, ...]
    direction: NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """Where a request starts: at `position` of the engine's `history` (None is a new one), and from there

    with neither requests nor content as it is; with `content` (in voxels of the image) from that mask; with `requests`
    and `initial` (a CroppedMask or None) from their answer, made again. Is it neither the one that had the digest
    `answer` nor much like `content`, then `content` counts. Without content the answer is taken as it is.
    """

    history: Any | None = None
    position: int = 0
    content: Patch | None = None
    requests: tuple[Request, ...] = ()
    initial: Any | None = None
    answer: str = ""


@dataclass(frozen=True)
class Job:
    """One request. action gets a Desk that stands on the ground; None is for the ground itself."""

    source: Source
    model: Model
    ground: Ground
    action: Callable[[Desk], object] | None = None
    state: JobState = field(default_factory=JobState)


@dataclass(frozen=True)
class Answer:
    """What a job found.

    mask in voxels of the image, and its digest; started: the CroppedMask of `Ground.content` where the request started
    from it; groundSteps, ownSteps: how many steps the ground and the action added to the history.
    """

    history: Any
    mask: Patch
    digest: str
    started: Any | None
    groundSteps: int
    ownSteps: int
    position: int
    length: int
    candidates: tuple[float, ...]
    chosen: int
    hint: tuple[int, int, int] | None
    timing: Any
    notices: tuple[str, ...]


class InferenceEngine:
    """Runs one job at a time, all on one thread; only `cancel` may come from another.

    A job leaves the histories it was given as they were: what it did is in its answer.
    """

    def __init__(self, load: Callable[[str, str], Any] = loadModel) -> None:
        self._load = load
        self._loaded: tuple[str, str] | None = None  # name or path, device
        self._segmenter: Any = None
        self._sessions: OrderedDict[tuple, Any] = OrderedDict()
        self._running: Any = None

    def run(self, job: Job) -> Answer:
        """Answer a job. Raises EngineError, the engine's Cancelled, or ValueError for prompts that it refuses."""
        session = self._sessionOf(job)
        desk = Desk(session, job.source.voxels.shape, job.state.check)
        self._running = session
        session.on_progress = job.state.show
        try:
            session.exchange_history(copy.copy(job.ground.history))
            started = self._take(desk, job.ground)
            groundSteps = desk.steps
            if job.action is not None:
                desk.check()
                job.action(desk)
            state = desk.current
            crop, offset = session.mask_crop
            return Answer(
                history=copy.copy(desk.history),
                mask=Patch(np.ascontiguousarray(crop), offset),
                digest=digestOf(state),
                started=started,
                groundSteps=groundSteps,
                ownSteps=desk.steps - groundSteps,
                position=session.position,
                length=session.length,
                candidates=() if state.outcome is None else tuple(float(v) for v in state.outcome.iou),
                chosen=0 if state.outcome is None else state.outcome.chosen,
                hint=session.uncertain_voxel,
                timing=session.last_timing,
                notices=tuple(session.notices),
            )
        finally:
            self._running = session.on_progress = None
            session.exchange_history(None)

    def prepare(self, job: Job) -> None:
        """Do the action only, on an empty history."""
        session = self._sessionOf(job)
        if job.action is not None:
            job.action(Desk(session, job.source.voxels.shape, job.state.check))

    def cancel(self) -> None:
        """Stop the running job at its next stage. Callable from any thread."""
        session = self._running
        if session is not None:
            session.cancel()

    def close(self) -> None:
        """Let go of the model and all images."""
        self._sessions.clear()
        self._segmenter, self._loaded = None, None

    def _sessionOf(self, job: Job) -> Any:
        from sam3dseg.session import Session

        job.state.check()
        answerer, device = job.model
        if self._loaded != (answerer.name, device):
            self.close()
            self._segmenter = self._load(answerer.name, device)
            self._loaded = (answerer.name, device)
        key = (job.source.key, answerer.slices)
        if key not in self._sessions:
            session = Session(self._segmenter, slices=answerer.slices)
            session.set_image(job.source.voxels, spacing_mm=job.source.spacing_mm, direction=job.source.direction)
            self._sessions[key] = session
            while len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        return self._sessions[key]

    @staticmethod
    def _take(desk: Desk, ground: Ground) -> Any | None:
        """Stand on the ground; returns the mask started from, where it is the content."""
        from sam3dseg.masks import CroppedMask

        desk.goTo(ground.position)
        if ground.requests:
            state = desk.answerTo(ground.requests, ground.initial)
            same = bool(ground.answer) and digestOf(state) == ground.answer
            if same or ground.content is None or _dice(desk.patchOf(state), ground.content) >= AGREEMENT:
                desk.push(state)
                return None
        if ground.content is None:
            return None
        start = CroppedMask.from_crop(ground.content.crop, ground.content.offset)
        desk.startFrom(start)
        return start


def _dice(first: Patch, second: Patch) -> float:
    """Overlap of two masks of one image, 0 to 1."""
    total = int(first.crop.sum()) + int(second.crop.sum())
    return 1.0 if total == 0 else 1 - (first.without(second).crop.sum() + second.without(first).crop.sum()) / total
