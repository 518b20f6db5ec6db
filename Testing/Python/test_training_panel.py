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
command, arguments = sys.argv[1], sys.argv[2:]
out = Path(arguments[arguments.index("--out") + 1])
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


@pytest.fixture
def host():
    host = QtHost()
    yield host
    host.close()


@pytest.fixture
def bench(host, tmp_path):
    from SAM3DSegmentLib.Models.ModelStore import ModelStore
    from SAM3DSegmentLib.Page import TrainingProcess as processes
    from SAM3DSegmentLib.Page.TrainingPanel import TrainingPanel

    package = tmp_path / "folder" / "sam3dseg_training"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(PROGRAM)
    run = tmp_path / "run"
    run.mkdir()
    save_file({"a": np.zeros(4, np.float32)}, run / "model")

    class Bench:
        def __init__(self) -> None:
            self.started, self.errors, self.isReady, self.path, self.run = [], [], True, str(run), run
            self.store = ModelStore()
            self.panel = self.makePanel()

        def makePanel(self):
            return TrainingPanel(
                self.store,
                prepare=lambda: self.isReady,
                start=self.start,
                ask=lambda kind: self.path,
                showError=self.errors.append,
            )

        def start(self, arguments):
            process = processes.TrainingProcess(arguments, folders=[tmp_path / "folder"], python=sys.executable)
            self.started.append(process)
            processes._current[:] = [process]
            return process

        def fill(self, extra: str = "") -> None:
            self.panel.form.edits["run"].setText(str(run))
            self.panel.form.extraEdit.setText(extra)

    bench = Bench()
    bench.panel.widget.show()
    yield bench
    bench.panel.close()
    for process in bench.started:
        if process.isRunning:
            process._kill()
            process.wait(10)
        process.logPath.unlink(missing_ok=True)


def test_the_form_shows_the_command_line_it_stands_for(bench):
    panel = bench.panel
    assert panel.commandBox.currentText == "synthetic"
    assert panel.helpLabel.text == "train the embedded model on made-up volumes"
    assert panel.commandLine.text == "(Run folder is needed)"
    bench.fill("--seed 2")
    assert panel.commandLine.text == f"sam3dseg-train synthetic --out {bench.run} --minutes 60 --seed 2"
    panel.commandBox.setCurrentIndex(1)
    assert set(panel.form.edits) == {"run", "result"}


def test_a_start_that_cannot_be_is_refused_in_one_line(bench):
    bench.panel.startButton.click()
    assert bench.errors == ["Run folder is needed"]
    bench.fill()
    bench.isReady = False  # PyTorch is missing and the user did not want it
    bench.panel.startButton.click()
    assert bench.started == []


def test_training_runs_beside_the_window_and_its_result_is_used(bench, host):
    panel = bench.panel
    assert not panel.useButton.enabled
    bench.fill()
    panel.startButton.click()
    assert (panel.startButton.enabled, panel.stopButton.enabled) == (False, True)
    host.wait(lambda: bench.started[0].state == "done")
    host.wait(lambda: panel.useButton.enabled)
    assert panel.log.plainText.splitlines()[-2:] == ["step 1/2", "finished"]
    assert panel.statusLabel.text.startswith("Done. Log: ")
    assert panel.startButton.enabled
    panel.useButton.click()
    model = bench.run / "run.safetensors"
    host.wait(lambda: bench.store.selected == str(model))
    assert bench.started[1].arguments == ["export", str(bench.run), "--out", str(model)]
    assert panel.useButton.enabled  # it can be chosen again
    bench.store.select("embedded")
    panel.useButton.click()
    assert bench.store.selected == str(model)
    assert len(bench.started) == 2


def test_progress_and_stop(bench, host):
    panel = bench.panel
    bench.fill("--wait")
    panel.startButton.click()
    host.wait(lambda: panel.progressBar.value == 500)
    assert panel.statusLabel.text.startswith("Running, about ")
    panel.stopButton.click()
    assert not panel.stopButton.enabled
    host.wait(lambda: panel.statusLabel.text.startswith("Stopped; started again"))
    assert panel.startButton.enabled and not panel.progressBar.visible
    assert not panel.useButton.enabled  # nothing was saved


def test_a_failure_shows_its_last_line(bench, host):
    bench.fill("--fail")
    bench.panel.startButton.click()
    host.wait(lambda: "the loss is no number" in bench.panel.statusLabel.text)
    assert bench.panel.statusLabel.text.startswith("Failed (exit code 1)")


def test_a_panel_made_anew_finds_the_running_training(bench, host):
    bench.fill("--wait")
    bench.panel.startButton.click()
    host.wait(lambda: "step 1/2" in bench.panel.log.plainText)
    bench.panel.close()
    panel = bench.makePanel()
    assert panel.stopButton.enabled
    assert "step 1/2" in panel.log.plainText
    panel.stopButton.click()
    host.wait(lambda: panel.statusLabel.text.startswith("Stopped"))
    panel.close()


def test_closing_the_application_stops_the_training(bench, host):
    bench.fill("--wait")
    bench.panel.startButton.click()
    host.wait(lambda: "step 1/2" in bench.panel.log.plainText)
    host.app.emit("aboutToQuit()")
    assert bench.started[0].wait(20)


def test_what_was_filled_in_is_remembered(bench):
    bench.fill("--seed 2")
    bench.panel.commandBox.setCurrentIndex(1)
    bench.panel.commandBox.setCurrentIndex(0)
    panel = bench.makePanel()
    assert panel.form.edits["run"].text == str(bench.run)
    assert panel.form.extraEdit.text == "--seed 2"
    panel.close()


def test_folders_are_chosen_in_a_dialog(bench):
    from SAM3DSegmentLib.Page.TrainingCommands import FOLDERS

    form = bench.panel.form
    buttons = form.widget.findChildren(type(bench.panel.widget.findChildren(_toolButton())[0]))
    buttons[0].click()
    assert form.edits["run"].text == str(bench.run)
    bench.panel.commandBox.setCurrentIndex(1)
    field = form._command.fields[0]
    assert field.kind == FOLDERS
    for _ in range(2):
        form._fill(field, form.edits["run"])
    form.edits["result"].setText("m.safetensors")
    assert form.arguments() == ["export", str(bench.run), str(bench.run), "--out", "m.safetensors"]


def test_the_commands_come_from_the_program(host):
    from SAM3DSegmentLib.Models.ModelStore import ModelStore
    from SAM3DSegmentLib.Page.TrainingCommands import Command
    from SAM3DSegmentLib.Page.TrainingPanel import TrainingPanel

    panel = TrainingPanel(ModelStore())
    panel.setCommands((Command("prepare", "cases to a cache"),))
    assert panel.commandLine.text == "sam3dseg-train prepare"
    panel.readCommands()  # the real one
    panel.readCommands()
    host.wait(lambda: panel.commandBox.findText("synthetic") >= 0, timeout_s=60)
    assert panel.form.edits
    panel.close()


def _toolButton():
    from PySide6.QtWidgets import QToolButton

    return QToolButton
