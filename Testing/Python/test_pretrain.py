"""`sam3dseg-train` from nothing to a file that the engine loads and clicks with."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from sam3dseg import Click, Session, load_segmenter
from sam3dseg_training.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    command = ["synthetic", "--out", str(folder), "--steps", "1", "--window", "32", "--batch", "1", "--workers", "0"]
    assert main(command) == 0
    return folder


def test_a_run_leaves_its_state_and_can_be_given_again(run):
    assert (run / "last.pt").exists()
    command = ["synthetic", "--out", str(run), "--steps", "1", "--window", "32", "--batch", "1", "--workers", "0"]
    assert main(command) == 0  # nothing left to do


def test_what_is_exported_loads_and_answers_a_click(run, tmp_path):
    path = tmp_path / "model.safetensors"
    assert main(["export", str(run), "-o", str(path), "--recipe", "two words", "--synthetic-only"]) == 0
    with safe_open(path, framework="pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
    assert provenance["command"] == "two words" and provenance["steps"] == [1]
    assert [source["licence"] for source in provenance["data"]] == ["Apache-2.0"]
    assert path.stat().st_size < 16_000_000
    session = Session(load_segmenter(path, device="cpu"))
    session.set_image(np.random.default_rng(0).normal(size=(30, 32, 34)), spacing_mm=(1, 1, 1))
    assert session.add(Click((15, 16, 17)))[15, 16, 17]


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["synthetic", "--out", "x", "--window", "50"], "--window must be a multiple of 16 and at least 32, not 50"),
        (["synthetic", "--out", "x", "--label-maps", "/nowhere"], "there is none at /nowhere"),
        (["export", "nowhere", "-o", "m.safetensors"], "train first with"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(command, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
