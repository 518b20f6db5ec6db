"""Runs as files: adapters that answer like the network that was trained, whole models, and their cards."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_networks import COMPACT, ball_batch, tiny_compact
from torch import nn

from sam3dseg import Click, Session, load_segmenter
from sam3dseg.checkpoint import build_network, load_checkpoint, save_checkpoint
from sam3dseg.segmenter import load_weights
from sam3dseg_training.cli import main
from sam3dseg_training.click_training import ClickObjective
from sam3dseg_training.configs.export import ExportConfig
from sam3dseg_training.configs.fit import DataConfig, FitConfig, LoraConfig
from sam3dseg_training.configs.resolve import save
from sam3dseg_training.configs.synthetic import SyntheticConfig
from sam3dseg_training.run_state import frozen_checksum, write_state
from sam3dseg_training.tuning.export import export
from sam3dseg_training.tuning.new_models import base_checkpoint
from sam3dseg_training.tuning.parts import prepare_network
from sam3dseg_training.tuning.runs import read_run, starting_checkpoint, trained_checkpoint

DATA = {"dataset": "Balls", "training": ["a", "b"], "validation": ["c"], "labels": ["ball"], "licence": "CC0-1.0"}


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.safetensors"
    weights = tiny_compact().state_dict()
    save_checkpoint(path, architecture="compact", config=COMPACT, weights=weights, provenance={})
    return path


def run_of(folder, model, *, tune="lora", step=3, **settings):
    """A run folder as a training leaves it, and its network; the weights are trained a little."""
    rank = LoraConfig(rank=2, alpha=6.0)
    settings = {"data": DataConfig(path="cache"), **settings}
    config = FitConfig(out=str(folder), model=str(model), tune=tune, lora=rank, **settings)
    torch.manual_seed(1)
    network = build_network(starting_checkpoint(config))
    groups = prepare_network(network, tune, config.lora)
    objective = ClickObjective(network, clicks=config.clicks, loss=config.loss, seed=0)
    optimiser = torch.optim.AdamW([value for group in groups.values() for value in group], lr=0.02)
    for draw in range(step):
        optimiser.zero_grad()
        objective(ball_batch(), [0, 1], draw=draw)[0].backward()
        optimiser.step()
    trained = {name: value.detach().clone() for name, value in network.named_parameters() if value.requires_grad}
    folder.mkdir()
    save(config, folder)
    state = {"average": trained, "step": step, "seconds": 90.0}
    write_state(folder / "best.pt", state)
    frozen = frozen_checksum(nn.ModuleDict({"network": network}))
    write_state(folder / "last.pt", {**state, "frozen": frozen, "step": step + 1})
    (folder / "data.json").write_text(json.dumps(DATA))
    rows = ["step,minutes,loss,val_loss,val_dice_1", "1,1,0.9,,", "2,,,0.5,0.4", "3,,,0.2,0.7", "4,,,0.3,0.6"]
    (folder / "curve.csv").write_text("\n".join(rows) + "\n")
    return network.eval()


def answer(network, batch):
    points, labels = torch.full((len(batch["image"]), 1, 3), 15.5), torch.ones(len(batch["image"]), 1)
    with torch.no_grad():
        sparse, dense = network.encode_prompts(points, labels, None, grid=(16, 16, 16))
        return network.decode_masks(network.encode_image(batch["image"]), sparse, dense)


def header(path):
    with safe_open(path, framework="pt") as archive:
        return archive.metadata()


def test_the_adapter_answers_like_the_trained_network(tmp_path, base):
    trained = run_of(tmp_path / "run", base)
    out = export(ExportConfig(runs=[str(tmp_path / "run")], out=str(tmp_path / "mine.safetensors")))
    assert load_checkpoint(out).adapter["base"] == str(base)
    loaded = load_segmenter(out, device="cpu", precision="float32")._placed.network
    assert not any("lora" in name for name, _ in loaded.named_modules())
    batch = ball_batch()
    for found, expected in zip(answer(loaded, batch), answer(trained, batch), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    untrained = answer(build_network(load_checkpoint(base)), batch)[0]
    assert (untrained - answer(trained, batch)[0]).abs().max() > 0.1


def test_merged_weights_answer_like_the_trained_network_in_half_precision(tmp_path, base):
    trained = run_of(tmp_path / "run", base)
    out = tmp_path / "mine.safetensors"
    assert main(["export", str(tmp_path / "run"), f"out={out}", "form=merged"]) == 0
    base.unlink()
    assert not load_checkpoint(out).adapter
    found, expected = answer(build_network(load_weights(out)), ball_batch()), answer(trained, ball_batch())
    torch.testing.assert_close(found[0], expected[0], atol=0.05, rtol=0.01)


@pytest.mark.parametrize("tune", ["full", "decoder", "encoder"])
def test_other_runs_become_models_of_their_own_unless_an_adapter_is_asked_for(tmp_path, base, tune):
    trained = run_of(tmp_path / "run", base, tune=tune)
    whole, part = tmp_path / "whole.safetensors", tmp_path / "part.safetensors"
    export(ExportConfig(runs=[str(tmp_path / "run")], out=str(whole)))
    export(ExportConfig(runs=[str(tmp_path / "run")], out=str(part), form="adapter"))
    assert not load_checkpoint(whole).adapter and load_checkpoint(part).adapter["rank"] == 0
    found, expected = answer(build_network(load_weights(part)), ball_batch()), answer(trained, ball_batch())
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)


def test_the_card_says_what_is_known(tmp_path, base, caplog):
    run_of(tmp_path / "run", base)
    out = tmp_path / "mine.safetensors"
    caplog.set_level("INFO")
    export(ExportConfig(runs=[str(tmp_path / "run")], out=str(out), licence="CC-BY-4.0"))
    assert "an adapter of " in caplog.text
    card = json.loads(header(out)["provenance"])
    assert card["data"] == [DATA] and card["labels"] == ["ball"] and card["licence"] == "CC-BY-4.0"
    assert card["metrics"] == {"step": 3, "val_loss": 0.2, "val_dice_1": 0.7}
    assert card["steps"] == [3] and card["minutes"] == [1.5]
    assert card["command"].startswith("sam3dseg-train fit ") and "lora.rank=2" in card["command"]
    assert "&& sam3dseg-train export " in card["command"]
    assert len(card.get("commit", "0" * 40)) == 40


def test_the_last_weights_are_exported_when_asked(tmp_path, base):
    run_of(tmp_path / "run", base)
    out = tmp_path / "mine.safetensors"
    export(ExportConfig(runs=[str(tmp_path / "run")], out=str(out), which="last"))
    card = json.loads(header(out)["provenance"])
    assert card["steps"] == [4] and card["metrics"] == {"step": 4, "val_loss": 0.3, "val_dice_1": 0.6}


def test_runs_are_credited_in_their_order(tmp_path):
    torch.manual_seed(0)
    weights = {
        name: value.clone() for name, value in build_network(base_checkpoint("new:compact", 0)).named_parameters()
    }
    for name, steps, maps in (("narrow", 7, "maps"), ("wide", 9, "")):
        folder = tmp_path / name
        folder.mkdir()
        write_state(folder / "last.pt", {"average": weights, "step": steps, "seconds": 60.0 * steps})
        save(SyntheticConfig(out=str(folder), label_maps=maps), folder)
    out = tmp_path / "embedded.safetensors"
    assert main(["export", str(tmp_path / "narrow"), str(tmp_path / "wide"), "-o", str(out)]) == 0
    card = json.loads(header(out)["provenance"])
    assert card["steps"] == [7, 9] and card["minutes"] == [7.0, 9.0]
    assert [source["licence"] for source in card["data"]] == ["Apache-2.0", "Apache-2.0", "BSD-2-Clause"]
    assert "narrow" in card["command"].split("&&")[0] and "wide" in card["command"].split("&&")[1]
    assert {value.dtype for value in load_weights(out).weights.values()} == {torch.float32}
    assert out.stat().st_size < 16_000_000


def test_a_run_older_than_the_settings_is_a_compact_model(tmp_path):
    weights = build_network(base_checkpoint("new:compact", 0)).state_dict()
    torch.save({"network": weights, "average": weights, "step": 5, "seconds": 60.0}, tmp_path / "last.pt")
    out = tmp_path / "model.safetensors"
    command = ["export", str(tmp_path), "--out", str(out), "--recipe", "two words", "--synthetic-only"]
    assert main(command) == 0
    card = json.loads(header(out)["provenance"])
    assert card["command"] == "two words" and len(card["data"]) == 1
    assert load_segmenter(out, device="cpu").architecture == "compact"


def test_a_second_stage_starts_from_the_first_and_is_exported_whole(tmp_path, base):
    first = run_of(tmp_path / "first", base, tune="encoder")
    start = starting_checkpoint(FitConfig(out="x", model=str(base), init=str(tmp_path / "first")))
    assert all(torch.equal(start.weights[name], value) for name, value in first.state_dict().items())
    second = run_of(tmp_path / "second", base, init=str(tmp_path / "first"))
    out = tmp_path / "mine.safetensors"
    export(ExportConfig(runs=[str(tmp_path / "first"), str(tmp_path / "second")], out=str(out)))
    assert not load_checkpoint(out).adapter
    card = json.loads(header(out)["provenance"])
    assert card["data"] == [DATA] and len(card["steps"]) == 2
    found, expected = trained_checkpoint(read_run(tmp_path / "second")), answer(second, ball_batch())
    torch.testing.assert_close(answer(build_network(found), ball_batch())[0], expected[0], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="cannot become an adapter: it started from the run"):
        export(ExportConfig(runs=[str(tmp_path / "second")], out=str(out), form="adapter"))


def test_random_weights_follow_from_the_seed():
    one, same, other = (base_checkpoint("new:compact", seed).weights for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["image_encoder.stem.weight"], other["image_encoder.stem.weight"])


def test_a_base_that_changed_since_is_refused(tmp_path, base):
    run_of(tmp_path / "run", base)
    weights = tiny_compact(seed=9).state_dict()
    save_checkpoint(base, architecture="compact", config=COMPACT, weights=weights, provenance={})
    out = tmp_path / "mine.safetensors"
    with pytest.raises(ValueError, match="was trained on other weights than model=.* has now"):
        export(ExportConfig(runs=[str(tmp_path / "run")], out=str(out)))
    assert not out.exists()


def test_an_adapter_of_an_adapter_becomes_a_model(tmp_path, base):
    run_of(tmp_path / "run", base)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    export(ExportConfig(runs=[str(tmp_path / "run")], out=str(first)))
    run_of(tmp_path / "again", first)
    export(ExportConfig(runs=[str(tmp_path / "again")], out=str(second)))
    assert not load_checkpoint(second).adapter


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["export", "nowhere", "-o", "m.safetensors"], "expected a training state at"),
        (["export", "run", "-o", "m.pth"], "expected a name ending in .safetensors"),
        (["export", "run", "-o", "no/m.safetensors"], "the folder no does not exist"),
        (["export", "run", "-o", "m.safetensors", "form=both"], "form must be one of auto, adapter, merged"),
    ],
)
def test_bad_input_is_one_line(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_default_adapter_of_the_embedded_model_is_small(tmp_path):
    network = build_network(base_checkpoint("embedded", 0))
    prepare_network(network, "lora", LoraConfig())
    trained = {name: torch.randn_like(value) for name, value in network.named_parameters() if value.requires_grad}
    folder = tmp_path / "run"
    folder.mkdir()
    save(FitConfig(out=str(folder), data=DataConfig(path="cache")), folder)
    write_state(folder / "last.pt", {"average": trained, "step": 1, "seconds": 1.0})
    out = tmp_path / "mine.safetensors"
    export(ExportConfig(runs=[str(folder)], out=str(out)))
    assert out.stat().st_size <= 3_000_000
    assert load_checkpoint(out).adapter["base"] == "embedded"
    before = load_weights("embedded").weights
    after = load_weights(out).weights
    assert np.mean([not torch.equal(after[name], before[name]) for name in before]) > 0.9
    assert after.keys() == before.keys()


@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_clicks_use_the_window_size_of_the_training(tmp_path, base, form):
    run_of(tmp_path / "run", base, data=DataConfig(path="cache", crop=32))
    out = export(ExportConfig(runs=[str(tmp_path / "run")], out=str(tmp_path / "mine.safetensors"), form=form))
    segmenter = load_segmenter(out, device="cpu")
    assert (segmenter.window_size, segmenter.logits_size) == (32, 16)
    image = np.zeros((40, 30, 20), np.int16)
    image[10:30, 8:22, 5:15] = 300
    session = Session(segmenter)
    session.set_image(image, spacing_mm=(1.0, 1.0, 1.0))
    assert session.add(Click((20, 15, 10))).shape == image.shape
    assert load_segmenter(base, device="cpu").window_size == 128
