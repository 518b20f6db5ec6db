"""Two processes train as one does with the same global batch."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy_training import settings, train

from sam3dseg_training.configs.optim import RecordConfig
from sam3dseg_training.curves import read_rows
from sam3dseg_training.run_state import read_state

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="PyTorch was built without gloo")


def ended(*words: object, **options) -> subprocess.CompletedProcess:
    path = os.pathsep.join(map(str, (ROOT / "SAM3DSegment", ROOT / "Training", HERE)))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=environment, timeout=120, capture_output=True, text=True, **options)


@pytest.mark.parametrize(("launcher", "strategy"), [((), "ddp"), (TORCHRUN, "fsdp")])
def test_two_processes_are_one_with_the_same_global_batch(tmp_path, launcher, strategy):
    one, two = tmp_path / "one", tmp_path / "two"
    record = RecordConfig(every=1, save_steps=3, tensorboard=False)
    train(one, settings(record=record))
    devices = 1 if launcher else 2  # torchrun says it itself
    process = ended(*launcher, HERE / "toy_training.py", two, devices, strategy, 0, 0)
    assert process.returncode == 0, process.stderr[-3000:]
    for name in ("loss", "error", "norm", "val_loss", "val_dice_1"):
        ours, theirs = ([float(row[name]) for row in read_rows(folder) if row[name]] for folder in (one, two))
        assert len(ours) == len(theirs) > 2
        assert theirs == pytest.approx(ours, abs=2e-4), name
    ours, theirs = read_state(one / "last.pt"), read_state(two / "last.pt")
    assert len(theirs["random"]) == 2 and theirs["sample"] == ours["sample"] == 48
    for part in ("network", "average"):
        for key, value in ours[part].items():
            torch.testing.assert_close(theirs[part][key], value, atol=1e-4, rtol=1e-3)
    longer = settings(14, record=record)
    assert train(two, longer).step == 14  # and one process goes on with what two have saved


def test_no_process_waits_for_one_that_cannot_save(tmp_path):
    def fill_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    process = ended(HERE / "toy_training.py", tmp_path / "run", 2, "ddp", 0, 0, preexec_fn=fill_disk)
    assert process.returncode != 0
    assert process.stderr.count("OSError: cannot write") == 2, process.stderr[-3000:]
    assert not (tmp_path / "run" / "last.pt").exists()
