"""The training tab, under the Qt host, with a stand-in for the program."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from safetensors.numpy import save_file
from slicer_host.qt_host import QtHost

PROGRAM = """
import sys, time
from pathlib import Path
command, *arguments = sys.argv[1:]
given = dict(word.split("=", 1) for word in arguments if "=" in word)
out = Path(arguments[arguments.index("--out") + 1] if "--out" in arguments else given["out"])
print("step 1/2", flush=True)
if "--wait" in arguments:
    time.sleep(60)
if "--fail" in arguments:
    sys.exit("sam3dseg-train: the loss is no number")
if command == "export":
    out.write_bytes((Path(arguments[0]) / "model").read_bytes())
else:
    (out / "last.pt").touch()
print("finished")
"""


OUT = """
settings:
  out
      where to write (a text; needed)
"""
HELP = {  # by the words before --help
    (): """usage: sam3dseg-train {prepare,fit,export} key=value
  prepare  cases to a cache
  fit      train
  export   write a file
""",
    ("prepare",): "usage: no list of settings",
    ("fit",): OUT
    + """  minutes
      how long (a number; default 60.0)
  tune
      what is trained (lora | full; default 'lora')
""",
    ("export",): OUT
    + """  runs
      run folders (a list like [a,b] of text values; needed)
