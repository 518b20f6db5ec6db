"""One editor's clicks: from events and buttons to the shared EditorLogic, and from its results to what is shown."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from ..Editor.EditorLogic import Status, sharedLogic
from ..Editor.EditorWatch import EditorWatch
from ..Setup.TorchSetup import EFFECT, TorchSetup, resumeFor
from ..Views.ChangeDisplay import ChangeDisplay
from ..Views.PromptDisplay import PromptDisplay
from .BoxPrompt import BoxPrompt
from .EditedSegment import EditedSegment
from .EffectParameters import EffectParameters
from .EncodeAhead import FAR_MM, OTHER_SLICE_MM, EncodeAhead
from .ModelChoice import ModelChoice
from .SegmentSteps import acceptSegment, nextSegmentId
from .StatusText import foundLine
from .ViewClicks import ViewClicks

POLL_MS = 5  # poll itself waits a little for the worker, so that it gets its share of Python
REFUSED = "refused"


class EffectController:
    """Actions of the options frame, of the keys and of the views. Positions are world RAS, mm.

    The logic is made at the first activation. What it refuses, and what fails on its worker, becomes one readable
    line; clicks are kept there, and `retry` sends them again.
    """

    def __init__(self, scriptedEffect, *, logic=sharedLogic, torchSetup=TorchSetup) -> None:
        self._effect = scriptedEffect
        self._makeLogic, self._logic = logic, None
        self._torchSetup = torchSetup
        self._edited = EditedSegment(scriptedEffect)
        self.parameters = EffectParameters(scriptedEffect)
        self._models = ModelChoice(self.parameters, onChanged=self._onModelChanged)
        self._options = None
        self._box = BoxPrompt()
        self._prompts = PromptDisplay(onMoved=self.movePrompt, onDeleted=self.deletePrompt, onFlipped=self.flipPrompt)
        self._changes = ChangeDisplay(startTimer=qt.QTimer.singleShot)
        self._ahead = EncodeAhead(
            self._prepare,
            lambda: self._edited.center(self._sliceNode),
            far_mm=lambda: OTHER_SLICE_MM if self._models.takesSlices else FAR_MM,
        )
        self.views = ViewClicks(scriptedEffect, self, prompts=self._prompts, ahead=self._ahead)
        self._sliceNode = None
        self._isActive = False
        self._watch = EditorWatch(self._edited, onSelection=self.onSelectionChanged, onContent=self._onContentChanged)
        self._timer = qt.QTimer()
        self._timer.interval = POLL_MS
        self._timer.connect("timeout()", self._poll)

    # ---- life --------------------------------------------------------------------------------------------------

    def makeModelSelector(self):
        """The widget that chooses model and device; it belongs to the options frame."""
        return self._models.makeSelector()

    @property
    def modelSelector(self):
        return self._models.selector

    def setOptions(self, options) -> None:
        """The frame that shows what happens."""
        self._options = options
        self.refresh()

    def activate(self) -> None:
        if self._logic is None:
            self._logic = self._makeLogic()
            self._logic.addListener(self._onLogic)
        self._isActive = True
        self._models.giveTo(self._logic)
        self._watch.start()
        self.refresh()
        self._ahead.wake()

    def deactivate(self) -> None:
        """Leave the views as they were. A running request goes on, and its result is written."""
        self._isActive = False
        self._watch.stop()
        self._ahead.stop()
        self._box.remove()
        self._prompts.remove()
        self._changes.remove()

    def cleanup(self) -> None:
        """The editor widget goes, and the port with it: nothing may be written through it any more."""
        if self._isActive:
            self.deactivate()
        if self._logic is not None:
            self._logic.removeListener(self._onLogic)
            self._logic.cancel(self._edited.isMine)
        self._timer.stop()
        self._ahead.stop()
        self._models.close()
        self._options = None

    # ---- what the user asks for --------------------------------------------------------------------------------

    def addClick(self, ras, *, isOtherSign: bool) -> None:
        if self._effect.confirmCurrentSegmentVisible():
            self._ask("addClick", ras, self.parameters.isForeground != isOtherSign)

    def setSign(self, isForeground: bool) -> None:
        self.parameters.set("Sign", "foreground" if isForeground else "background")
        self.refresh()

    def flipSign(self) -> None:
        self.setSign(not self.parameters.isForeground)

    def setShowHint(self, isOn: bool) -> None:
        self.parameters.set("ShowHint", int(isOn))
        self.refresh()

    def setShowChange(self, isOn: bool) -> None:
        self.parameters.set("ShowChange", int(isOn))

    def setSliceParameter(self, name: str, value: str) -> None:
        """How a model of slices goes through the volume, from the next click on."""
        self.parameters.set(name, value)
        self.onParametersChanged()

    def setProposer(self, key: str) -> None:
        self.parameters.set("Proposer", key)

    def propose(self) -> None:
        model = self._models.proposer
        if model is not None:
            self._ask("propose", model.key)

    def refineSegment(self) -> None:
        self._ask("refineSegment")

    def movePrompt(self, index: int, ras) -> None:
        self._ask("movePrompt", index, ras)

    def deletePrompt(self, index: int) -> None:
        self._ask("deletePrompt", index)

    def flipPrompt(self, index: int) -> None:
        self._ask("flipPrompt", index)

    def stepCandidate(self, offset: int) -> None:
        """The next or the previous mask on offer, round and round."""
        status = self._status()
        if status.candidates:
            self._ask("chooseCandidate", (status.chosen + offset) % len(status.candidates))

    def showStep(self, position: int) -> None:
        self._ask("showStep", position)

    def undoLastClick(self) -> None:
        position = self._status().position
        if position > 0:
            self._ask("showStep", position - 1)

    def replay(self) -> None:
        self._ask("replay")

    def clearPrompts(self) -> None:
        self._ask("clearPrompts")

    @property
    def isDrawingBox(self) -> bool:
        return self._box.isOpen

    def onBoxButton(self) -> None:
        """The first press starts a box, the second one uses it."""
        if not self._box.isOpen:
            self._box.start()
            self.refresh()
            return
        corners = self._box.corners()
        if corners is None:
            self._showError(_("Draw the box first: click two opposite corners in a view."), REFUSED)
            return
        self._box.remove()
        if self._effect.confirmCurrentSegmentVisible():
            self._ask("addBox", corners)
        self.refresh()

    def cancelBox(self) -> None:
        self._box.remove()
        self.refresh()

    def nextSegment(self) -> None:
        target = self._edited.target()
        if target is not None:
            following = nextSegmentId(target.segmentationNode, target.segmentId)
            self._edited.parameterNode.SetSelectedSegmentID(following)

    def acceptSegment(self) -> None:
        """Mark the segment as completed and go on to the next one."""
        target = self._edited.target()
        if target is not None:
            acceptSegment(target.segmentationNode, target.segmentId)
            self.nextSegment()

    @property
    def hasSomethingToCancel(self) -> bool:
        return self._box.isOpen or bool(self._logic and self._logic.isBusy)

    def cancel(self) -> None:
        self._box.remove()
        if self._logic is not None:
            self._logic.cancel()
        self.refresh()

    def retry(self) -> None:
        self._showError("", "")
        self._logic.retry()
        self._wake()

    def installTorch(self) -> None:
        if self._torchSetup().offer(resumeFor(EFFECT, self._edited.volumeNode)):
            self.retry()

    # ---- the logic ---------------------------------------------------------------------------------------------

    def _ask(self, request: str, *arguments) -> None:
        """Hand a request to the logic; a refusal becomes a line."""
        target = self._edited.target()
        if target is None or self._logic is None:
            self._showError(_("Choose a source volume and a segment first."), REFUSED)
            return
        self._models.giveTo(self._logic)
        self._showFound("")
        try:
            getattr(self._logic, request)(target, *arguments)
        except ValueError as error:
            self._showError(str(error), REFUSED)
            self.refresh()  # a point that was moved or deleted in a view goes back
        else:
            self._showError("", "")
        self._wake()

    def _status(self) -> Status:
        target = self._edited.target()
        return Status() if target is None or self._logic is None else self._logic.statusOf(target)

    def _prepare(self, ras) -> bool:
        target = self._edited.target()
        if target is None or self._logic.isBusy or self._logic.statusOf(target).prompts:
            return False
        self._logic.prepare(target, ras)
        self._wake()
        return True

    def _wake(self) -> None:
        """Ask for results until there are none left to come. Encoding ahead is waited for too: inside Slicer, other
        threads run Python code only while this one does."""
        if self._logic.needsPoll:
            self._timer.start()
        self._showBusy()

    def _poll(self) -> None:
        self._logic.poll()
        if not self._logic.needsPoll:
            self._timer.stop()
            self._refreshIfActive()

    def _onLogic(self, event: str, target) -> None:
        if event == "progress":
            if self._isActive and self._options is not None:
                self._options.showStatus(self._status())
            return
        if event == "failed":
            self._showError(self._logic.lastError.message, self._logic.lastError.kind)
        elif event == "written" and self._isActive and self.parameters.isOn("ShowChange"):
            written = self._logic.lastWritten
            if self._edited.isSelected(target):
                self._changes.flash(written.added, written.removed, target.segmentationNode)
        elif event == "proposed" and self._edited.isMine(target):
            proposed = self._logic.lastProposed
            if self._isActive:  # else another effect may be at work on the selected one
                self._edited.parameterNode.SetSelectedSegmentID(proposed.segmentIds[0])
            self._showFound(foundLine(proposed.segmentIds, proposed.missing))
        self._refreshIfActive()
        self._wake()

    def _onModelChanged(self) -> None:
        """Another model, or other models on this computer."""
        if self._isActive:
            self._models.giveTo(self._logic)
            self._showError("", "")
            self._ahead.forget()
            self._ahead.wake()
            self.refresh()

    def onParametersChanged(self) -> None:
        """By the widgets, by another scene, or by a script."""
        if self._isActive:
            self._models.giveTo(self._logic)
        self.refresh()

    # ---- what is shown -----------------------------------------------------------------------------------------

    def onViewMoved(self, viewNode) -> None:
        if viewNode is not None and viewNode.IsA("vtkMRMLSliceNode"):
            self._sliceNode = viewNode
        self._ahead.wake()

    def onSelectionChanged(self) -> None:
        """Another segment, segmentation or volume was selected, or the editor's settings changed."""
        if self._isActive:
            self._ahead.forget()
            self._ahead.wake()
        self._refreshIfActive()

    def _onContentChanged(self) -> None:
        """The segment or the image changed, as by undo or in another time frame: show it once the events are over."""
        self._timer.start()

    def _refreshIfActive(self) -> None:
        """The frame of an effect that is not active is hidden, and to read a segment takes time."""
        if self._isActive:
            self.refresh()

    def refresh(self) -> None:
        """Show what is so now."""
        status = self._status()
        if self._isActive:
            self._prompts.show(status.prompts)
            self._prompts.hintAt(status.hintRas if self.parameters.isOn("ShowHint") else None)
        if self._options is not None:
            self._options.show(status, hasTarget=self._edited.target() is not None)
            self._options.showBox(isOpen=self._box.isOpen)
            self._options.showParameters(
                isForeground=self.parameters.isForeground,
                showHint=self.parameters.isOn("ShowHint"),
                showChange=self.parameters.isOn("ShowChange"),
            )
            self._showModels()
            self._showBusy()

    def _showModels(self) -> None:
        """The rows that only some models have."""
        models = self._models
        self._options.slices.show(
            isVisible=models.takesSlices,
            orientation=models.slice("Orientation"),
            direction=models.slice("Direction"),
        )
        hasTarget = self._edited.target() is not None
        self._options.proposals.show(models.proposers, models.proposer, isEnabled=hasTarget)

    def _showFound(self, text: str) -> None:
        if self._options is not None:
            self._options.proposals.showFound(text)

    def _showBusy(self) -> None:
        if self._options is not None:
            self._options.showBusy(bool(self._logic and self._logic.isBusy))

    def _showError(self, message: str, kind: str) -> None:
        if self._options is not None:
            self._options.showError(message, kind)
