"""Training as a process of its own, with a stand-in for the program and with the real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from SAM3DSegmentLib.Page import TrainingProcess as module
from SAM3DSegmentLib.Page.TrainingProcess import (
    TrainingProcess,
    currentProcess,
    pythonExecutable,
    startProcess,
    stopCurrentProcess,
    trainingFolders,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def program(tmp_path):
    """Writes the code that runs in place of sam3dseg-train; gives a function that starts it."""
    package = tmp_path / "sam3dseg_training"
    package.mkdir()
    (package / "__init__.py").touch()
    started = []

    def start(code: str, *arguments: str, **options) -> TrainingProcess:
        (package / "cli.py").write_text("import sys, time, os, signal\n" + code)
        process = TrainingProcess(arguments, folders=[tmp_path], python=sys.executable, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process._signal("SIGKILL")
        process.wait(10)
        process.logPath.unlink(missing_ok=True)


def ended(process: TrainingProcess, timeout_s: float = 30) -> list[str]:
    """Poll as the page does, until the process has ended; gives all lines."""
    lines, end = [], time.monotonic() + timeout_s
    while process.isRunning:
        assert time.monotonic() < end, "the process has not ended"
        lines += process.poll()
        time.sleep(0.01)
    return lines


def lineOf(process: TrainingProcess, word: str) -> list[str]:
    end = time.monotonic() + 30
    while not any(word in line for line in process.lines):
        assert time.monotonic() < end, f"no line with {word}"
        process.poll()
        time.sleep(0.01)
    return list(process.lines)


def waitForEndOf(pid: int) -> None:
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2]:
        assert time.monotonic() < end, "the worker goes on"
        time.sleep(0.05)


def test_lines_and_progress_arrive_while_it_runs(program):
    process = program("print('step 1/4'); print('waiting'); time.sleep(0.5); print('step 4/4'); print('bye', end='')")
    assert (process.state, process.share) == ("running", None)
    lineOf(process, "waiting")
    assert process.share == 0.25
    assert process.secondsLeft > 0
    rest = ended(process)
    assert rest[-2:] == ["step 4/4", "bye"]
    assert (process.state, process.exitCode, process.share, process.secondsLeft) == ("done", 0, 1.0, None)
    assert process.poll() == []
    assert process.logPath.read_text(encoding="utf-8").startswith("step 1/4")


def test_reading_never_waits(program):
    process = program("time.sleep(5)")
    begin = time.monotonic()
    assert process.poll() == []
    assert time.monotonic() - begin < 0.5
    process.stop()
    ended(process)


def test_arguments_and_errors_arrive_as_given(program):
    process = program(
        "print(sys.argv[1:]); print('sam3dseg-train: no such folder', file=sys.stderr); sys.exit(2)", "a b", "ä"
    )
    lines = ended(process)
    assert lines == ["['a b', 'ä']", "sam3dseg-train: no such folder"]
    assert (process.state, process.exitCode) == ("failed", 2)


def test_a_flood_of_output_does_not_block_it(program):
    process = program("for i in range(20000): print('line', i, 'x' * 60)")
    process.wait(30)
    assert len(ended(process)) == 20000
    assert len(process.lines) == module.KEPT_LINES


def test_stopping(program):
    process = program("print('ready', flush=True); time.sleep(60)")
    lineOf(process, "ready")
    process.stop()
    process.stop()
    assert process.state == "stopping"
    ended(process)
    assert process.state == "stopped"


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process at once")
def test_what_does_not_stop_is_ended_with_its_workers(program):
    clock = [0.0]
    process = program(
        "import subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('worker', worker.pid, flush=True); time.sleep(60)",
        clock=lambda: clock[0],
    )
    worker = int(lineOf(process, "worker")[0].split()[1])
    process.stop()
    process.poll()
    assert process.isRunning
    clock[0] = module.GRACE_S + 1
    ended(process)
    assert process.state == "stopped"
    waitForEndOf(worker)


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process at once")
def test_workers_are_asked_to_end_too(program):
    process = program(
        "import subprocess\n"
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('worker', worker.pid, flush=True); time.sleep(60)"
    )
    worker = int(lineOf(process, "worker")[0].split()[1])
    process.stop()
    ended(process)
    waitForEndOf(worker)


def test_stopping_what_has_ended_is_no_error(program):
    process = program("print('bye')")
    assert process.wait(30)
    process.stop()  # nobody has polled since
    assert ended(process) == ["bye"]
    assert process.state == "done"
    process.stop()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups")
@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_ending_between_the_look_and_the_signal_is_no_error(program, monkeypatch, error):
    process = program("time.sleep(60)")

    def endFirst(group, number, killpg=os.killpg):
        killpg(group, 9)
        process.wait(10)
        raise error

    monkeypatch.setattr(module.os, "killpg", endFirst)
    process.stop()
    ended(process)
    assert process.state == "stopped"


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="no priorities")
def test_the_application_comes_first(program):
    process = program("print(os.getpriority(os.PRIO_PROCESS, 0), flush=True) if not time.sleep(0.3) else 0")
    assert ended(process) == [str(module.NICENESS)]


def test_one_training_at_a_time(program, monkeypatch):
    monkeypatch.setattr(module, "_current", [])
    process = program("time.sleep(60)")
    monkeypatch.setattr(module, "TrainingProcess", lambda arguments: process)
    assert currentProcess() is None
    assert startProcess(["synthetic"]) is currentProcess() is process
    with pytest.raises(ValueError, match="running already"):
        startProcess(["synthetic"])
    stopCurrentProcess()
    ended(process)
    assert startProcess(["synthetic"]) is process


def test_slicers_own_python_is_preferred(tmp_path, monkeypatch):
    python = tmp_path / "PythonSlicer"
    python.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pythonExecutable() == str(python)
    monkeypatch.setenv("PATH", "")
    assert pythonExecutable() == sys.executable
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/SlicerApp-real")
    with pytest.raises(ValueError, match="no Python found"):
        pythonExecutable()


def test_the_training_package_is_found_in_the_source_tree_and_beside_the_module(tmp_path, monkeypatch):
    assert trainingFolders() == (ROOT / "SAM3DSegment", ROOT / "Training")
    monkeypatch.setattr(module, "MODULE_FOLDER", tmp_path / "qt-scripted-modules")
    with pytest.raises(ValueError, match="install the extension again"):
        trainingFolders()
    (tmp_path / "qt-scripted-modules/sam3dseg_training").mkdir(parents=True)
    (tmp_path / "qt-scripted-modules/sam3dseg_training/cli.py").touch()
    assert trainingFolders() == (tmp_path / "qt-scripted-modules",)


def test_the_real_program_says_what_it_can_do():
    process = TrainingProcess(["--help"])
    lines = ended(process, 60)
    assert process.state == "done", lines
    assert any("synthetic" in line for line in lines)
    process.logPath.unlink()


def test_the_real_program_refuses_in_one_line(tmp_path):
    process = TrainingProcess(["export", str(tmp_path), "-o", str(tmp_path / "m.safetensors")])
    lines = ended(process, 120)
    assert (process.state, process.exitCode) == ("failed", 2)
    assert "expected a training state" in lines[-1]
    process.logPath.unlink()


def test_it_needs_neither_qt_nor_pytorch():
    code = f"""
import sys
sys.path.append({str(ROOT / "SAM3DSegment")!r})
import SAM3DSegmentLib.Page.TrainingProcess
assert not {{"torch", "qt", "PySide6", "slicer", "sam3dseg_training"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
