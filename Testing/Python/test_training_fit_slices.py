"""`sam3dseg-train fit` with models of slices, from prepared cases to files that answer, with a tiny network."""

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
from tiny_networks import COMPACT, SMALL_SAM, tiny_compact, tiny_sam
from toy_training import rows_of
from training_cases import cached, write_msd

from sam3dseg import load_segmenter
from sam3dseg.checkpoint import load_checkpoint, save_checkpoint
from sam3dseg_training.cli import main
from sam3dseg_training.curves import read_rows
from sam3dseg_training.run_state import read_state

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a cache of six cases and tiny models of both kinds."""
    root = tmp_path_factory.mktemp("fit")
    cached(root, write_msd(root / "toy", 6))
    for name, config, network in (("sam", SMALL_SAM, tiny_sam()), ("compact", COMPACT, tiny_compact())):
        file = root / f"{name}.safetensors"
        save_checkpoint(file, architecture=name, config=config, weights=network.state_dict(), provenance={})
    return root


def words_of(place: Path, out: Path, *words: str, model: str = "sam") -> list[str]:
    return [
        "fit",
        f"data={place / 'cache'}",
        f"model={place / model}.safetensors",
        f"out={out}",
        *["steps=4", "data.folds=3", "data.targets=1", "batch=2", "compute.precision=float32", "slices.smallest=1"],
        *["compute.accelerator=cpu", "compute.workers=0", "compute.threads=1", "clicks.rounds=2", "lora.rank=2"],
        *["validate.every=2", "validate.clicks=2", "validate.windows=3", "record.every=1", "record.tensorboard=false"],
        *words,
    ]


@pytest.fixture(scope="module")
def run(place):
    assert main(words_of(place, place / "run")) == 0
    return place / "run"


def test_a_run_leaves_what_export_makes_a_model_of(place, run):
    data = json.loads((run / "data.json").read_text(encoding="utf-8"))
    assert (data["dataset"], data["labels"]) == ("toy", ["Front", "Back"])
    assert len(data["training"]) == 4 and len(data["validation"]) == 2
    assert {"dice_first", "val_dice_box", "val_dice_1", "val_dice_2", "val_loss"} <= read_rows(run)[-1].keys()
    file = place / "mine.safetensors"
    assert main(["export", str(run), f"out={file}"]) == 0
    assert load_checkpoint(file).adapter["base"].endswith("sam.safetensors")
    segmenter = load_segmenter(file, device="cpu")
    assert (segmenter.architecture, segmenter.image_size, segmenter.preprocessing) == ("sam", 64, "medsam")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tune=full"], {"image_encoder", "mask_decoder"}),
        (["tune=full", "slices.freeze_prompts=false"], {"image_encoder", "prompt_encoder", "mask_decoder"}),
        (["tune=encoder", "slices.boxes=1", "loss.kind=dice_bce", "slices.axis=all"], {"image_encoder"}),
        (["tune=decoder"], {"mask_decoder"}),
        (["tune=decoder", "embeddings.windows=2"], {"mask_decoder"}),
        (["tune=lora"], {"image_encoder", "mask_decoder"}),
    ],
)
def test_every_way_of_tuning_trains_its_part(place, tmp_path, words, expected):
    assert main(words_of(place, tmp_path / "run", "steps=2", *words)) == 0
    state = read_state(tmp_path / "run" / "last.pt")["network"]
    assert {name.partition(".")[0] for name in state} == expected
    base = tiny_sam().state_dict()
    if "tune=lora" not in words:
        moved = {name.partition(".")[0] for name, value in state.items() if not torch.equal(value, base[name])}
        assert moved == expected
    encodings = len(list((tmp_path / "run").glob("encodings/*.safetensors")))
    assert encodings == (8 if "embeddings.windows=2" in words else 0)


def test_the_two_stages_of_medsam_are_two_commands(place, tmp_path):
    how = ["slices.boxes=1", "clicks.rounds=1", "loss.kind=dice_bce", "loss.multi=0", "optim.decay=0.01"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(words_of(place, first, "tune=encoder", "optim.rate=1e-4", *how)) == 0
    assert main(words_of(place, second, "tune=full", f"init={first}", "optim.rate=1e-12", *how, "optim.decay=0")) == 0
    for folder in (first, second):
        assert main(["export", str(folder), f"out={folder}.safetensors", "form=merged"]) == 0
    ours, theirs = (load_checkpoint(f"{folder}.safetensors") for folder in (first, second))
    assert ours.config == theirs.config == SMALL_SAM
    for name, value in ours.weights.items():
        torch.testing.assert_close(value, theirs.weights[name], atol=1e-3, rtol=1e-3)
    assert not torch.equal(ours.weights["image_encoder.neck.2.weight"], tiny_sam().image_encoder.neck[2].weight)


@pytest.mark.parametrize("words", [["tune=lora"], ["tune=decoder", "embeddings.windows=1"]], ids=["lora", "encodings"])
def test_a_killed_run_goes_on_with_the_losses_of_an_unbroken_one(place, tmp_path, words):
    more = ["steps=8", "record.save_steps=2", "compute.workers=1", *words]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    path = os.pathsep.join(map(str, (ROOT / "SAM3DSegment", ROOT / "Training")))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sam3dseg_training.cli", *words_of(place, broken, *more)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 120
    while not (broken / "last.pt").exists():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert 0 < read_state(broken / "last.pt")["step"] < 8
    assert main(words_of(place, broken, *more)) == 0
    assert main(words_of(place, whole, *more)) == 0
    assert rows_of(broken) == rows_of(whole)


def test_training_stops_when_validation_gets_no_better(place, tmp_path):
    words = ["steps=40", "validate.every=1", "validate.patience=2", "optim.rate=1e-9"]
    assert main(words_of(place, tmp_path / "run", *words)) == 0
    assert 3 <= read_state(tmp_path / "run" / "last.pt")["step"] < 40


def test_a_new_model_is_as_large_as_asked_and_few_cases_are_enough(place, tmp_path):
    words = [word for word in words_of(place, tmp_path / "run", "steps=1", "data.cases=2") if "model=" not in word]
    more = ["model=new:sam", "slices.size=32", "slices.preprocessing=sam", "tune=decoder"]
    assert main([*words, *more]) == 0
    assert main(["export", str(tmp_path / "run"), f"out={tmp_path / 'new.safetensors'}"]) == 0
    config = load_checkpoint(tmp_path / "new.safetensors").config
    assert config == {"variant": "small", "preprocessing": "sam", "image_size": 32}
    assert len(json.loads((tmp_path / "run" / "data.json").read_text(encoding="utf-8"))["training"]) == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data.crop=64"], "data.crop=64 has no effect on sam, which is prompted in slices"),
        (["loss.sdf=0.5"], "loss.sdf=0.5 has no effect on sam, which is prompted in slices"),
        (["clicks.box_share=0.2"], "clicks.box_share=0.2 has no effect on sam"),
        (["slices.size=128"], "slices.size=128 needs model=new:sam, and no init"),
        (["slices.axis=upright"], "slices.axis must be one of auto, axial, coronal, sagittal, all, not 'upright'"),
        (["slices.boxes=2"], "slices.boxes must be at most 1"),
        (["tune=lora", "embeddings.windows=2"], "embeddings.windows needs tune=decoder"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_2(place, tmp_path, capsys, words, line):
    assert main(words_of(place, tmp_path / "run", *words)) == 2
    error = capsys.readouterr().err
    assert line in error and len([part for part in error.splitlines() if part.startswith("sam3dseg-train:")]) == 1
    assert not (tmp_path / "run").exists()


def test_settings_of_slices_with_a_3d_model_name_both(place, tmp_path, capsys):
    for word in ("slices.boxes=1", "slices.axis=axial"):
        words = words_of(place, tmp_path / "run", "data.crop=32", word, model="compact")
        assert main([word for word in words if "smallest" not in word]) == 2
        expected = f"{word} has no effect on compact, which is clicked in 3D windows: leave it out"
        assert expected in capsys.readouterr().err.replace("=1.0", "=1")


def test_other_sizes_of_a_new_model_are_fixed(place, tmp_path, capsys):
    words = [word for word in words_of(place, tmp_path / "run") if "model=" not in word]
    assert main([*words, "model=new:sam", "slices.variant=vit_b", "slices.size=512"]) == 2
    assert "slices.size=512 needs slices.variant=small" in capsys.readouterr().err


def test_a_run_of_another_kind_of_model_is_no_start(place, run, tmp_path, capsys):
    words = words_of(place, tmp_path / "second", f"init={run}", model="compact")
    assert main([word for word in words if "smallest" not in word]) == 2
    error = capsys.readouterr().err
    assert f"init={run} is a model for clicks in slices (sam): expected one for clicks in 3D, as model=" in error
    assert main(words_of(place, tmp_path / "second", f"init={run}", "steps=1")) == 0
