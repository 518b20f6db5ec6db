"""The widgets of the training tab; what they do is connected by the panel."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

GUIDE = "https://github.com/SAM3DSegment/SAM3DSegment/tree/main/Training#readme"
SHOWN_LINES = 5000


class TrainingView:
    """`widget` is what to put into a layout; form: the widget with the fields of a command."""

    def __init__(self, form: qt.QWidget) -> None:
        self.widget = qt.QWidget()
        self.commandBox = qt.QComboBox()
        self.explainButton = _button(_("Explain"), _("Show every setting of this command below"))
        self.helpLabel = _label("")
        self.commandLine = qt.QLineEdit()
        self.commandLine.setReadOnly(True)
        self.commandLine.setToolTip(_("The same in a terminal, here or on another computer"))
        self.copyButton = _button(_("Copy"), _("Copy the command line"))
        self.startButton = _button(_("Start"), _("Start the command as a process of its own"))
        self.stopButton = _button(
            _("Stop"), _("End it; what the run has saved stays, and the same command goes on from there")
        )
        self.useButton = _button(
            _("Use the result"), _("Turn the run into a model file where needed, and choose it for the effect")
        )
        self.openButton = _button(_("Open folder"), _("Show what the command has written"))
        self.progressBar = qt.QProgressBar()
        self.statusLabel = _label("")
        self.statusLabel.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        self.log = qt.QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(SHOWN_LINES)
        self.log.setLineWrapMode(qt.QPlainTextEdit.NoWrap)
        self.log.setPlaceholderText(_("What the command prints appears here."))
        self._arrange(form)

    def connect(self, *actions: tuple[qt.QPushButton, Callable[[], None]]) -> None:
        for button, action in actions:
            button.connect("clicked()", action)

    def _arrange(self, form: qt.QWidget) -> None:
        layout = qt.QVBoxLayout(self.widget)
        intro = _label(
            _(
                "Fine-tune a model on your own cases: <b>prepare</b> them, <b>fit</b> the model, <b>evaluate</b> and "
                "<b>visualize</b> what it has learned, and <b>export</b> it for the effect. "
                "<a href='{url}'>Step by step</a>"
            ).format(url=GUIDE)
        )
        intro.setOpenExternalLinks(True)
        layout.addWidget(intro)
        layout.addLayout(_row(self.commandBox, self.explainButton))
        layout.addWidget(self.helpLabel)
        layout.addWidget(form)
        layout.addLayout(_row(self.commandLine, self.copyButton))
        buttons = qt.QHBoxLayout()
        for button in (self.startButton, self.stopButton, self.useButton, self.openButton):
            buttons.addWidget(button)
        layout.addLayout(buttons)
        for widget in (self.progressBar, self.statusLabel):
            layout.addWidget(widget)
        layout.addWidget(self.log, 1)


def _row(wide: qt.QWidget, narrow: qt.QWidget) -> qt.QHBoxLayout:
    layout = qt.QHBoxLayout()
    layout.addWidget(wide, 1)
    layout.addWidget(narrow)
    return layout


def _label(text: str) -> qt.QLabel:
    label = qt.QLabel(text)
    label.setWordWrap(True)
    return label


def _button(text: str, tooltip: str) -> qt.QPushButton:
    button = qt.QPushButton(text)
    button.setToolTip(tooltip)
    return button
