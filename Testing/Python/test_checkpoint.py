"""Weights on disk: round trip, what is accepted from others, and what is refused."""

from __future__ import annotations

import argparse
import json
import logging
import os
import pickle

import pytest

torch = pytest.importorskip("torch")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from sam3dseg.checkpoint import (  # noqa: E402
    Checkpoint,
    build_network,
    load_checkpoint,
    require_family,
    save_checkpoint,
)
from sam3dseg.families import CLICKS_2D, CLICKS_3D  # noqa: E402
from sam3dseg.models import build  # noqa: E402

SMALL = {
    "encoder_widths": [8, 8, 8, 8],
    "encoder_depths": [1, 1, 1, 1],
    "decoder_widths": [8, 8, 8, 8],
    "match_width": 4,
}


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return build("compact", **SMALL).state_dict()


@pytest.fixture
def saved(tmp_path, weights):
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, architecture="compact", config=SMALL, weights=weights, provenance={"seed": 7})
    return path


def weights_of(architecture, **config):
    """All keys and shapes, each backed by one stored number, so that the file stays small."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in build(architecture, **config).state_dict().items()}
    return {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}


def sam_med3d_weights(**config):
    return weights_of("sam_med3d_vit_b_ori", **config)


def refuse(path, match):
    with pytest.raises(ValueError, match=match) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 450


def test_round_trip(saved, weights):
    checkpoint = load_checkpoint(saved)
    assert (checkpoint.architecture, checkpoint.config, checkpoint.provenance) == ("compact", SMALL, {"seed": 7})
    network = build_network(checkpoint)
    assert not network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name])


def test_header_is_readable_by_any_safetensors_reader(saved):
    with safe_open(saved, framework="pt") as archive:
        metadata = archive.metadata()
    assert metadata["architecture"] == "compact"
    assert json.loads(metadata["provenance"]) == {"seed": 7}


def test_half_precision_is_stored_as_such_and_loaded_as_float32(tmp_path, saved, weights):
    path = tmp_path / "half.safetensors"
    halves = {name: value.half() for name, value in weights.items()}
    save_checkpoint(path, architecture="compact", config=SMALL, weights=halves, provenance={})
    assert path.stat().st_size < 0.7 * saved.stat().st_size
    assert {value.dtype for value in load_checkpoint(path).weights.values()} == {torch.float32}


def test_a_header_length_that_begins_like_a_pickle(tmp_path, weights):
    path = tmp_path / "small.safetensors"
    for padding in range(0, 257, 8):
        provenance = {"note": "x" * padding}
        save_checkpoint(path, architecture="compact", config=SMALL, weights=weights, provenance=provenance)
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert load_checkpoint(path).provenance == provenance


def test_interrupted_save_keeps_the_old_file(saved, weights, monkeypatch):
    before = saved.read_bytes()

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="cannot write .*no space left"):
        save_checkpoint(saved, architecture="compact", config={}, weights=weights, provenance={})
    assert saved.read_bytes() == before
    assert [entry.name for entry in saved.parent.iterdir()] == [saved.name]


def test_released_form_with_namespace(tmp_path):
    path = tmp_path / "sam_med3d_turbo.pth"
    args = argparse.Namespace(lr=8e-4, task_name="ft2r", device_ids=[0, 1])
    torch.save({"epoch": 3, "model_state_dict": sam_med3d_weights(), "args": args}, path)
    checkpoint = load_checkpoint(path)
    assert (checkpoint.architecture, checkpoint.config) == ("sam_med3d_vit_b_ori", {})
    assert len(build_network(checkpoint).state_dict()) == 324


def test_challenge_variant_has_two_more_point_embeddings(tmp_path):
    path = tmp_path / "challenge.pth"
    torch.save({f"module.{name}": value for name, value in sam_med3d_weights(point_kinds=4).items()}, path)
    checkpoint = load_checkpoint(path)
    assert checkpoint.config == {"point_kinds": 4}
    assert "prompt_encoder.point_embeddings.3.weight" in build_network(checkpoint).state_dict()


def test_plain_safetensors_are_recognised_by_their_keys(tmp_path):
    path = tmp_path / "plain.safetensors"
    save_file({"mask_decoder.matchers.0.embed.weight": torch.zeros(1)}, path)
    assert load_checkpoint(path).architecture == "compact"


@pytest.mark.parametrize(
    ("name", "variant", "preprocessing"),
    [
        ("sam_vit_b_01ec64.pth", "vit_b", "sam"),
        ("MedSAM_vit_b.pth", "vit_b", "medsam"),
        ("sam_vit_l_0b3195.pth", "vit_l", "sam"),
        ("sam_vit_h_4b8939.pth", "vit_h", "sam"),
    ],
)
def test_released_files_of_sam_and_medsam(tmp_path, caplog, name, variant, preprocessing):
    torch.save(weights_of("sam", variant=variant), tmp_path / name)
    with caplog.at_level(logging.INFO):
        checkpoint = load_checkpoint(tmp_path / name)
    assert checkpoint.architecture == "sam"
    assert checkpoint.config == {"variant": variant, "preprocessing": preprocessing}
    assert f"{name}: SAM with the preprocessing of {preprocessing}" in caplog.text
    build_network(checkpoint)


def test_a_model_of_another_family_is_named_with_its_command():
    require_family("sam", "sam-vit-b", CLICKS_3D, CLICKS_2D)
    require_family(Checkpoint("compact", {}), "embedded", CLICKS_3D)
    words = r"sam-vit-b is a model for clicks in slices \('sam'\): expected one for clicks in 3D"
    with pytest.raises(ValueError, match=words):
        require_family("sam", "sam-vit-b", CLICKS_3D)
    with pytest.raises(ValueError, match="mine is a model for clicks in 3D .* expected one for clicks in slices"):
        require_family(Checkpoint("compact", {}), "mine", CLICKS_2D)
    with pytest.raises(ValueError, match="for proposals .* clicks in 3D or clicks in slices; .*sam3dseg propose"):
        require_family("sam_3d", "mine", CLICKS_3D, CLICKS_2D)
    with pytest.raises(ValueError, match="mine is of architecture 'unet': expected one of"):
        require_family("unet", "mine", CLICKS_2D)


class RunsCode:
    """Pickles into a call of os.system."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("name", ["evil.pth", "evil.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_that_would_run_code(tmp_path, name, zipped):
    witness = tmp_path / "witness"
    path = tmp_path / name
    content = {"model_state_dict": sam_med3d_weights(), "args": RunsCode(f"touch {witness}")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    refuse(path, r"was refused: .* asks for \w+\.system")
    assert not witness.exists()


def test_bare_pickle_is_refused(tmp_path):
    path = tmp_path / "bare.pth"
    path.write_bytes(pickle.dumps(RunsCode(f"touch {tmp_path / 'witness'}"), protocol=2))
    with pytest.raises(ValueError, match=r"bare\.pth"):
        load_checkpoint(path)
    assert not (tmp_path / "witness").exists()


def test_namespace_may_not_smuggle_other_classes(tmp_path):
    path = tmp_path / "smuggled.pth"
    torch.save({"model_state_dict": sam_med3d_weights(), "args": argparse.Namespace(out=tmp_path)}, path)
    refuse(path, r"was refused: .*pathlib")


@pytest.mark.parametrize("kept", [0, 3, 100, 0.5, 0.99])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_truncated_file(tmp_path, saved, weights, suffix, kept):
    source = saved
    if suffix == "pth":
        source = tmp_path / "whole.pth"
        torch.save({"model_state_dict": weights}, source)
    content = source.read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    refuse(path, f"cut.{suffix} is damaged, incomplete or no weights file")


def test_flipped_bit_fails_the_checksum(saved):
    content = bytearray(saved.read_bytes())
    content[-10] ^= 1
    saved.write_bytes(content)
    refuse(saved, "do not match their checksum")


def test_text_and_folder_and_nothing(tmp_path):
    text = tmp_path / "page.safetensors"
    text.write_text("<html>404</html>" * 20)
    refuse(text, "damaged, incomplete or no weights file")
    refuse(tmp_path, "no weights at")
    refuse(tmp_path / "absent.pth", "no weights at .*absent.pth")


def test_other_architectures_are_named(tmp_path):
    path = tmp_path / "sam_of_16_pixels.pth"
    torch.save({"image_encoder.patch_embed.proj.weight": torch.zeros(1).expand(384, 3, 16, 16)}, path)
    refuse(path, "sam_of_16_pixels.pth holds 1 unknown tensors: expected SAM-Med3D .* SAM ViT-B, -L or -H")
    torch.save({"fc.weight": torch.zeros(3), "fc.bias": torch.zeros(3)}, path)
    refuse(path, "holds 2 unknown tensors")
    torch.save([torch.zeros(3)], path)
    refuse(path, "holds a list")


def test_metadata_that_is_no_json(tmp_path):
    path = tmp_path / "odd.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"architecture": "compact", "config": "[1"})
    refuse(path, "its config is not JSON")
    save_file({"a": torch.zeros(1)}, path, {"architecture": "compact", "config": "[1]"})
    refuse(path, "its config is not a JSON object")


def test_weights_that_do_not_fit(weights):
    weights = dict(weights)
    name = next(iter(weights))
    wrong = {**weights, name: torch.zeros(2), "extra.weight": torch.zeros(1)}
    del wrong[list(weights)[-1]]
    with pytest.raises(ValueError, match=r"1 missing .* 1 unknown \(extra.weight\); 1 of another shape"):
        build_network(Checkpoint("compact", wrong, SMALL))
    with pytest.raises(ValueError, match="unknown architecture 'other'"):
        build_network(Checkpoint("other", weights))
