"""SAM-3D files that name their encoder instead of holding it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from proposal_networks import CLASSES, SMALL, tiny_checkpoint, volume
from safetensors import safe_open

from sam3dseg.adapters import save_adapter, save_decoder
from sam3dseg.checkpoint import Checkpoint, build_network, load_checkpoint, save_checkpoint
from sam3dseg.models import build
from sam3dseg.proposals.proposer import load_proposer, proposer_of
from sam3dseg.segmenter import load_weights


@pytest.fixture
def base(tmp_path):
    """A SAM model on disk with the encoder of the tiny SAM-3D model."""
    config = {name: value for name, value in SMALL.items() if name != "architecture"}
    torch.manual_seed(5)
    weights = build("sam", **config).state_dict()
    weights |= {n: v for n, v in tiny_checkpoint().weights.items() if n.startswith("image_encoder.")}
    path = tmp_path / "encoder.safetensors"
    save_checkpoint(path, architecture="sam", config=config, weights=weights, provenance={})
    return path


@pytest.fixture
def path(tmp_path, base):
    path = tmp_path / "mine.safetensors"
    whole = load_checkpoint(base)
    save_decoder(path, tiny_checkpoint(), base=whole, base_name=str(base), provenance={"labels": ["Anterior"]})
    return path


def test_the_file_holds_the_decoder_and_names_the_encoder(path, base):
    with safe_open(path, framework="pt") as archive:
        names, metadata = list(archive.keys()), archive.metadata()
    assert names and all(name.startswith("decoder.") for name in names)
    header = json.loads(metadata["adapter"])
    assert (header["base"], header["base_architecture"]) == (str(base), "sam")
    assert json.loads(metadata["config"])["classes"] == CLASSES
    assert path.stat().st_size < base.stat().st_size


def test_it_proposes_as_the_whole_model_does(path):
    expected = proposer_of(tiny_checkpoint(), name="whole", device="cpu").propose(volume(), spacing_mm=(1, 1, 1))
    found = load_proposer(path, device="cpu").propose(volume(), spacing_mm=(1, 1, 1))
    np.testing.assert_array_equal(found, expected)
    assert not any(name.startswith(("prompt_encoder", "mask_decoder")) for name in load_weights(path).weights)


def test_a_changed_encoder_cannot_be_left_out(tmp_path, base):
    model = tiny_checkpoint(seed=1)
    with pytest.raises(
        ValueError, match=r"expected a model with the encoder of 'sam-vit-b', received another one \(ima"
    ):
        save_decoder(
            tmp_path / "m.safetensors", model, base=load_checkpoint(base), base_name="sam-vit-b", provenance={}
        )
    assert not (tmp_path / "m.safetensors").exists()


def test_another_version_of_the_encoder_is_refused(path, base):
    whole = load_checkpoint(base)
    weights = {name: value + 1e-3 for name, value in whole.weights.items()}
    save_checkpoint(base, architecture="sam", config=whole.config, weights=weights, provenance={})
    with pytest.raises(ValueError, match="mine.safetensors was trained on other weights than"):
        load_proposer(path, device="cpu")


def test_a_base_of_another_architecture_is_refused(path, base):
    model = tiny_checkpoint()
    save_checkpoint(base, architecture="sam_3d", config=model.config, weights=model.weights, provenance={})
    with pytest.raises(ValueError, match="adapts a model of architecture 'sam': received 'sam_3d'"):
        load_proposer(path, device="cpu")


def test_a_missing_encoder_says_how_to_get_it(path, base, monkeypatch, tmp_path):
    base.unlink()
    with pytest.raises(ValueError, match=r"mine.safetensors is an adapter of .*encoder.safetensors.*cannot be loaded"):
        load_proposer(path, device="cpu")


def test_a_fine_tuned_decoder_is_an_adapter_of_its_sam_3d_model(tmp_path):
    model, whole, mine = tiny_checkpoint(), tmp_path / "whole.safetensors", tmp_path / "tuned.safetensors"
    save_checkpoint(whole, architecture="sam_3d", config=model.config, weights=model.weights, provenance={})
    tensors = {"decoder.heads.3.2.bias": torch.full((3,), 2.0)}
    save_adapter(
        mine, base=load_checkpoint(whole), base_name=str(whole), tensors=tensors, rank=0, alpha=0.0, provenance={}
    )
    loaded = load_weights(mine)
    assert loaded.architecture == "sam_3d"
    build_network(loaded)
    torch.testing.assert_close(loaded.weights["decoder.heads.3.2.bias"], torch.full((3,), 2.0))
    assert isinstance(loaded, Checkpoint)
