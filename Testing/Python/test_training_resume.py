"""A training that was killed goes on as if it never had been: same losses, same weights, on the CPU."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_training import NOISE, rows_of, settings, toy_batches, toy_trainer, toy_validation, train

from sam3dseg_training.configs.optim import RecordConfig
from sam3dseg_training.run_state import random_state, read_state, restore_random

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECORD = RecordConfig(every=1, save_steps=3, tensorboard=False)


def assert_same(folder: Path, other: Path) -> None:
    assert rows_of(folder) == rows_of(other)
    for name in ("last.pt", "best.pt"):
        ours, theirs = read_state(folder / name), read_state(other / name)
        assert (ours["step"], ours["sample"], ours["best"]) == (theirs["step"], theirs["sample"], theirs["best"])
        for part in ("average", "network"):
            for key, value in ours.get(part, {}).items():
                assert torch.equal(value, theirs[part][key]), (name, part, key)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    train(folder, settings(record=RECORD), noise=NOISE)
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on_with_the_losses_of_an_unbroken_one(tmp_path, unbroken, number):
    path = os.pathsep.join(map(str, (ROOT / "SAM3DSegment", ROOT / "Training", HERE)))
    words = [sys.executable, str(HERE / "toy_training.py"), str(tmp_path), "1", "auto", "0.15", str(NOISE)]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while len(rows_of(tmp_path)) < 5:
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)
    time.sleep(0.3 * random.random())
    process.send_signal(number)
    output = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    stopped = read_state(tmp_path / "last.pt")["step"]
    if number == signal.SIGKILL:
        assert stopped % 3 == 0 and 0 < stopped < 12
    else:
        assert f"stopped and saved at step {stopped}; the same command goes on" in output
    train(tmp_path, settings(record=RECORD), noise=NOISE)
    assert_same(tmp_path, unbroken)


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("sample", range(0, 48, 4))
def test_a_run_may_end_before_any_step(tmp_path, unbroken, sample):
    trainer = toy_trainer(tmp_path, settings(record=RECORD), noise=NOISE)

    def stream(first):
        for batch in toy_batches(4)(first):
            if batch["number"][0] == sample:
                raise KilledError
            yield batch

    with pytest.raises(KilledError):
        trainer.run(stream, toy_validation)
    torch.rand(7)
    np.random.rand(3)  # whatever a new process has drawn before
    train(tmp_path, settings(record=RECORD), noise=NOISE)
    assert_same(tmp_path, unbroken)


def test_means_over_several_steps_go_on_too(tmp_path):
    record = RecordConfig(every=5, save_steps=3, tensorboard=False)
    train(tmp_path / "whole", settings(10, record=record), noise=NOISE)
    trainer = toy_trainer(tmp_path / "parts", settings(10, record=record), noise=NOISE)

    def stream(first):
        for index, batch in enumerate(toy_batches(4)(first)):
            if index == 8:
                raise KilledError
            yield batch

    with pytest.raises(KilledError):
        trainer.run(stream, toy_validation)
    train(tmp_path / "parts", settings(10, record=record), noise=NOISE)
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")


def test_random_numbers_of_all_kinds_go_on(tmp_path):
    def draw():
        return float(torch.rand(())), float(np.random.normal()), random.gauss(0, 1)

    draw()  # leaves half of a pair of normal numbers waiting
    state = random_state()
    torch.save(state, tmp_path / "random.pt")
    first = draw()
    restore_random(torch.load(tmp_path / "random.pt", weights_only=True))
    assert draw() == first
