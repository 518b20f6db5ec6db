"""The training tab: fill in a form, start `sam3dseg-train` as a process of its own, watch it, use what it made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..Models.ModelStore import ModelStore, sharedStore
from . import TrainingCommands as commands
from .TrainingForm import TrainingForm
from .TrainingProcess import (
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    STOPPING,
    TrainingProcess,
    currentProcess,
    startProcess,
    stopCurrentProcess,
)

POLL_MS = 300
SHOWN_LINES = 5000


class TrainingPanel:
    """`widget` is what to put into a layout. prepare() says whether training can start (PyTorch is there, or was
    installed just now); start(arguments) gives the running process; ask(kind) gives a path or ""."""

    def __init__(
        self,
        store: ModelStore | None = None,
        *,
        prepare: Callable[[], bool] = lambda: True,
        start: Callable[[list[str]], TrainingProcess] = startProcess,
        ask: Callable[[str], str] | None = None,
        showError: Callable[[str], None] | None = None,
    ) -> None:
        self.store = store or sharedStore(slicer.app.userSettings())
        self._prepare, self._start = prepare, start
        self._showError = showError or slicer.util.errorDisplay
        self._help: TrainingProcess | None = None
        self._helpText = ""
        self._useWhenDone = False
        self.process: TrainingProcess | None = None
        self.form = TrainingForm(ask=ask, onChanged=self._showCommandLine)
        self.widget = qt.QWidget()
        self._build()
        self.setCommands(commands.KNOWN)
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.poll)
        slicer.app.connect("aboutToQuit()", stopCurrentProcess)
        if currentProcess() is not None:
            self._follow(currentProcess())
        self._showState()

    def readCommands(self) -> None:
        """Ask `sam3dseg-train --help`, in the background and once, which commands there are."""
        if self._help is None:
            try:
                self._help = TrainingProcess(["--help"])
            except (ValueError, OSError) as error:
                self.statusLabel.setText(str(error))
                return
            self._timer.start()

    def setCommands(self, known: tuple[commands.Command, ...]) -> None:
        """Offer these commands; what was typed for one stays."""
        self._commands = known
        name = self.commandBox.currentText
        self.commandBox.blockSignals(True)
        self.commandBox.clear()
        self.commandBox.addItems([command.name for command in known])
        self.commandBox.setCurrentIndex(max(0, self.commandBox.findText(name)))
        self.commandBox.blockSignals(False)
        self._onCommand()

    def poll(self) -> None:
        """Show what the process has said since the last time; a timer calls it."""
        if self._help is not None and self._help.isRunning:
            self._helpText += "\n".join([*self._help.poll(), ""])
            if self._help.state == DONE:
                self.setCommands(commands.readCommands(self._helpText))
        if self.process is not None and self.process.isRunning:
            for line in self.process.poll():
                self.log.appendPlainText(line)
            if not self.process.isRunning:
                self._onEnd()
        self._showState()
        if not any(p is not None and p.isRunning for p in (self._help, self.process)):
            self._timer.stop()

    def close(self) -> None:
        """Stop watching; a running training goes on and is found again by the next panel."""
        self._timer.stop()
        slicer.app.disconnect("aboutToQuit()", stopCurrentProcess)

    # ---- widgets -----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        layout = qt.QVBoxLayout(self.widget)
        self.commandBox = qt.QComboBox()
        self.commandBox.connect("currentIndexChanged(int)", lambda index: self._onCommand())
        self.helpLabel = qt.QLabel()
        self.helpLabel.setWordWrap(True)
        self.commandLine = qt.QLineEdit()
        self.commandLine.setReadOnly(True)
        self.commandLine.setToolTip(_("The same in a terminal, here or on another computer"))
        self.startButton = self._button(_("Start"), _("Start the command as a process of its own"), self.onStart)
        self.stopButton = self._button(
            _("Stop"), _("End it; what the run has saved stays, and the same command goes on from there"), self.onStop
        )
        self.useButton = self._button(
            _("Use the result"),
            _("Turn the run into a model file where needed, and choose it for the effect"),
            self.onUse,
        )
        self.progressBar = qt.QProgressBar()
        self.statusLabel = qt.QLabel()
        self.statusLabel.setWordWrap(True)
        self.log = qt.QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(SHOWN_LINES)
        self.log.setLineWrapMode(qt.QPlainTextEdit.NoWrap)
        buttons = qt.QHBoxLayout()
        for button in (self.startButton, self.stopButton, self.useButton):
            buttons.addWidget(button)
        for widget in (self.commandBox, self.helpLabel, self.form.widget, self.commandLine):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        for widget in (self.progressBar, self.statusLabel, self.log):
            layout.addWidget(widget)

    @staticmethod
    def _button(text: str, tooltip: str, callback: Callable[[], None]) -> qt.QPushButton:
        button = qt.QPushButton(text)
        button.setToolTip(tooltip)
        button.connect("clicked()", callback)
        return button

    def _showCommandLine(self) -> None:
        try:
            self.commandLine.setText(commands.commandLine(self.form.arguments()))
        except ValueError as error:
            self.commandLine.setText(f"({error})")

    def _showState(self) -> None:
        process = self.process
        running = process is not None and process.isRunning
        self.startButton.setEnabled(not running)
        self.stopButton.setEnabled(running and process.state == RUNNING)
        self.useButton.setEnabled(not running and self._result() is not None)
        self.progressBar.setVisible(running)
        if process is None:
            return
        if process.share is None:
            self.progressBar.setRange(0, 0)
        else:
            self.progressBar.setRange(0, 1000)
            self.progressBar.setValue(int(1000 * process.share))
        self.statusLabel.setText(self._stateLine(process))

    def _stateLine(self, process: TrainingProcess) -> str:
        left = process.secondsLeft
        words = {
            RUNNING: _("Running") + (_(", about {minutes:.0f} min left").format(minutes=left / 60) if left else ""),
            STOPPING: _("Stopping …"),
            DONE: _("Done"),
            STOPPED: _("Stopped; started again with the same run folder, it goes on"),
            FAILED: _("Failed (exit code {code}): {line}").format(
                code=process.exitCode, line=process.lines[-1] if process.lines else _("no output")
            ),
        }
        return _("{state}. Log: {path}").format(state=words[process.state], path=process.logPath)

    # ---- what the user does ------------------------------------------------------------------------------------

    def _onCommand(self) -> None:
        command = self._commands[max(0, self.commandBox.currentIndex)]
        self.helpLabel.setText(command.help)
        self.form.setCommand(command)

    def onStart(self) -> None:
        self._useWhenDone = False
        self._run(self.form.arguments)

    def onStop(self) -> None:
        if self.process is not None:
            self.process.stop()
        self._showState()

    def onUse(self) -> None:
        """Choose the file that was made; of a run that has none yet, export it first."""
        result = self._result()
        if result is None:
            return
        if result.suffix == ".safetensors":
            self._choose(result)
            return
        self._useWhenDone = True
        self._run(lambda: commands.exportArguments(result))

    def _run(self, arguments: Callable[[], list[str]]) -> None:
        try:
            words = arguments()
            if not self._prepare():
                return
            process = self._start(words)
        except (ValueError, OSError) as error:
            self._showError(str(error))
            return
        self.log.clear()
        self._follow(process)

    def _follow(self, process: TrainingProcess) -> None:
        self.process = process
        self.log.appendPlainText("\n".join([commands.commandLine(process.arguments), *process.lines]))
        self._timer.start()
        self._showState()

    def _onEnd(self) -> None:
        if self._useWhenDone and self.process.state == DONE and (result := self._result()) is not None:
            self._useWhenDone = False
            self._choose(result)

    def _result(self) -> Path | None:
        """The model file of the last command, or its run folder when that can be exported."""
        if self.process is None or self.process.isRunning:
            return None
        made = commands.resultOf(self.process.arguments)
        if made is not None:
            return made if self.process.state == DONE and made.is_file() else None
        run = commands.runFolderOf(self.process.arguments)
        return run if run is not None and (run / commands.RUN_STATE).is_file() else None

    def _choose(self, path: Path) -> None:
        try:
            self.store.select(self.store.addOwn(path).key)
        except (ValueError, OSError) as error:
            self._showError(str(error))
            return
        self.statusLabel.setText(_("{name} is now the model of the effect.").format(name=path.name))
