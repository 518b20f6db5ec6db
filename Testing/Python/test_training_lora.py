"""Low-rank adapters: which layers get one, and what of the network trains with them."""

from __future__ import annotations

import pytest
import torch
from tiny_networks import SMALL_SAM, tiny_compact, tiny_sam, tiny_sam_med3d
from torch import nn

from sam3dseg.adapters import applied
from sam3dseg.models import build
from sam3dseg_training.configs.fit import LoraConfig
from sam3dseg_training.tuning.lora import READ_AS_MATRIX, add_adapters, chosen_layers, plain_tensors


def test_an_adapted_linear_and_convolution_follow_the_formula():
    torch.manual_seed(0)
    network = nn.ModuleDict(
        {"dense": nn.Linear(6, 5), "conv": nn.Conv3d(4, 3, 3, padding=1), "flat": nn.Conv2d(4, 3, 3, padding=1)}
    )
    before = {name: layer.weight.detach().clone() for name, layer in network.items()}
    add_adapters(network, LoraConfig(rank=2, alpha=3.0, targets=["dense", "conv", "flat"]))
    state = plain_tensors(network.state_dict())
    for name in network:
        state[f"{name}.lora_B.weight"].normal_()
        change = torch.einsum("or...,ri...->oi...", state[f"{name}.lora_B.weight"], state[f"{name}.lora_A.weight"])
        weight, bias = before[name] + 3.0 / 2 * change, state[f"{name}.bias"]
        x, function, how = {
            "dense": (torch.randn(2, 6), nn.functional.linear, ()),
            "conv": (torch.randn(2, 4, 5, 5, 5), nn.functional.conv3d, (1, 1)),
            "flat": (torch.randn(2, 4, 5, 5), nn.functional.conv2d, (1, 1)),
        }[name]
        expected = function(x, weight, bias, *how)
        torch.testing.assert_close(network[name](x), expected, atol=1e-5, rtol=1e-5)


def test_fresh_adapters_change_nothing():
    network, x = tiny_compact().eval(), torch.randn(1, 2, 32, 32, 32)
    before = network.encode_image(x)["features"][0]
    add_adapters(network, LoraConfig(rank=2))
    torch.testing.assert_close(network.encode_image(x)["features"][0], before, atol=1e-6, rtol=1e-5)


def test_without_targets_an_adapter_goes_where_it_is_much_smaller_than_its_layer():
    with torch.device("meta"):
        compact = chosen_layers(build("compact"), LoraConfig())
        vit = chosen_layers(build("sam_med3d_vit_b_ori"), LoraConfig())
    assert {"image_encoder.stages.3.1.conv2", "mask_decoder.blocks.0.conv1"} <= set(compact)
    assert {"mask_decoder.head", "mask_decoder.shortcut", "image_encoder.stem"}.isdisjoint(compact)
    blocks = {f"image_encoder.blocks.{n}.{layer}" for n in range(12) for layer in ("attn.qkv", "attn.proj", "mlp.lin1")}
    assert blocks | {"mask_decoder.transformer.layers.0.self_attn.q_proj", "image_encoder.neck.2"} <= set(vit)
    assert set(READ_AS_MATRIX).isdisjoint(vit)


def test_targets_are_last_parts_of_names():
    network = tiny_sam_med3d()
    names = chosen_layers(network, LoraConfig(targets=["attn.qkv", "lin1"]))
    assert len(names) == 2 * 2 + 2  # two blocks, and the two MLPs of the decoder
    assert chosen_layers(network, LoraConfig(targets=["proj"])) == [
        f"image_encoder.blocks.{n}.attn.proj" for n in (0, 1)
    ]


@pytest.mark.parametrize("target", ["kv", "norm1", "patch_embed.proj", "nowhere"])
def test_a_target_that_names_no_layer_is_refused_with_those_there_are(target):
    with pytest.raises(ValueError, match=f"ends in '{target}'; expected .* q_proj, qkv"):
        chosen_layers(tiny_sam_med3d(), LoraConfig(targets=[target]))


@pytest.mark.parametrize("norms", [True, False])
def test_norms_and_biases_train_only_when_asked(norms):
    network = tiny_compact()
    add_adapters(network, LoraConfig(rank=2, norms=norms))
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert ("mask_decoder.last_norm.weight" in trained) == norms
    assert ("image_encoder.stem.base_layer.bias" in trained) == norms
    assert "image_encoder.stem.base_layer.weight" not in trained
    assert norms or all(".lora_" in name for name in trained)


def test_merged_adapters_of_a_slice_model_answer_like_the_adapted_network():
    network, x = tiny_sam().eval(), torch.rand(1, 3, 64, 64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = network.encode_image(x)
    add_adapters(network, LoraConfig(rank=2, alpha=4.0))
    names = [name for name, _ in network.named_parameters() if ".lora_B." in name]
    assert any(".attn.qkv." in name for name in names) and any(".neck.2." in name for name in names)
    torch.testing.assert_close(network.encode_image(x), plain, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if ".lora_B." in name:
                value.normal_(std=0.1)
    trained = {name: value.detach() for name, value in network.named_parameters() if value.requires_grad}
    whole = build("sam", **SMALL_SAM).eval()
    whole.load_state_dict(applied(before, plain_tensors(trained), scale=2.0, name="test"))
    with torch.no_grad():
        torch.testing.assert_close(whole.encode_image(x), network.encode_image(x), atol=1e-4, rtol=1e-4)
        assert (whole.encode_image(x) - plain).abs().max() > 0.01


def test_what_stays_as_it_is_gets_no_adapter():
    network = tiny_sam()
    add_adapters(network, LoraConfig(rank=2), frozen=("prompt_encoder.", "image_encoder."))
    adapted = {name.partition(".")[0] for name, _ in network.named_parameters() if ".lora_" in name}
    assert adapted == {"mask_decoder"}
    with pytest.raises(ValueError, match=r"lora.targets=\['qkv'\] names nothing but what stays as it is: image_enc"):
        add_adapters(tiny_sam(), LoraConfig(targets=["qkv"]), frozen=("image_encoder.",))