""",
}


class Answer:
    """Stands in for the process of a question for help."""

    def __init__(self, text: str, logPath) -> None:
        self.text, self.logPath, self.isRunning, self.state = text, logPath, True, "running"

    def poll(self):
        self.isRunning, self.state = False, "done"
        return self.text.splitlines()

    def stop(self):
        """Nothing runs."""


@pytest.fixture
def host():
    host = QtHost()
    yield host
    host.close()


@pytest.fixture
def bench(host, tmp_path):
    from SAM3DSegmentLib.Models.ModelStore import ModelStore
    from SAM3DSegmentLib.Page import TrainingProcess as processes
    from SAM3DSegmentLib.Page.TrainingHelp import TrainingHelp
    from SAM3DSegmentLib.Page.TrainingPanel import TrainingPanel

    package = tmp_path / "folder" / "sam3dseg_training"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(PROGRAM)
    folder = tmp_path / "run"
    folder.mkdir()
    save_file({"a": np.zeros(4, np.float32)}, folder / "model")

    def run(arguments):
        return processes.TrainingProcess(arguments, folders=[tmp_path / "folder"], python=sys.executable)

    class Bench:
        def __init__(self) -> None:
            self.started, self.errors, self.opened = [], [], []
            self.isReady, self.path, self.run = True, str(folder), folder
            self.store = ModelStore()
            self.panel = self.makePanel()

        @property
        def view(self):
            return self.panel.view

        def makePanel(self):
            panel = TrainingPanel(
                self.store,
                prepare=lambda: self.isReady,
                start=self.start,
                help_=TrainingHelp(lambda words: Answer(HELP[tuple(words[:-1])], tmp_path / "log")),
                ask=lambda kind: self.path,
                open_=self.opened.append,
                showError=self.errors.append,
            )
            panel.readCommands()
            host.wait(lambda: panel.view.commandBox.count == 3)
            self.choose("fit", panel)
            return panel

        def choose(self, command, panel=None):
            panel = panel or self.panel
            panel.view.commandBox.setCurrentIndex(panel.view.commandBox.findText(command))
            host.wait(lambda: panel.view.explainButton.enabled)

        def start(self, arguments):
            process = run(arguments)
            self.started.append(process)
            processes._current[:] = [process]
            return process

        def fill(self, extra: str = "") -> None:
            self.panel.form.edits["out"].setText(str(folder))
            self.panel.form.extraEdit.setText(extra)

    bench = Bench()
    bench.panel.widget.show()
    yield bench
    bench.panel.close()
    for process in bench.started:
        process._signal("SIGKILL")
        process.wait(10)
        process.logPath.unlink(missing_ok=True)


def test_the_form_shows_the_command_line_it_stands_for(bench):
    form, view = bench.panel.form, bench.view
    assert view.helpLabel.text == "train"
    assert (view.commandLine.text, view.commandLine.placeholderText) == ("", "Fill in: Run folder")
    assert not view.copyButton.enabled
    bench.fill("--seed 2")
    assert view.commandLine.text == f"sam3dseg-train fit tune=lora minutes=60 out={bench.run} --seed 2"
    form.edits["tune"].setCurrentIndex(1)
    assert "tune=full" in view.commandLine.text
    form.edits["minutes"].setText("soon")
    assert view.commandLine.placeholderText == "Minutes must be a number, not soon"
    bench.choose("export")
    assert list(form.edits) == ["runs", "out"]


def test_the_command_line_can_be_copied(bench, host):
    bench.fill()
    bench.view.copyButton.click()
    assert host.qt.QApplication.clipboard().text() == bench.view.commandLine.text


def test_what_the_settings_mean_is_shown(bench):
    assert bench.panel.form.edits["minutes"].toolTip == "how long"
    bench.view.explainButton.click()
    assert "what is trained (lora | full; default 'lora')" in bench.view.log.plainText


def test_a_command_whose_settings_are_not_listed_can_be_typed(bench):
    bench.choose("prepare")
    assert bench.panel.form.edits == {}
    assert bench.view.helpLabel.text == (
        "cases to a cache<br>Type its settings below as in a terminal; Explain shows them."
    )
    bench.panel.form.extraEdit.setText("data=cases out=cache")
    assert bench.view.commandLine.text == "sam3dseg-train prepare data=cases out=cache"


def test_a_program_that_does_not_answer_is_said(host):
    from SAM3DSegmentLib.Models.ModelStore import ModelStore
    from SAM3DSegmentLib.Page.TrainingHelp import TrainingHelp
    from SAM3DSegmentLib.Page.TrainingPanel import TrainingPanel

    def run(arguments):
        raise ValueError("the training package is not here: install the extension again")

    panel = TrainingPanel(ModelStore(), help_=TrainingHelp(run))
    panel.readCommands()
    host.wait(lambda: panel.view.helpLabel.text.endswith("not here: install the extension again"))
    names = [panel.view.commandBox.itemText(row) for row in range(panel.view.commandBox.count)]
    assert names == ["prepare", "fit", "evaluate", "visualize", "export", "synthetic", "fewshot"]
    assert not panel.view.explainButton.enabled
    panel.close()


def test_a_start_that_cannot_be_is_refused_in_one_line(bench):
    bench.view.startButton.click()
    assert bench.errors == ["Fill in: Run folder"]
    bench.fill()
    bench.isReady = False  # PyTorch is missing and the user did not want it
    bench.view.startButton.click()
    assert bench.started == []


def test_training_runs_beside_the_window_and_its_result_is_used(bench, host):
    view = bench.view
    assert not view.useButton.enabled and not view.openButton.enabled
    bench.fill()
    view.startButton.click()
    assert (view.startButton.enabled, view.stopButton.enabled) == (False, True)
    host.wait(lambda: bench.started[0].state == "done")
    host.wait(lambda: view.useButton.enabled)
    assert view.log.plainText.splitlines()[-2:] == ["step 1/2", "finished"]
    assert view.statusLabel.text.startswith("Done. Log: ")
    assert view.startButton.enabled
    view.openButton.click()
    assert bench.opened == [bench.run]
    view.useButton.click()
    model = bench.run / "run.safetensors"
    host.wait(lambda: bench.store.selected == str(model))
    assert bench.started[1].arguments == ["export", str(bench.run), "--out", str(model)]
    assert view.useButton.enabled  # it can be chosen again
    bench.store.select("embedded")
    view.useButton.click()
    assert bench.store.selected == str(model)
    assert len(bench.started) == 2


def test_progress_and_stop(bench, host):
    view = bench.view
    bench.fill("--wait")
    view.startButton.click()
    host.wait(lambda: view.progressBar.value == 500)
    assert view.statusLabel.text.startswith("Running, about ")
    view.stopButton.click()
    assert not view.stopButton.enabled
    host.wait(lambda: view.statusLabel.text.startswith("Stopped; started again"))
    assert view.startButton.enabled and not view.progressBar.visible
    assert not view.useButton.enabled  # nothing was saved


def test_a_failure_shows_its_last_line(bench, host):
    bench.fill("--fail")
    bench.view.startButton.click()
    host.wait(lambda: "the loss is no number" in bench.view.statusLabel.text)
    assert bench.view.statusLabel.text.startswith("Failed (exit code 1)")


def test_a_panel_made_anew_finds_the_running_training(bench, host):
    bench.fill("--wait")
    bench.view.startButton.click()
    host.wait(lambda: "step 1/2" in bench.view.log.plainText)
    bench.panel.close()
    panel = bench.makePanel()
    assert panel.view.stopButton.enabled
    assert "step 1/2" in panel.view.log.plainText
    panel.view.stopButton.click()
    host.wait(lambda: panel.view.statusLabel.text.startswith("Stopped"))
    panel.close()


def test_closing_the_application_stops_the_training(bench, host):
    bench.fill("--wait")
    bench.view.startButton.click()
    host.wait(lambda: "step 1/2" in bench.view.log.plainText)
    host.app.emit("aboutToQuit()")
    assert bench.started[0].wait(20)


def test_closing_twice_is_no_error(bench):
    bench.panel.close()
    bench.panel.close()


def test_what_was_filled_in_is_remembered(bench):
    bench.fill("--seed 2")
    bench.panel.form.edits["tune"].setCurrentIndex(1)
    bench.choose("export")
    bench.choose("fit")
    panel = bench.makePanel()
    assert panel.form.edits["out"].text == str(bench.run)
    assert panel.form.edits["tune"].currentText == "full"
    assert panel.form.extraEdit.text == "--seed 2"
    panel.close()


def test_folders_are_chosen_in_a_dialog(bench, host):
    from SAM3DSegmentLib.Page.TrainingCommands import FOLDERS

    form = bench.panel.form
    form.widget.findChildren(host.qt.QToolButton)[0].click()
    assert form.edits["out"].text == str(bench.run)
    bench.choose("export")
    field = form._command.fields[0]
    assert field.kind == FOLDERS
    for _ in range(2):
        form._fill(field, form.edits["runs"])
    form.edits["out"].setText("m.safetensors")
    assert form.arguments() == ["export", str(bench.run), str(bench.run), "out=m.safetensors"]


def test_the_real_program_is_asked(host):
    from SAM3DSegmentLib.Models.ModelStore import ModelStore
    from SAM3DSegmentLib.Page.TrainingPanel import TrainingPanel

    panel = TrainingPanel(ModelStore())
    panel.readCommands()
    box = panel.view.commandBox
    host.wait(lambda: panel._isListed, timeout_s=60)
    for row in range(box.count):
        box.setCurrentIndex(row)
        host.wait(lambda: panel.view.explainButton.enabled, timeout_s=60)
        assert "out" in panel.form.edits, box.currentText
    panel.close()
