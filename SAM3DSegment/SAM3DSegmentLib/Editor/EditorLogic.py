"""The editor without Qt: prompts in world RAS mm go in, segments change through their ports.

Requests are answered one after the other on a worker thread; what came back is applied in `poll`, on its caller's
thread. PyTorch is loaded by the first request, on the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sam3dseg.slices.options import SliceOptions

from .EditorData import Answerer, Ask, LogicError, Model, PlacedBox, Prompt, Proposed, Status, Target, Written, keyOf
from .InferenceEngine import Ground, InferenceEngine, Job
from .InferenceWorker import InferenceWorker
from .PromptStore import PromptStore
from .ProposalEngine import ProposalEngine
from .ProposalWriter import ProposalWriter, planProposal
from .RequestPlanner import Place, RequestPlanner, sourceOf
from .RequestQueue import Running
from .RequestRunner import RequestRunner
from .SceneWatch import SceneWatch
from .SegmentContent import SegmentReader
from .SegmentTrack import Tracks
from .SegmentWriter import SegmentWriter, checkReach
from .StatusReport import statusAt

log = logging.getLogger(__name__)

__all__ = ["EditorLogic", "LogicError", "Prompt", "Status", "Target", "Written", "sharedLogic"]

Listener = Callable[[str, "Target | None"], None]


class EditorLogic:
    """Listeners get an event and its target.

    "changed" is for mask, prompts or status, "progress" for the status alone, "written" for `lastWritten`, "proposed"
    for `lastProposed`, "failed" for `lastError`. Everything is called from one thread.
    """

    def __init__(
        self,
        *,
        engine: InferenceEngine | None = None,
        proposals: ProposalEngine | None = None,
        worker: InferenceWorker | None = None,
    ) -> None:
        self._engine = engine or InferenceEngine()
        self._proposals = proposals or ProposalEngine()
        self._worker = worker or InferenceWorker()
        self._tracks, self._reader, self._store = Tracks(), SegmentReader(), PromptStore()
        self._planner = RequestPlanner(self._tracks, self._reader, self._store)
        self._writer = SegmentWriter(self._tracks, self._reader, self._store)
        self._proposalWriter = ProposalWriter(self._reader, self._store)
        self._watch = SceneWatch(self._onChanged, self._onRemoved, self._onClosed)
        self._model: Model = (Answerer(), "auto")
        self._runner = RequestRunner(self._worker, start=self._start, emit=self._emit)
        self._queue = self._runner.queue
        self._preparing: Job | None = None
        self._listeners: list[Listener] = []
        self.isClosed = False
        self.lastWritten: Written | None = None
        self.lastProposed: Proposed | None = None

    # Requests

    def addClick(self, target: Target, ras: Sequence[float], isForeground: bool) -> None:
        """Ask with one more point. Raises ValueError outside the volume, and for background before anything else."""
        place = self._placeOf(target)
        click = place.geometry.clickAt(ras, isForeground)
        if isForeground:
            checkReach(target, [ras])
        elif not self._isMarked(target, place):
            raise ValueError("click inside the structure first: a background point needs something to cut from")
        self._ask(Ask("add", target, (click,)))

    def addBox(self, target: Target, rasCorners: Sequence) -> None:
        """Ask with a box around world bounds (6,) or corners (8, 3). Raises ValueError when it misses the volume."""
        geometry = self._placeOf(target).geometry
        box = geometry.boxAround(rasCorners)
        checkReach(target, geometry.worldPointsOf(box))
        self._ask(Ask("add", target, (box,)))

    def refineSegment(self, target: Target) -> None:
        """Let the segment's content be the mask that the next click starts from. Raises ValueError when it is empty."""
        if self._placeOf(target).content.isEmpty:
            raise ValueError("expected a segment with voxels to refine, received an empty one: click or paint first")
        self._ask(Ask("restart", target))

    def clearPrompts(self, target: Target) -> None:
        """Forget the prompts and keep the mask."""
        self._drop(lambda other: keyOf(other) == keyOf(target))
        self._ask(Ask("restart", target))

    def movePrompt(self, target: Target, index: int, ras: Sequence[float]) -> None:
        """Move a point; all is answered anew. Raises ValueError outside the volume, and for no such point."""
        click = self._placeOf(target).geometry.clickAt(ras, self._pointAt(target, index).isForeground)
        self._edit(Ask("move", target, value=(index, click)))

    def deletePrompt(self, target: Target, index: int) -> None:
        """Take a point away; all others are answered anew."""
        self._pointAt(target, index)
        self._edit(Ask("delete", target, value=index))

    def flipPrompt(self, target: Target, index: int) -> None:
        """Turn foreground into background or back; all is answered anew."""
        self._pointAt(target, index)
        self._edit(Ask("flip", target, value=index))

    def chooseCandidate(self, target: Target, index: int) -> None:
        """Take another of the masks on offer. Raises ValueError when there is none of that index."""
        step = self._placeOf(target).step
        if not 0 <= index < len(step.candidates):
            raise ValueError(f"expected a candidate from 0 to {len(step.candidates) - 1}, received {index}")
        if index != step.chosen or self._queue.asksFor(target):
            self._ask(Ask("choose", target, value=int(index)))

    def showStep(self, target: Target, position: int) -> None:
        """Bring back a step of the history; consecutive calls are one undo state. Raises ValueError for no such one."""
        track = self._placeOf(target).track
        if track is None or not 0 <= position < len(track.steps):
            raise ValueError(f"expected a step from 0 to {len(track.steps) - 1 if track else 0}, received {position}")
        self._ask(Ask("show", target, value=int(position)))

    def replay(self, target: Target) -> None:
        """Answer the segment's prompts anew, with the model that answered them. Raises ValueError without prompts."""
        self._planner.plan(Ask("replay", target), self._model)
        self._ask(Ask("replay", target))

    def propose(self, target: Target, nameOrPath: str) -> None:
        """Fill segments with all structures that a model knows, one each, in the target's segmentation.

        Raises ValueError for a volume that cannot be used, and while a proposal for this segmentation is on its way.
        """
        ask = Ask("propose", target, value=str(nameOrPath))
        planProposal(ask, self._model[1])
        if any(other.kind == "propose" for other in self._queue.asksFor(target)):
            raise ValueError("a proposal is on its way already: wait for it, or cancel it")
        self._ask(ask)

    def prepare(self, target: Target, ras: Sequence[float]) -> None:
        """Encode ahead what a first click at a world point needs, when there is nothing else to do."""
        if self._worker.isBusy or self._queue.isBusy:
            return
        try:
            place = self._placeOf(target)
            voxel = place.geometry.engineClick(place.geometry.clickAt(ras, True)).ijk
        except ValueError:
            return  # nothing there to prepare
        if place.step.groups:
            return
        job = Job(sourceOf(place.geometry), self._model, Ground(), lambda desk: desk.prepare(voxel))
        self._preparing = job
        self._worker.submit(lambda: self._engine.prepare(job), self._onPrepared, self._onPrepared)

    def retry(self) -> None:
        """Ask again what failed."""
        self._runner.retry()

    def cancel(self, isMine: Callable[[Target], bool] = lambda target: True) -> None:
        """Drop what was asked of these targets and not answered. What runs ends at its next stage and is ignored."""
        targets = {ask.key: ask.target for ask in self._queue.all() if isMine(ask.target)}
        self._runner.lastError = None
        if self._preparing is not None:
            self._preparing.state.cancel()
        self._drop(isMine)
        for target in targets.values():
            self._emit("changed", target)

    # State

    @property
    def isBusy(self) -> bool:
        """Whether a request waits or runs; encoding ahead does not count."""
        return self._queue.isBusy

    @property
    def lastError(self) -> LogicError | None:
        """Why the last request failed; None once another was answered."""
        return self._runner.lastError

    @property
    def needsPoll(self) -> bool:
        """Whether the worker has anything to do, encoding ahead included. Inside Slicer it goes on only in `poll`."""
        return self._worker.isBusy

    def statusOf(self, target: Target) -> Status:
        """What there is to show of a segment now."""
        try:
            place = self._placeOf(target)
        except ValueError as error:
            return Status(text=str(error))
        error = None if self.isBusy else self.lastError
        return statusAt(place, self._queue.asksFor(target), error, self._runner.progressOf(target))

    def setModel(self, nameOrPath: str, device: str = "auto", slices: Mapping[str, Any] | None = None) -> None:
        """Use another model from the next request on; it is loaded then. What is there becomes its starting mask.

        slices: of a model of slices, what SliceOptions takes; other options are like another model, but nothing is
        loaded anew. Raises ValueError for options that there are not. The model in use as it is changes nothing.
        """
        model = (Answerer(str(nameOrPath), None if slices is None else SliceOptions(**slices)), device)
        if model != self._model:
            self._model = model
            self._emit("changed", None)

    def addListener(self, callback: Listener) -> None:
        self._listeners.append(callback)

    def removeListener(self, callback: Listener) -> None:
        if callback in self._listeners:
            self._listeners.remove(callback)

    def forget(self, segmentationNode: Any) -> None:
        """Let go of a segmentation: its state, and what was asked of it."""
        name = segmentationNode.GetID() or ""
        self._forgetAll(lambda target: keyOf(target)[0] == name)

    def close(self) -> None:
        """Let go of everything; the logic cannot be used any more."""
        self._onClosed()
        self._watch.close()
        self._listeners.clear()
        self._worker.close()
        self.isClosed = True

    # Results

    def poll(self) -> bool:
        """Apply what is finished; True when there was something. To be called often, on the thread of the scene."""
        return self._runner.poll()

    def _ask(self, ask: Ask) -> None:
        self._watch.watch(ask.target.segmentationNode, ask.target.volumeNode)
        self._runner.ask(ask)

    def _start(self, ask: Ask, asks: tuple[Ask, ...]) -> Running | None:
        """What the worker does for a request, and what becomes of its answer. Raises ValueError as the planners do."""
        if ask.kind == "restart":
            self._restart(ask.target)
            return None
        if ask.kind == "propose":
            proposal = planProposal(ask, self._model[1])

            def fill(structures: Any) -> str:
                self.lastProposed = self._proposalWriter.write(proposal, structures)
                return "proposed"

            return Running(proposal, asks, lambda: self._proposals.run(proposal.job), fill)
        plan = self._planner.plan(ask, self._model)

        def write(answer: Any) -> str:
            self.lastWritten = self._writer.write(plan, answer)
            return "written"

        return Running(plan, asks, lambda: self._engine.run(plan.job), write)

    def _onPrepared(self, result: Any) -> None:
        self._preparing = None
        if isinstance(result, BaseException):
            log.debug("nothing was encoded ahead: %s", result)

    def _restart(self, target: Target) -> None:
        """Make the content of the segment the mask to start from; one undo state when prompts go with it."""
        segment = target.segmentationNode.GetSegmentation().GetSegment(target.segmentId)
        if segment is not None and self._store.read(segment) is not None:
            target.port.saveUndo()
            self._store.remove(segment)
        self._tracks.drop(keyOf(target))

    # What is asked of a segment

    def _placeOf(self, target: Target) -> Place:
        return self._planner.placeOf(target, self._model[0])

    def _isMarked(self, target: Target, place: Place) -> bool:
        """Whether anything says where the structure is."""
        asked = [p for ask in self._queue.asksFor(target) for p in ask.prompts]
        asked += [p for group in place.step.groups for p in group.prompts]
        return not place.content.isEmpty or any(isinstance(p, PlacedBox) or p.isForeground for p in asked)

    def _pointAt(self, target: Target, index: int) -> Prompt:
        prompts = self.statusOf(target).prompts
        if not 0 <= index < len(prompts):
            raise ValueError(f"expected a point from 0 to {len(prompts) - 1}, received {index}")
        return prompts[index]

    def _edit(self, ask: Ask) -> None:
        if not self._queue.asksFor(ask.target):
            self._planner.plan(ask, self._model)  # raises at once for what cannot be done
        self._ask(ask)

    def _drop(self, isGone: Callable[[Target], bool]) -> None:
        if self._queue.drop(isGone):
            self._engine.cancel()

    # The scene

    def _emit(self, event: str, target: Target | None) -> None:
        for listener in tuple(self._listeners):
            listener(event, target)

    def _onChanged(self, name: str) -> None:
        if self._runner.isWriting:
            return
        for _, track in self._tracks.all():
            if name in (track.target.segmentationNode.GetID(), track.target.volumeNode.GetID()):
                self._emit("changed", track.target)
                return

    def _onRemoved(self, node: Any) -> None:
        self._forgetAll(lambda target: node is target.segmentationNode or node is target.volumeNode)

    def _onClosed(self) -> None:
        self._forgetAll(lambda target: True)
        self._reader.forget()
        self.lastWritten = self.lastProposed = None

    def _forgetAll(self, isGone: Callable[[Target], bool]) -> None:
        for key, track in self._tracks.all():
            if isGone(track.target):
                self._tracks.drop(key)
        self._drop(isGone)
        if self.lastWritten is not None and isGone(self.lastWritten.target):
            self.lastWritten = None
        if self.lastProposed is not None and isGone(self.lastProposed.target):
            self.lastProposed = None


_shared: EditorLogic | None = None


def sharedLogic() -> EditorLogic:
    """The process-wide instance; a new one after the last was closed."""
    global _shared
    if _shared is None or _shared.isClosed:
        _shared = EditorLogic()
    return _shared
