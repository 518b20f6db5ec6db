"""The options frame of the effect: shows a status, and hands what the user asks for to `actions`."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from .ProposalRow import ProposalRow
from .SliceRows import SliceRows
from .StatusText import candidateLine, pointLine, statusLine


class EffectOptions:
    """Widgets of one editor. actions: the EffectController; every method that is connected below is its own."""

    def __init__(self, actions) -> None:
        self._actions = actions
        self.proposals, self.slices = ProposalRow(actions), SliceRows(actions)
        self.insideButton = self._signButton(
            _("Inside"), _("A left click marks what belongs to the structure. X changes the sign."), True
        )
        self.outsideButton = self._signButton(
            _("Outside"), _("A left click marks what does not belong to the structure. X changes the sign."), False
        )
        self.refineButton = self._button(
            _("Refine this segment"),
            _("Take what the segment holds as the start; the next clicks correct it."),
            actions.refineSegment,
        )
        self.boxButton = self._button(_("Box"), "", actions.onBoxButton)
        self.boxCancelButton = self._button("✕", _("Take the box away."), actions.cancelBox)
        self._makeCandidates()
        self._makeHistory()
        self._makePoints()
        self.hintBox = self._checkBox(
            _("Hint"), _("Show where a click would tell the model most."), actions.setShowHint
        )
        self.changeBox = self._checkBox(
            _("Show changes"),
            _("For a moment after each click, show what was added and removed."),
            actions.setShowChange,
        )
        self.statusLabel = self._label()
        self.cancelButton = self._button(_("Cancel"), _("Stop the running request (Esc)."), actions.cancel)
        self.errorLabel = self._label()
        self.errorLabel.styleSheet = "color: #c0392b"
        self.retryButton = self._button(
            _("Try again"), _("Send the clicks that were not answered again."), actions.retry
        )
        self.torchButton = self._button(
            _("Install PyTorch…"),
            _("The model needs PyTorch, which Slicer's PyTorch extension installs. It is asked for first."),
            actions.installTorch,
        )
        self.showError("", "")

    def addTo(self, scriptedEffect) -> None:
        """Put the rows into the effect's options frame."""
        self.proposals.addTo(scriptedEffect)
        scriptedEffect.addLabeledOptionsWidget(_("Left click:"), _row(self.insideButton, self.outsideButton))
        scriptedEffect.addOptionsWidget(_row(self.refineButton, self.boxButton, self.boxCancelButton))
        scriptedEffect.addLabeledOptionsWidget(
            _("Mask:"), _row(self.previousButton, self.candidateLabel, self.nextButton, stretch=1)
        )
        scriptedEffect.addLabeledOptionsWidget(_("Step:"), _row(self.stepSlider, self.stepLabel, stretch=0))
        points = _row(self.pointBox, self.pointLabel, self.flipButton, self.deleteButton, stretch=1)
        scriptedEffect.addLabeledOptionsWidget(_("Point:"), points)
        scriptedEffect.addOptionsWidget(_row(self.replayButton, self.clearButton, self.hintBox, self.changeBox))
        scriptedEffect.addLabeledOptionsWidget(_("Model:"), self._actions.makeModelSelector())
        self.slices.addTo(scriptedEffect)
        scriptedEffect.addOptionsWidget(_row(self.statusLabel, self.cancelButton, stretch=0))
        scriptedEffect.addOptionsWidget(self.errorLabel)
        scriptedEffect.addOptionsWidget(_row(self.retryButton, self.torchButton))

    def show(self, status, *, hasTarget: bool) -> None:
        """Show a Status; without a segment to edit everything that needs one is off."""
        for button in (self.refineButton, self.boxButton, self.replayButton, self.clearButton):
            button.enabled = hasTarget
        several = len(status.candidates) > 1
        self.previousButton.enabled = several
        self.nextButton.enabled = several
        self.candidateLabel.text = candidateLine(status)
        _silently(self.stepSlider, maximum=max(status.length - 1, 0), value=status.position)
        self.stepSlider.enabled = status.length > 1
        self.stepLabel.text = f"{status.position} / {max(status.length - 1, 0)}"
        self._showPoints(status.prompts)
        self.showStatus(status)

    def showStatus(self, status) -> None:
        """The line alone, as often as it changes while a request runs."""
        self.statusLabel.text = statusLine(status)

    def showBusy(self, isBusy: bool) -> None:
        self.cancelButton.visible = isBusy

    def showParameters(self, *, isForeground: bool, showHint: bool, showChange: bool) -> None:
        _silently(self.insideButton, checked=isForeground)
        _silently(self.outsideButton, checked=not isForeground)
        _silently(self.hintBox, checked=showHint)
        _silently(self.changeBox, checked=showChange)

    def showBox(self, *, isOpen: bool) -> None:
        """While a box is drawn, its button confirms it."""
        self.boxButton.text = _("Use box") if isOpen else _("Box")
        self.boxButton.toolTip = (
            _("Segment what the box encloses.")
            if isOpen
            else _("Draw a box around the structure: click two opposite corners, then confirm it here.")
        )
        self.boxCancelButton.visible = isOpen

    def showError(self, message: str, kind: str) -> None:
        """One readable message, or "" for none; kind as in LogicError, "refused" for what cannot be tried again."""
        self.errorLabel.text = message
        self.errorLabel.visible = bool(message)
        self.retryButton.visible = bool(message) and kind not in ("", "refused")
        self.torchButton.visible = bool(message) and kind == "torch-missing"

    def _makeCandidates(self) -> None:
        self.previousButton = self._arrow(qt.Qt.LeftArrow, _("Previous mask that the model offers"), -1)
        self.nextButton = self._arrow(qt.Qt.RightArrow, _("Next mask that the model offers"), 1)
        self.candidateLabel = self._label()
        self.candidateLabel.toolTip = _(
            "Which mask is shown, and how well the model expects it to match (IoU, 0 to 1)."
        )

    def _makeHistory(self) -> None:
        self.stepSlider = qt.QSlider(qt.Qt.Horizontal)
        self.stepSlider.toolTip = _("Step through the refinements; the segment follows.")
        self.stepSlider.connect("valueChanged(int)", self._actions.showStep)
        self.stepLabel = self._label()

    def _makePoints(self) -> None:
        self.pointBox = qt.QSpinBox()
        self.pointBox.minimum = 1
        self.pointBox.connect("valueChanged(int)", lambda number: self._showPoints(self._points))
        self.pointLabel = self._label()
        self.flipButton = self._button(
            _("Flip"), _("Change the sign of this point."), lambda: self._actions.flipPrompt(self.pointBox.value - 1)
        )
        self.deleteButton = self._button(
            _("Delete"), _("Take this point away."), lambda: self._actions.deletePrompt(self.pointBox.value - 1)
        )
        self.replayButton = self._button(
            _("Replay"), _("Ask the model again, with all points and boxes from the start."), self._actions.replay
        )
        self.clearButton = self._button(
            _("Clear points"), _("Forget the points; the segment stays as it is."), self._actions.clearPrompts
        )
        self._points = ()

    def _showPoints(self, prompts) -> None:
        """Show the chosen point; the newest one is chosen when one was added."""
        grew, self._points = len(prompts) > len(self._points), tuple(prompts)
        count = len(prompts)
        number = count if grew else min(self.pointBox.value, count)
        _silently(self.pointBox, maximum=max(count, 1), value=max(number, 1))
        self.pointLabel.text = pointLine(self._points, self.pointBox.value - 1)
        for widget in (self.pointBox, self.flipButton, self.deleteButton):
            widget.enabled = count > 0

    def _signButton(self, text: str, toolTip: str, isForeground: bool):
        button = qt.QToolButton()
        button.text = text
        button.toolTip = toolTip
        button.checkable = True
        button.connect("clicked()", lambda: self._actions.setSign(isForeground))
        return button

    def _arrow(self, arrowType, toolTip: str, offset: int):
        button = qt.QToolButton()
        button.arrowType = arrowType
        button.toolTip = toolTip
        button.connect("clicked()", lambda: self._actions.stepCandidate(offset))
        return button

    @staticmethod
    def _button(text: str, toolTip: str, onClick):
        button = qt.QPushButton(text)
        button.toolTip = toolTip
        button.connect("clicked()", onClick)
        return button

    @staticmethod
    def _checkBox(text: str, toolTip: str, onToggle):
        box = qt.QCheckBox(text)
        box.toolTip = toolTip
        box.connect("toggled(bool)", onToggle)
        return box

    @staticmethod
    def _label():
        label = qt.QLabel()
        label.wordWrap = True
        return label


def _row(*widgets, stretch: int | None = None):
    """Widgets side by side; the one at `stretch` takes the room that is left."""
    layout = qt.QHBoxLayout()
    for index, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if index == stretch else 0)
    if stretch is None:
        layout.addStretch(1)
    return layout


def _silently(widget, **properties) -> None:
    """Set properties without the signals that a user's change gives."""
    wasBlocked = widget.blockSignals(True)
    for name, value in properties.items():
        setattr(widget, name, value)
    widget.blockSignals(wasBlocked)
