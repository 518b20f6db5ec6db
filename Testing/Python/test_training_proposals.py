"""`sam3dseg-train fit model=new:sam_3d`: from prepared cases to a file that proposes all classes."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from proposal_training_toys import slice_encoder, volume_encoder, words_of
from test_training_fit import rows_of, started
from training_cases import SPACING_MM, cached, volume, write_msd

from sam3dseg.adapters import digest_of
from sam3dseg.checkpoint import load_checkpoint
from sam3dseg.proposals.proposer import load_proposer
from sam3dseg_training.cli import main
from sam3dseg_training.curves import read_rows
from sam3dseg_training.evaluation.models import open_model
from sam3dseg_training.run_state import read_state


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a cache of six cases, and tiny encoders."""
    root = tmp_path_factory.mktemp("proposals")
    cached(root, write_msd(root / "toy", 6))
    slice_encoder(root / "slices.safetensors")
    volume_encoder(root / "volumes.safetensors")
    return root


@pytest.fixture(scope="module")
def run(place):
    assert main(words_of(place, place / "run")) == 0
    return place / "run"


@pytest.fixture(scope="module")
def model(run, place):
    """The run as a file."""
    assert main(["export", str(run), f"out={place / 'mine.safetensors'}", "licence=CC0"]) == 0
    return place / "mine.safetensors"


def test_a_run_trains_the_decoder_alone_on_features_computed_once(run, place):
    names = {path.name for path in run.iterdir()}
    assert names == {
        "best.pt", "config.yaml", "curve.csv", "curve.png", "data.json", "features", "last.pt", "model.json",
    }  # fmt: skip
    state = read_state(run / "last.pt")["network"]
    assert {name.partition(".")[0] for name in state} == {"decoder"}
    files = sorted(path.name for path in run.glob("features/toy/*.safetensors"))
    assert len(files) == 10  # two variants of four cases, two held-out ones as they are
    index = json.loads((run / "features" / "index.json").read_text(encoding="utf-8"))
    encoder = load_checkpoint(place / "slices.safetensors").weights
    own = {name.removeprefix("image_encoder."): v for name, v in encoder.items() if name.startswith("image_encoder.")}
    assert index["encoder"] == digest_of(own) and len(index["cases"]) == 6 and index["complete"]
    assert index["recipe"]["plan"] == {"axis": 2, "spacing_mm": [2.5, 1.0, 1.0], "normalisation": "sam"}
    row = read_rows(run)[-1]
    assert {"loss", "dice", "val_dice_Front", "val_dice_Back", "val_loss"} <= row.keys()
    assert float(row["val_loss"]) == pytest.approx(1 - float(row["val_dice"]), abs=1e-4)


def test_the_file_has_classes_names_colours_and_a_card_and_proposes_them(model, run):
    checkpoint = load_checkpoint(model)
    classes = checkpoint.config["classes"]
    assert [entry["name"] for entry in classes] == ["Front", "Back"] and classes[0]["color"] != classes[1]["color"]
    assert checkpoint.config["patch"] == [4, 16, 16] and checkpoint.config["encoder"]["architecture"] == "sam"
    card = checkpoint.provenance
    assert card["labels"] == ["Front", "Back"] and card["licence"] == "CC0" and card["tune"] == "decoder"
    assert card["base"].endswith("slices.safetensors") and 0 <= card["metrics"]["val_dice_Front"] <= 1
    assert len(card["data"][0]["training"]) == 4
    proposer = load_proposer(model, device="cpu")
    image, _ = volume()
    found = proposer.propose(image, spacing_mm=SPACING_MM)
    assert found.shape == image.shape and found.max() <= 2
    average = read_state(run / "best.pt")["average"]
    assert torch.allclose(checkpoint.weights["decoder.heads.0.bias"], average["decoder.heads.0.bias"], atol=1e-3)


