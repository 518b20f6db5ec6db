"""Adapter files: merged into their base without PEFT, and refused where they do not fit."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors import safe_open  # noqa: E402
from tiny_networks import COMPACT, tiny_compact  # noqa: E402

import sam3dseg.segmenter as segmenter_module  # noqa: E402
from sam3dseg import load_segmenter  # noqa: E402
from sam3dseg.adapters import digest_of, save_adapter  # noqa: E402
from sam3dseg.checkpoint import build_network, load_checkpoint, save_checkpoint  # noqa: E402
from sam3dseg.segmenter import load_weights  # noqa: E402
from SAM3DSegmentLib.Models.WeightsFile import inspectWeights  # noqa: E402

CARD = {"licence": "CC-BY-4.0", "labels": ["ball"]}


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.safetensors"
    weights = tiny_compact().state_dict()
    save_checkpoint(path, architecture="compact", config=COMPACT, weights=weights, provenance={})
    return path


def factors(layer="image_encoder.stem", rank=2):
    """The two factors of a change to a layer of the tiny network (8, 16, 3, 3, 3), and a new norm."""
    torch.manual_seed(1)
    return {
        f"{layer}.lora_A.weight": torch.randn(rank, 16, 3, 3, 3),
        f"{layer}.lora_B.weight": torch.randn(8, rank, 1, 1, 1),
        "mask_decoder.last_norm.weight": torch.full((8,), 2.0),
    }


def save(path, base, **changes):
    settings = {"base_name": str(base), "tensors": factors(), "rank": 2, "alpha": 6.0, "provenance": CARD}
    save_adapter(path, base=load_checkpoint(base), **{**settings, **changes})
    return path


def refuse(path, match):
    with pytest.raises(ValueError, match=match) as caught:
        load_segmenter(path, device="cpu")
    assert "\n" not in str(caught.value)


def test_the_merged_weights_follow_the_formula(tmp_path, base):
    path = save(tmp_path / "mine.safetensors", base)
    before, after = load_checkpoint(base).weights, load_weights(path)
    a, b, norm = factors().values()
    change = torch.einsum("or,ri...->oi...", b.flatten(1), a)
    torch.testing.assert_close(
        after.weights["image_encoder.stem.weight"], before["image_encoder.stem.weight"] + 3 * change
    )
    assert torch.equal(after.weights["mask_decoder.last_norm.weight"], norm)
    same = set(before) - {"image_encoder.stem.weight", "mask_decoder.last_norm.weight"}
    assert all(torch.equal(after.weights[name], before[name]) for name in same)
    assert (after.config, after.provenance, after.adapter) == (COMPACT, CARD, {})


@pytest.mark.parametrize(
    ("layer", "out", "kernel"), [("mask_decoder.iou_head.0", 64, ()), ("image_encoder.lateral.0", 8, (1,) * 3)]
)
def test_linear_and_pointwise_layers(tmp_path, base, layer, out, kernel):
    width = load_checkpoint(base).weights[f"{layer}.weight"].shape[1]
    tensors = {
        f"{layer}.lora_A.weight": torch.randn(2, width, *kernel),
        f"{layer}.lora_B.weight": torch.randn(out, 2, *kernel),
    }
    path = save(tmp_path / "mine.safetensors", base, tensors=tensors)
    change = load_weights(path).weights[f"{layer}.weight"] - load_checkpoint(base).weights[f"{layer}.weight"]
    a, b = tensors.values()
    torch.testing.assert_close(change.flatten(1), 3 * b.flatten(1) @ a.flatten(1), atol=1e-5, rtol=1e-4)


def test_it_loads_as_a_model_named_by_its_file(tmp_path, base):
    path = save(tmp_path / "mine.safetensors", base)
    loaded = load_segmenter(path, device="cpu")
    assert (loaded.name, loaded.architecture, loaded.window_size) == ("mine", "compact", 128)
    image = np.random.default_rng(0).normal(size=(2, 128, 128, 128)).astype(np.float32)
    click = np.array([[64.0, 64, 64]]), np.array([1])
    there = loaded.decode(loaded.encode(image), *click, None).logits
    plain = load_segmenter(base, device="cpu")
    assert np.abs(there - plain.decode(plain.encode(image), *click, None).logits).max() > 0.01


def test_no_peft_is_needed(tmp_path, base):
    path = save(tmp_path / "mine.safetensors", base)
    lines = ("import sys; sys.modules['peft'] = None", "from sam3dseg.segmenter import load_weights", "")
    program = "\n".join(lines) + f"load_weights({str(path)!r})"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_the_header_says_what_the_file_is(tmp_path, base):
    path = save(tmp_path / "mine.safetensors", base)
    with safe_open(path, framework="pt") as archive:
        header = archive.metadata()
    assert header["architecture"] == "compact" and json.loads(header["config"]) == COMPACT
    digest = digest_of(load_checkpoint(base).weights)
    assert json.loads(header["adapter"]) == {"base": str(base), "base_sha256": digest, "rank": 2, "alpha": 6.0}
    seen = inspectWeights(path)
    assert (seen.architecture, seen.isAdapter, seen.licence) == ("compact", True, "CC-BY-4.0")


def test_an_adapter_of_whole_tensors_alone_is_one_too(tmp_path, base):
    tensors = {"mask_decoder.last_norm.weight": torch.full((8,), 2.0)}
    path = save(tmp_path / "mine.safetensors", base, tensors=tensors, rank=0, alpha=0.0)
    assert inspectWeights(path).isAdapter
    assert torch.equal(load_weights(path).weights["mask_decoder.last_norm.weight"], torch.full((8,), 2.0))


def test_the_digest_is_of_the_weights_not_of_the_file(tmp_path, base):
    checkpoint = load_checkpoint(base)
    other = tmp_path / "other.pth"
    torch.save({"model_state_dict": checkpoint.weights}, other)
    assert digest_of(load_checkpoint(other).weights) == digest_of(checkpoint.weights)
    name = next(iter(checkpoint.weights))
    changed = {**checkpoint.weights, name: checkpoint.weights[name] + 1e-3}
    assert digest_of(changed) != digest_of(checkpoint.weights)


def test_the_embedded_model_is_found_by_its_name(tmp_path, base, monkeypatch):
    path = save(tmp_path / "mine.safetensors", base, base_name="embedded")
    folder = tmp_path / "weights"
    folder.mkdir()
    base.rename(folder / base.name)
    monkeypatch.setattr(segmenter_module, "WEIGHTS_FOLDER", folder)
    assert load_segmenter(path, device="cpu").name == "mine"


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_a_base_that_moved_is_found_beside_the_adapter(tmp_path, base, separator):
    path = save(tmp_path / "mine.safetensors", base, base_name=separator.join(["", "elsewhere", base.name]))
    assert load_weights(path).architecture == "compact"


def test_a_missing_base_is_named(tmp_path, base, monkeypatch):
    path = save(tmp_path / "mine.safetensors", base)
    base.unlink()
    refuse(path, r"mine.safetensors is an adapter of .*base.safetensors', which cannot be loaded: no weights at")


def test_a_base_of_the_catalogue_that_is_not_installed_says_how(tmp_path, base, monkeypatch):
    monkeypatch.setenv("SAM3DSEG_MODELS", str(tmp_path / "models"))
    path = save(tmp_path / "mine.safetensors", base, base_name="sam-med3d-turbo")
    refuse(
        path, "adapter of 'sam-med3d-turbo', which cannot be loaded: .* run `sam3dseg models download sam-med3d-turbo`"
    )


def test_another_base_is_refused(tmp_path, base):
    path = save(tmp_path / "mine.safetensors", base)
    weights = tiny_compact(seed=3).state_dict()
    save_checkpoint(base, architecture="compact", config=COMPACT, weights=weights, provenance={})
    refuse(path, "mine.safetensors was trained on other weights than .* has here: expected sha256 .*, received")


def test_a_base_of_another_architecture_is_refused(tmp_path, base):
    path = save(tmp_path / "mine.safetensors", base)
    weights = {"anything": torch.zeros(1)}
    save_checkpoint(base, architecture="sam_med3d_vit_b_ori", config={}, weights=weights, provenance={})
    refuse(path, "adapts a model of architecture 'compact': received 'sam_med3d_vit_b_ori'")


def test_an_adapter_is_no_base(tmp_path, base):
    first = save(tmp_path / "first.safetensors", base)
    content = load_checkpoint(first)
    path = tmp_path / "second.safetensors"
    header = {**content.adapter, "base": str(first)}
    weights = content.weights
    save_checkpoint(path, architecture="compact", config=COMPACT, weights=weights, provenance={}, adapter=header)
    refuse(path, "expected a whole model as base, received another adapter")
    with pytest.raises(ValueError, match="are an adapter of .* expected a whole model"):
        build_network(content)


@pytest.mark.parametrize("kept", [10, 0.3, 0.99])
def test_a_cut_file_is_refused(tmp_path, base, kept):
    path = save(tmp_path / "mine.safetensors", base)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    refuse(path, "mine.safetensors is damaged, incomplete or no weights file")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"rank": 4}, "says rank 4, but image_encoder.stem.lora_A.weight has 2"),
        ({"rank": "two"}, "has no readable rank and alpha"),
        (
            {"tensors": factors("image_encoder.nowhere")},
            "image_encoder.nowhere.weight of shape .* meets no such tensor",
        ),
        ({"tensors": {"mask_decoder.head.bias": torch.zeros(3)}}, r"of shape \(3,\) meets shape \(4,\)"),
        ({"tensors": {k: v for k, v in factors().items() if "lora_B" not in k}}, "is incomplete: it has .*lora_A"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_before_and_after_writing(tmp_path, base, changes, match):
    path = tmp_path / "mine.safetensors"
    with pytest.raises(ValueError, match=match):
        save(path, base, **changes)
    assert not path.exists()
    right = load_checkpoint(save(path, base))
    wrong = dataclasses.replace(right, weights=changes.get("tensors", right.weights))
    header = {**right.adapter, **{key: value for key, value in changes.items() if key == "rank"}}
    weights = wrong.weights
    save_checkpoint(path, architecture="compact", config=COMPACT, weights=weights, provenance={}, adapter=header)
    refuse(path, match)
