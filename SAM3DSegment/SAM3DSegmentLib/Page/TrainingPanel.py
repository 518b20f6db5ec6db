"""The training tab: fill in a form, start `sam3dseg-train` as a process of its own, watch it, use what it made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from ..Models.ModelStore import ModelStore, sharedStore
from . import TrainingCommands as commands
from . import TrainingSettings as settings
from .TrainingForm import TrainingForm
from .TrainingHelp import TrainingHelp
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
from .TrainingView import TrainingView

POLL_MS = 300


class TrainingPanel:
    """`widget` is what to put into a layout. prepare() says whether training can start (PyTorch is there, or was
    installed just now); start(arguments) gives the running process; help_ knows what the program says of itself;
    ask(kind) gives a path or ""; open_(folder) shows a folder."""

    def __init__(
        self,
        store: ModelStore | None = None,
        *,
        prepare: Callable[[], bool] = lambda: True,
        start: Callable[[list[str]], TrainingProcess] = startProcess,
        help_: TrainingHelp | None = None,
        ask: Callable[[str], str] | None = None,
        open_: Callable[[Path], object] | None = None,
        showError: Callable[[str], None] | None = None,
    ) -> None:
        self.store = store or sharedStore(slicer.app.userSettings())
        self._prepare, self._start, self._help = prepare, start, help_ or TrainingHelp()
        self._open = open_ or _showFolder
        self._showError = showError or slicer.util.errorDisplay
        self._useWhenDone = self._isListed = False
        self.process: TrainingProcess | None = None
        self.form = TrainingForm(ask=ask, onChanged=self._showCommandLine)
        self.view = TrainingView(self.form.widget)
        self.widget = self.view.widget
        self._connect()
        self._setCommands(settings.KNOWN)
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.poll)
        slicer.app.connect("aboutToQuit()", stopCurrentProcess)
        self._isOpen = True
        if currentProcess() is not None:
            self._follow(currentProcess())
        self._showState()

    def readCommands(self) -> None:
        """Ask the program, in the background and once, which commands there are and what can be set."""
        self._help.ask()
        self._timer.start()

    def poll(self) -> None:
        """Show what the process has said since the last time; a timer calls it."""
        self._help.poll()
        self._readHelp()
        if self.process is not None and self.process.isRunning:
            for line in self.process.poll():
                self.view.log.appendPlainText(line)
            if not self.process.isRunning:
                self._onEnd()
        self._showState()
        if not (self._help.isAsking or (self.process is not None and self.process.isRunning)):
            self._timer.stop()

    def close(self) -> None:
        """Stop watching; a running training goes on and is found again by the next panel. May be called again."""
        self._timer.stop()
        self._help.close()
        if self._isOpen:
            self._isOpen = False
            slicer.app.disconnect("aboutToQuit()", stopCurrentProcess)

    # ---- commands and their fields -----------------------------------------------------------------------------

    @property
    def command(self) -> commands.Command:
        """The chosen one."""
        return self._commands[max(0, self.view.commandBox.currentIndex)]

    def _connect(self) -> None:
        view = self.view
        view.commandBox.connect("currentIndexChanged(int)", lambda index: self._onCommand())
        view.connect(
            (view.explainButton, self.onExplain),
            (view.copyButton, lambda: qt.QApplication.clipboard().setText(view.commandLine.text)),
            (view.startButton, self.onStart),
            (view.stopButton, self.onStop),
            (view.useButton, self.onUse),
            (view.openButton, self.onOpen),
        )

    def _setCommands(self, known: tuple[commands.Command, ...]) -> None:
        """Offer these commands; what was typed for one stays."""
        box, name = self.view.commandBox, self.view.commandBox.currentText
        self._commands = list(known)
        box.blockSignals(True)
        box.clear()
        box.addItems([command.name for command in known])
        box.setCurrentIndex(max(0, box.findText(name)))
        box.blockSignals(False)
        self._onCommand()

    def _onCommand(self) -> None:
        self.form.setCommand(self.command)
        if self._help.textOf() is not None:
            self._help.ask(self.command.name)
            self._readHelp()
            self._timer.start()
        self._showHelp()

    def _readHelp(self) -> None:
        """Take up what the program has answered."""
        overview = self._help.textOf()
        if overview and not self._isListed:
            self._isListed = True
            self._setCommands(settings.readCommands(overview))
            return
        about = self._help.textOf(self.command.name)
        if about and not self.command.isRead and not self.command.fields:
            read = settings.withFields(self.command, about)
            self._commands[self._commands.index(self.command)] = read
            if read.fields:
                self.form.setCommand(read)
        self._showHelp()

    def _showHelp(self) -> None:
        """What the command is for, and why it has no fields where it has none."""
        lines, overview, about = [self.command.help], self._help.textOf(), self._help.textOf(self.command.name)
        if overview == "" or about == "":
            lines.append(
                _("The program could not be asked for its settings: {reason}").format(reason=self._help.problem)
            )
        elif about and not self.command.fields:
            lines.append(_("Type its settings below as in a terminal; Explain shows them."))
        elif self._help.isAsking:
            lines.append(_("Asking the program for its settings …"))
        self.view.helpLabel.setText("<br>".join(line for line in lines if line))
        self.view.explainButton.setEnabled(bool(about))

    def _showCommandLine(self) -> None:
        try:
            line, problem = commands.commandLine(self.form.arguments()), ""
        except ValueError as error:
            line, problem = "", str(error)
        self.view.commandLine.setText(line)
        self.view.commandLine.setPlaceholderText(problem)
        self.view.copyButton.setEnabled(bool(line))

    # ---- what is shown of the process --------------------------------------------------------------------------

    def _showState(self) -> None:
        view, process = self.view, self.process
        running = process is not None and process.isRunning
        view.startButton.setEnabled(not running)
        view.stopButton.setEnabled(running and process.state == RUNNING)
        view.useButton.setEnabled(not running and self._result() is not None)
        view.openButton.setEnabled(self._folder() is not None)
        view.progressBar.setVisible(running)
        if process is None:
            return
        if process.share is None:
            view.progressBar.setRange(0, 0)
        else:
            view.progressBar.setRange(0, 1000)
            view.progressBar.setValue(int(1000 * process.share))
        view.statusLabel.setText(_stateLine(process))

    # ---- what the user does ------------------------------------------------------------------------------------

    def onExplain(self) -> None:
        self.view.log.setPlainText(self._help.textOf(self.command.name) or "")

    def onStart(self) -> None:
        self._useWhenDone = False
        self._run(self.form.arguments)

    def onStop(self) -> None:
        if self.process is not None:
            self.process.stop()
        self._showState()

    def onOpen(self) -> None:
        if (folder := self._folder()) is not None:
            self._open(folder)

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
        self.view.log.clear()
        self._follow(process)

    def _follow(self, process: TrainingProcess) -> None:
        self.process = process
        self.view.log.appendPlainText("\n".join([commands.commandLine(process.arguments), *process.lines]))
        self._timer.start()
        self._showState()

    def _onEnd(self) -> None:
        if self._useWhenDone and self.process.state == DONE and (result := self._result()) is not None:
            self._useWhenDone = False
            self._choose(result)

    def _folder(self) -> Path | None:
        """Where the last command writes, as soon as it is there."""
        if self.process is None:
            return None
        made = commands.resultOf(self.process.arguments)
        folder = made.parent if made is not None else commands.runFolderOf(self.process.arguments)
        return folder if folder is not None and folder.is_dir() else None

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
        self.view.statusLabel.setText(_("{name} is now the model of the effect.").format(name=path.name))


def _stateLine(process: TrainingProcess) -> str:
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


def _showFolder(folder: Path) -> None:
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))
