"""`sam3dseg-train synthetic` from nothing to a file that the engine loads and clicks with."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from sam3dseg import Click, Session, load_segmenter
from sam3dseg.checkpoint import load_checkpoint
from sam3dseg_training.cli import main
from sam3dseg_training.curves import read_rows
from sam3dseg_training.run_state import read_state

SMALL = ["steps=2", "window=32", "batch=1", "compute.workers=0", "compute.precision=float32", "clicks.rounds=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert main(["synthetic", f"out={folder}", *SMALL, "record.every=1"]) == 0
    return folder


def test_a_run_leaves_its_state_and_can_be_given_again(run):
    before = (run / "last.pt").stat().st_mtime_ns
    assert read_state(run / "last.pt")["sample"] == 2
    assert len(read_rows(run)) == 2
    assert main(["synthetic", f"config={run}"]) == 0  # nothing left to do
    assert (run / "last.pt").stat().st_mtime_ns == before


def test_a_longer_run_goes_on(run, tmp_path):
    (tmp_path / "last.pt").write_bytes((run / "last.pt").read_bytes())
    assert main(["synthetic", "--out", str(tmp_path), *SMALL, "steps=3", "batch=2"]) == 0
    assert (read_state(tmp_path / "last.pt")["step"], read_state(tmp_path / "last.pt")["sample"]) == (3, 4)


def test_a_second_run_starts_from_the_averaged_weights_of_the_first(run, tmp_path):
    words = [*SMALL, "steps=1", "optim.rate=1e-12", "optim.decay=0"]
    assert main(["synthetic", f"out={tmp_path}", f"init={run}", *words]) == 0
    first, second = read_state(run / "last.pt")["average"], read_state(tmp_path / "last.pt")["network"]
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-9, rtol=0)


def test_what_is_exported_loads_and_answers_a_click(run, tmp_path):
    path = tmp_path / "model.safetensors"
    assert main(["export", str(run), "-o", str(path), "--recipe", "two words", "--synthetic-only"]) == 0
    with safe_open(path, framework="pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
    assert provenance["command"] == "two words" and provenance["steps"] == [2]
    assert [source["licence"] for source in provenance["data"]] == ["Apache-2.0"]
    assert path.stat().st_size < 16_000_000
    session = Session(load_segmenter(path, device="cpu"))
    session.set_image(np.random.default_rng(0).normal(size=(30, 32, 34)), spacing_mm=(1, 1, 1))
    assert session.add(Click((15, 16, 17)))[15, 16, 17]


def test_a_window_whose_gradients_would_be_wrong_is_refused(tmp_path, capsys):
    words = ["steps=1", "window=32", "compute.accelerator=cpu", "compute.precision=bf16"]
    assert main(["synthetic", f"out={tmp_path / 'run'}", *words]) == 2
    assert "window=32 needs compute.precision=float32 on a CPU" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_judge_alone_learns_while_the_rest_stays(run, tmp_path, capsys):
    assert main(["synthetic", f"out={tmp_path / 'alone'}", "part=judge", *SMALL]) == 2
    assert "name its run with init=" in capsys.readouterr().err
    words = [*SMALL, "part=judge", "clicks.rounds=3", "optim.rate=1e-2", f"init={run}"]
    assert main(["synthetic", f"out={tmp_path / 'judge'}", *words]) == 0
    first, second = (read_state(folder / "last.pt")["average"] for folder in (run, tmp_path / "judge"))
    assert set(second) == {name for name in first if ".change_judge." in name}
    assert any(not torch.equal(value, first[name]) for name, value in second.items())
    path = tmp_path / "model.safetensors"
    assert main(["export", str(run), str(tmp_path / "judge"), "-o", str(path)]) == 0
    exported = load_checkpoint(path).weights
    for name, value in {**first, **second}.items():
        torch.testing.assert_close(exported[name], value, atol=1e-3, rtol=1e-3)
    assert main(["synthetic", f"out={tmp_path / 'again'}", *SMALL, f"init={tmp_path / 'judge'}"]) == 0
