"""`sam3dseg-train` as it is typed: help, errors, exit codes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sam3dseg_training import cli
from sam3dseg_training.cli import COMMANDS, main
from sam3dseg_training.configs.options import keys_of
from sam3dseg_training.configs.resolve import assignments, resolve
from sam3dseg_training.stopping import StoppedError

ROOT = Path(__file__).resolve().parents[2]


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown and command.help in shown for name, command in COMMANDS.items())
    assert main([]) == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_explains_every_setting(name, capsys):
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"usage: sam3dseg-train {name}" in shown
    for key, entry, _ in keys_of(COMMANDS[name].config):
        assert f"\n  {key}\n" in shown and entry.metadata["help"] in shown
    assert all(f"sam3dseg-train {example}" in shown for example in COMMANDS[name].examples)


@pytest.mark.parametrize("line", [line for command in COMMANDS.values() for line in command.examples])
def test_the_examples_of_the_help_are_understood(line):
    for part in line.split("; sam3dseg-train "):
        name, *words = shlex.split(part)
        command = COMMANDS[name]
        settings = assignments(words, positional=command.positional, flags=command.flags)
        if not any(word.startswith("config=") for word in settings):  # whose file is not here
            assert resolve(command.config, settings).out


def test_help_needs_neither_pytorch_nor_hydra():
    code = (
        "import sys; from sam3dseg_training.cli import main; main(['--help']); main(['fit', '--help']);"
        "assert not {'torch', 'hydra', 'omegaconf', 'monai', 'lightning_fabric'} & set(sys.modules)"
    )
    path = os.pathsep.join(map(str, (ROOT / "SAM3DSegment", ROOT / "Training")))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian"], "unknown command 'trian': expected one of prepare, fit"),
        (["fit", "out=x"], "data.path is needed"),
        (["fit", "data=x", "out=y", "lora.rnk=4"], "did you mean lora.rank?"),
        (["fit", "data=/nowhere", "out=y"], "no prepared data at /nowhere"),
        (["synthetic", "out=x", "window=50"], "window must be a multiple of 16"),
        (["synthetic", "out=x", "label_maps=/nowhere"], "there is none at /nowhere"),
        (["synthetic", "out=x", "init=/nowhere"], "expected a training state at /nowhere/last.pt"),
        (["export", "nowhere", "-o", "m.safetensors"], "expected a training state at nowhere/last.pt"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (StoppedError("stopped and saved at step 3; the same command goes on", signal.SIGTERM), 143, "saved at step 3"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on"),
        (ModuleNotFoundError("No module named 'hydra'"), 2, "pip install 'sam3dseg[training]'"),
        (OSError("cannot write last.pt: no space"), 2, "no space"),
    ],
)
def test_how_it_ends_is_said_in_one_line(error, code, line, capsys, monkeypatch):
    def fail(name, words):
        raise error

    monkeypatch.setattr(cli, "_run", fail)
    assert main(["fit"]) == code
    shown = capsys.readouterr().err
    assert line in shown and shown.count("\n") == 1


FAILS_WITH_WORKERS = """
import torch
from torch.utils.data import DataLoader, IterableDataset
from sam3dseg_training import cli
from sam3dseg_training.stopping import leave_to_parent

class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.zeros(3)

def fail(name, words):
    batches = iter(DataLoader(Endless(), num_workers=1, worker_init_fn=leave_to_parent))
    next(batches)
    raise LookupError("unexpected")

cli._run = fail
cli.main(["fit"])
"""


def test_a_failure_does_not_wait_for_the_makers_of_samples():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", FAILS_WITH_WORKERS], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "LookupError: unexpected" in done.stderr
