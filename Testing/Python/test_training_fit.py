"""`sam3dseg-train fit` from prepared cases to a run folder, with a tiny network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_networks import COMPACT, tiny_compact
from toy_training import rows_of
from training_cases import cached, write_msd

from sam3dseg import load_segmenter
from sam3dseg.checkpoint import save_checkpoint
from sam3dseg_training.cli import main
from sam3dseg_training.configs.fit import FitConfig
from sam3dseg_training.configs.resolve import resolve
from sam3dseg_training.curves import read_rows
from sam3dseg_training.run_state import read_state

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a cache of six cases and a tiny model."""
    root = tmp_path_factory.mktemp("fit")
    cached(root, write_msd(root / "toy", 6), sdf=True)
    weights = tiny_compact().state_dict()
    save_checkpoint(root / "tiny.safetensors", architecture="compact", config=COMPACT, weights=weights, provenance={})
    return root


def words_of(place: Path, out: Path, *words: str) -> list[str]:
    return [
        "fit",
        f"data={place / 'cache'}",
        f"model={place / 'tiny.safetensors'}",
        f"out={out}",
        *["steps=4", "data.crop=32", "data.folds=3", "data.targets=1", "batch=2", "compute.precision=float32"],
        *["compute.accelerator=cpu", "compute.workers=0", "clicks.rounds=2", "lora.rank=2"],
        *["validate.every=2", "validate.clicks=2", "validate.windows=3", "record.every=1", "record.tensorboard=false"],
        *words,
    ]


@pytest.fixture(scope="module")
def run(place):
    assert main(words_of(place, place / "run")) == 0
    return place / "run"


def test_a_run_folder_holds_what_export_and_the_model_card_need(run, place):
    names = {path.name for path in run.iterdir()}
    assert names == {"best.pt", "config.yaml", "curve.csv", "curve.png", "data.json", "last.pt"}
    data = json.loads((run / "data.json").read_text(encoding="utf-8"))
    assert data["labels"] == ["Front", "Back"] and data["dataset"] == "toy"
    assert [case["case"] for case in data["validation"]] == ["toy/case_000", "toy/case_003"]
    assert len(data["training"]) == 4 and len(data["training"][0]["digest"]) == 64
    assert resolve(FitConfig, [f"config={run}"]).lora.rank == 2
    columns = read_rows(run)[-1]
    assert {"dice_first", "dice_last", "val_dice_1", "val_dice_2", "val_loss"} <= columns.keys()
    assert any(".lora_A." in name for name in read_state(run / "last.pt")["network"])
    assert main(["export", str(run), f"out={place / 'mine.safetensors'}"]) == 0
    load_segmenter(place / "mine.safetensors", device="cpu")


def test_a_complete_run_has_nothing_left_to_do(run):
    before = (run / "last.pt").stat().st_mtime_ns
    assert main(["fit", f"config={run}"]) == 0
    assert (run / "last.pt").stat().st_mtime_ns == before


def started(words: list[str], folder: Path) -> subprocess.Popen:
    """The program as a process group of its own, once it has saved."""
    path = os.pathsep.join(map(str, (ROOT / "SAM3DSegment", ROOT / "Training")))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sam3dseg_training.cli", *words]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 120
    while not (folder / "last.pt").exists():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)
    return process