def test_a_run_is_judged_as_the_file_made_of_it(model, run, place, tmp_path):
    opened = [open_model(str(source)).checkpoint for source in (run, model)]
    assert opened[0].config == opened[1].config and opened[0].weights.keys() == opened[1].weights.keys()
    words = [f"data={place / 'cache'}", "folds=3", "device=cpu", "pictures=1"]
    assert main(["evaluate", f"model={run}", f"baseline={model}", f"out={tmp_path}", *words]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["prompts"] == "nothing" and list(metrics["labels"]) == ["Front", "Back"]
    assert len(metrics["overall"]["model"]["dice"]["mean"]) == 1 and metrics["overall"]["model"]["objects"] == 4
    case = open_model(str(model)).segmenter("cpu")
    image, labels = volume(0)
    found = case.propose(image, spacing_mm=SPACING_MM)
    by_hand = [2 * ((found == n) & (labels == n)).sum() / ((found == n).sum() + (labels == n).sum()) for n in (1, 2)]
    told = [entry["baseline"]["dice"][0] for entry in metrics["cases"] if entry["case"] == "toy/case_000"]
    assert told == pytest.approx(by_hand, abs=1e-5)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "0 clicks" in page and "by itself, without any prompt" in page and "Clicks to Dice" not in page
    rows = (tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1].split(",")[5] == "0"


def test_labels_may_be_joined_when_judged(model, place, tmp_path):
    words = [f"data={place / 'cache'}", "folds=3", "device=cpu", "labels=[Front+Back]", "limit=1", "pictures=0"]
    assert main(["evaluate", f"model={model}", f"out={tmp_path}", *words]) == 0
    assert list(json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["labels"]) == ["Front+Back"]


def test_pictures_and_few_shot_curves_of_proposals(model, place, tmp_path):
    words = [f"data={place / 'cache'}", f"model={model}", "device=cpu"]
    assert main(["visualize", *words, f"out={tmp_path / 'seen'}", "folds=3", "meshes=none"]) == 0
    assert (tmp_path / "seen" / "toy" / "case_000" / "overlay.png").exists()
    assert main(["evaluate", *words, f"out={tmp_path / 'report'}", "folds=3", "limit=1", "pictures=0"]) == 0
    curve = ["fewshot", str(tmp_path / "report"), f"out={tmp_path / 'few.png'}"]
    assert main(curve) == 0 and (tmp_path / "few.png").exists()


def test_a_killed_run_goes_on_with_the_losses_of_an_unbroken_one(place, tmp_path):
    torch.set_num_threads(1)
    more = ["steps=8", "record.save_steps=2", "compute.workers=1", "compute.threads=1"]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = started(words_of(place, broken, *more), broken)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert 0 < read_state(broken / "last.pt")["step"] < 8
    before = {path.name: path.stat().st_mtime_ns for path in broken.glob("features/toy/*")}
    assert main(words_of(place, broken, *more)) == 0
    assert {path.name: path.stat().st_mtime_ns for path in broken.glob("features/toy/*")} == before
    assert main(words_of(place, whole, *more)) == 0
    assert rows_of(broken) == rows_of(whole)


def test_several_runs_share_features_and_fewer_cases_need_no_others(place, tmp_path):
    shared = [f"proposals.features={tmp_path / 'shared'}", "steps=1", "validate.every=0"]
    assert main(words_of(place, tmp_path / "all", *shared)) == 0
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shared/toy/*")}
    assert main(words_of(place, tmp_path / "few", *shared, "data.cases=2")) == 0
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.glob("shared/toy/*")} and len(files) == 8


def test_a_model_is_trained_on_as_a_file_and_as_a_run(place, run, model, tmp_path):
    base = [word for word in words_of(place, tmp_path / "more") if "proposals." not in word or "variants" in word]
    still = ["steps=1", "optim.rate=1e-12", "optim.decay=0", "proposals.variants=1"]
    assert main([*base, *still, f"model={model}"]) == 0
    assert main([*base, *still, f"init={run}", f"out={tmp_path / 'init'}"]) == 0
    first = load_checkpoint(model).weights
    for folder in ("more", "init"):
        again = open_model(str(tmp_path / folder)).checkpoint
        assert again.config == load_checkpoint(model).config
        for name, value in first.items():
            torch.testing.assert_close(again.weights[name], value, atol=2e-3, rtol=2e-3)


def test_an_encoder_of_volumes_is_a_backbone_too(place, tmp_path):
    words = [f"proposals.backbone={place / 'volumes.safetensors'}", "proposals.patch=[16,32,16]", "steps=2"]
    words += ["proposals.spacing_mm=[1.5,1,1]"]
    assert main(words_of(place, tmp_path / "run", *words)) == 0
    assert main(["export", str(tmp_path / "run"), f"out={tmp_path / 'mine.safetensors'}"]) == 0
    checkpoint = load_checkpoint(tmp_path / "mine.safetensors")
    assert checkpoint.config["encoder"]["architecture"] == "compact"
    assert checkpoint.config["plan"]["normalisation"] == "robust_rank"
    image, _ = volume()
    found = load_proposer(tmp_path / "mine.safetensors", device="cpu").propose(image, spacing_mm=SPACING_MM)
    assert found.shape == image.shape


def test_the_decoder_alone_is_exported_for_a_known_encoder(run, place, tmp_path):
    out = tmp_path / "adapter.safetensors"
    assert main(["export", str(run), f"out={out}", "form=adapter"]) == 0
    held = load_checkpoint(out)
    assert held.adapter["base_architecture"] == "sam" and not any("image_encoder" in name for name in held.weights)
    merged = open_model(str(out)).checkpoint
    assert any("image_encoder" in name for name in merged.weights)
    image, _ = volume()
    whole = load_proposer(place / "mine.safetensors", device="cpu") if (place / "mine.safetensors").exists() else None
    found = load_proposer(out, device="cpu").propose(image, spacing_mm=SPACING_MM)
    if whole is not None:
        assert (whole.propose(image, spacing_mm=SPACING_MM) != found).mean() < 0.02  # half precision


def test_the_plan_and_the_patch_follow_from_the_cases(place, tmp_path):
    base = [w for w in words_of(place, tmp_path / "run") if not w.startswith(("proposals.spacing", "proposals.patch"))]
    assert main([*base, "steps=1", "proposals.variants=1", "validate.every=0"]) == 0
    settings = json.loads((tmp_path / "run" / "model.json").read_text(encoding="utf-8"))
    assert settings["plan"]["axis"] == 2  # 2.5 mm against 1.0 and 1.2 mm
    slices, rows, columns = settings["plan"]["spacing_mm"]
    assert slices == 2.5 and rows == columns == pytest.approx(22 / 224, abs=1e-3)
    assert settings["patch"] == [14, 176, 176]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tune=full"], "the encoder of SAM-3D is frozen"),
        (["clicks.rounds=3"], "clicks.rounds=3 has no effect on SAM-3D"),
        (["loss.sdf=1"], "loss.sdf=1.0 has no effect on SAM-3D"),
        (["data.crop=64"], "data.crop=64 has no effect on SAM-3D"),
        (["data.augment=false"], "data.augment=False has no effect on SAM-3D"),
        (["validate.clicks=3"], "validate.clicks=3 has no effect on SAM-3D"),
        (["optim.kind=sgd", "optim.beta=0.9"], "optim.beta=0.9 has no effect with optim.kind=sgd"),
        (["optim.momentum=0.9"], "optim.momentum=0.9 has no effect with optim.kind=adamw"),
        (["proposals.mirror=X"], "proposals.mirror=X: expected letters of RAS"),
        (["proposals.spacing_mm=[1,2]"], "proposals.spacing_mm=[1.0, 2.0]: expected three numbers"),
        (["proposals.patch=[4,20,16]"], "proposals.patch=[4, 20, 16]: expected [slices,rows,columns] in multiples"),
        (["proposals.patch=[1,16,16]"], "a patch of [1, 16, 16] samples is one feature only"),
        (["proposals.backbone=nowhere.safetensors"], "no weights at nowhere.safetensors"),
        (["data.labels=[Front,Bak]"], "did you mean Back?"),
        (["data.labels=[Front+Back,Back]"], "Front+Back and Back share the label value 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line_and_exit_code_2(place, tmp_path, capsys, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    assert main(words_of(place, tmp_path / "run", *words)) == 2
    error = capsys.readouterr().err
    assert line in error and len([part for part in error.splitlines() if part.startswith("sam3dseg-train:")]) == 1


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Cases of the same images with structures of other names."""
    root = tmp_path_factory.mktemp("others")
    data = write_msd(root / "spleen", 3)
    description = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    description["labels"] = {"0": "background", "1": "Spleen", "2": "Liver"}
    (data / "dataset.json").write_text(json.dumps(description))
    cached(root, data)
    return root


def test_classes_of_another_data_set_are_named_with_the_model_s(model, run, others, tmp_path, capsys):
    fit = ["fit", f"data={others / 'cache'}", "data.folds=3", "steps=1", f"out={tmp_path / 'run'}"]
    for start in (f"model={model}", f"init={run}"):
        assert main([*fit, start, "proposals.variants=1"]) == 2
        error = capsys.readouterr().err
        assert "the model has the classes Front, Back, but" in error and "has Spleen, Liver: give cases" in error
    assert not (tmp_path / "run" / "features").exists()
    evaluate = ["evaluate", f"data={others / 'cache'}", "folds=3", f"model={model}", f"out={tmp_path / 'report'}"]
    assert main(evaluate) == 2
    assert "the model proposes Front, Back, but Spleen is to be segmented" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_settings_of_a_new_model_have_no_effect_on_one_that_is_trained_on(place, model, tmp_path, capsys):
    assert main(words_of(place, tmp_path / "run", f"model={model}")) == 2
    assert "has no effect on a model that is trained on, which has its own" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_another_plan(place, run, capsys):
    assert main(words_of(place, run, "proposals.axis=coronal", "steps=9")) == 2
    assert "began with plan" in capsys.readouterr().err


def test_a_model_that_proposes_is_no_backbone_and_takes_no_clicks(place, model, tmp_path, capsys):
    assert main(words_of(place, tmp_path / "run", f"proposals.backbone={model}")) == 2
    assert "is a SAM-3D model: expected one with clicks" in capsys.readouterr().err
    words = [f"data={place / 'cache'}", f"model={model}", f"out={tmp_path / 'report'}", "folds=3", "clicks=3"]
    assert main(["evaluate", *words]) == 2
    assert "clicks=3 has no effect on mine" in capsys.readouterr().err


def test_slices_of_one_row_are_refused_by_the_name_of_the_case(place, tmp_path, capsys):
    flat = tmp_path / "flat"
    data = write_msd(flat / "toy", 3)
    from training_cases import write

    image, labels = volume()
    for folder, array in (("imagesTr", image), ("labelsTr", labels)):
        write(data / folder / "case_001.nii.gz", np.ascontiguousarray(array[:, 6:7]))
    cached(flat, data)
    assert main(words_of(flat, tmp_path / "run", f"proposals.backbone={place / 'slices.safetensors'}")) == 2
    assert "toy/case_001: expected slices of at least 2 x 2 voxels" in capsys.readouterr().err