@pytest.fixture
def one_thread():
    """Sums come out alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_killed_run_goes_on_with_the_losses_of_an_unbroken_one(place, tmp_path, one_thread):
    more = ["steps=8", "record.save_steps=2", "compute.workers=1", "loss.adaptive=true"]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = started(words_of(place, broken, *more), broken)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert 0 < read_state(broken / "last.pt")["step"] < 8
    assert main(words_of(place, broken, *more)) == 0
    assert main(words_of(place, whole, *more)) == 0
    assert rows_of(broken) == rows_of(whole)


def test_a_stop_of_the_whole_group_saves_and_says_how_to_go_on(place, tmp_path):
    words = words_of(place, tmp_path / "run", "steps=500", "record.save_steps=1", "compute.workers=2")
    process = started(words, tmp_path / "run")
    os.killpg(process.pid, signal.SIGTERM)  # as SLURM and the page in Slicer do
    output = process.communicate(timeout=60)[1]
    step = read_state(tmp_path / "run" / "last.pt")["step"]
    assert f"sam3dseg-train: stopped and saved at step {step}; the same command goes on" in output
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tune=full", "loss.sdf=0.5"], {"image_encoder", "mask_decoder"}),
        (["tune=encoder", "data.labels=[Front+Back]"], {"image_encoder"}),
        (["tune=decoder"], {"mask_decoder"}),
        (["tune=decoder", "embeddings.windows=1", "data.folds=1"], {"mask_decoder"}),
        (["tune=full", "optim.encoder_first=1"], {"image_encoder", "mask_decoder"}),
    ],
)
def test_every_way_of_tuning_trains_its_part(place, tmp_path, words, expected):
    assert main(words_of(place, tmp_path / "run", "steps=2", *words)) == 0
    state = read_state(tmp_path / "run" / "last.pt")["network"]
    assert {name.partition(".")[0] for name in state} == expected
    base = tiny_compact().state_dict()
    moved = {name.partition(".")[0] for name, value in state.items() if not torch.equal(value, base[name])}
    assert moved == ({"image_encoder"} if "optim.encoder_first=1" in words else expected)
    assert (tmp_path / "run" / "best.pt").exists() == ("data.folds=1" not in words)
    assert len(list((tmp_path / "run").glob("encodings/*.safetensors"))) == (6 if "data.folds=1" in words else 0)


def test_a_second_stage_starts_from_the_weights_of_the_first(place, run, tmp_path):
    words = [f"init={run}", "tune=full", "steps=1", "optim.rate=1e-12", "optim.decay=0"]
    assert main(words_of(place, tmp_path / "second", *words)) == 0
    assert main(["export", str(run), f"out={tmp_path / 'first.safetensors'}", "form=merged"]) == 0
    assert main(["export", str(tmp_path / "second"), f"out={tmp_path / 'second.safetensors'}"]) == 0
    first, second = (load_segmenter(tmp_path / f"{name}.safetensors", device="cpu") for name in ("first", "second"))
    for ours, theirs in zip(first._placed.network.parameters(), second._placed.network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_changed_settings_are_named_when_a_run_goes_on(place, run, tmp_path, caplog):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("last.pt", "config.yaml"):
        (folder / name).write_bytes((run / name).read_bytes())
    with caplog.at_level("INFO"):
        assert main(words_of(place, folder, "steps=5", "optim.rate=1e-4")) == 0
    assert "going on at step 4" in caplog.text
    assert "other settings than before: out, steps, optim.rate" in caplog.text
    assert resolve(FitConfig, [f"config={folder}"]).steps == 5


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tune=lora", "embeddings.windows=2"], "embeddings.windows needs tune=decoder"),
        (["tune=decoder", "optim.encoder_first=0.5"], "optim.encoder_first needs tune=full or tune=lora"),
        (["compute.precision=bf16"], "data.crop=32 needs compute.precision=float32 on a CPU"),
        (["data.labels=[Front,Bak]"], "did you mean Back?"),
        (["data.fold=7"], "fold must be 0 to folds - 1 = 2, received 7"),
        (["data.crop=33"], "data.crop must be a multiple of 16"),
        (["model=nowhere.safetensors"], "nowhere.safetensors"),
        (["model=new:convnet"], "unknown architecture 'convnet'"),
        (["init=nowhere"], "expected a training state at nowhere/last.pt"),
        (["lora.targets=[nothing]"], "no linear or convolution layer of this network ends in 'nothing'"),
        (["optim.rate=1e30"], "same command with optim.rate="),
        (["compute.devices=2", "compute.strategy=fsdp", "compute.accelerator=cuda"], "is not available"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_2(place, tmp_path, capsys, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    if torch.cuda.is_available() and "compute.accelerator=cuda" in words:
        pytest.skip("there is a GPU")
    assert main(words_of(place, tmp_path / "run", "steps=30", *words)) == 2
    error = capsys.readouterr().err
    assert line in error and len([part for part in error.splitlines() if part.startswith("sam3dseg-train:")]) == 1


def test_resuming_another_architecture_is_refused_and_changes_nothing(place, run, capsys):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert main(words_of(place, run, "lora.rank=3", "steps=9")) == 2
    assert "trained with another architecture or tune: give the run another folder" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_windows_of_another_size_than_the_network_takes_are_refused(place, tmp_path, capsys):
    words = ["model=new:sam_med3d_vit_b_ori", "data.crop=64", "tune=decoder"]
    assert main(words_of(place, tmp_path / "run", *words)) == 2
    assert "data.crop=64: this network takes windows of 128 only" in capsys.readouterr().err


def test_two_processes_train_as_one_with_the_same_global_batch(place, tmp_path):
    shared = ["steps=3", "tune=full", "validate.windows=4", "optim.rate=1e-3", "data.augment=false"]
    assert main(words_of(place, tmp_path / "one", *shared, "batch=4")) == 0
    path = os.pathsep.join(map(str, (ROOT / "SAM3DSegment", ROOT / "Training")))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    words = words_of(place, tmp_path / "two", *shared, "batch=2", "compute.devices=2")
    command = [sys.executable, "-m", "sam3dseg_training.cli", *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
    one, two = (read_rows(tmp_path / name) for name in ("one", "two"))
    for name in ("loss", "dice_first", "dice_last", "val_loss"):
        ours, theirs = ([float(row[name]) for row in rows if row[name]] for rows in (one, two))
        assert theirs == pytest.approx(ours, rel=5e-3, abs=5e-3) and ours
