"""What `tune` trains, and that the rest stays as it is."""

from __future__ import annotations

import logging

import pytest
import torch
from tiny_networks import ball_batch, disk_batch, tiny_compact, tiny_sam, tiny_sam_med3d

from sam3dseg_training.click_training import ClickObjective
from sam3dseg_training.configs.clicks import ClickConfig
from sam3dseg_training.configs.fit import TUNES, LoraConfig
from sam3dseg_training.configs.losses import LossConfig
from sam3dseg_training.configs.slices import SliceConfig
from sam3dseg_training.slice_training import SliceObjective
from sam3dseg_training.tuning.parts import UNREAD, prepare_network

CASES = {
    "compact": (tiny_compact, {"size": 32}),
    "sam_med3d": (tiny_sam_med3d, {"size": 128, "stride": 4, "channels": 1}),
    "sam": (tiny_sam, {}),
}


def objective(name, network):
    if name == "sam":
        clicks = ClickConfig(rounds=2, forget_share=0)
        return SliceObjective(network, clicks=clicks, loss=LossConfig(), slices=SliceConfig(), seed=5)
    stride = CASES[name][1].get("stride", 2)
    return ClickObjective(
        network,
        clicks=ClickConfig(rounds=1),
        loss=LossConfig(),
        seed=0,
        stride=stride,
        starts_from_zeros=name == "sam_med3d",
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("tune", TUNES)
def test_a_step_moves_what_is_trained_and_nothing_else(name, tune):
    make, shape = CASES[name]
    network = make()
    groups = prepare_network(network, tune, LoraConfig(rank=2), frozen=() if name == "sam" else UNREAD)
    wanted = {"lora": {"encoder", "decoder"}, "full": {"encoder", "decoder"}}.get(tune, {tune})
    assert set(groups) == wanted
    step = objective(name, network)
    step.train()
    frozen = [module for module in network.modules() if not any(p.requires_grad for p in module.parameters())]
    assert not any(module.training for module in frozen)
    assert network.training
    before = {key: value.detach().clone() for key, value in network.state_dict().items()}
    optimiser = torch.optim.SGD([value for values in groups.values() for value in values], lr=0.1)
    batch = disk_batch() if name == "sam" else ball_batch(**shape, count=2)
    for draw in range(2):  # a fresh adapter's first factor moves only after its second has
        optimiser.zero_grad()
        for part in range(20 if name == "sam" else 1):  # so many that every kind of prompt comes
            step(batch, [0, 1], draw=20 * draw + part)[0].backward()
        missing = [key for key, value in network.named_parameters() if value.requires_grad and value.grad is None]
        assert missing == []
        optimiser.step()
    trained = {key for key, value in network.named_parameters() if value.requires_grad}
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved <= trained
    assert len(moved) > 0.7 * len(trained)


@pytest.mark.parametrize("tune", TUNES)
def test_the_prompt_encoder_can_be_left_as_it_is(tune):
    network = tiny_sam()
    groups = prepare_network(network, tune, LoraConfig(rank=2), frozen=("prompt_encoder.",))
    assert not any(value.requires_grad for value in network.prompt_encoder.parameters())
    assert not any(module.training for module in network.prompt_encoder.modules())
    assert groups and ("decoder" in groups) == (tune != "encoder")
    prepare_network(network, "full", LoraConfig(), frozen=())
    assert network.prompt_encoder.no_mask_embed.weight.requires_grad  # every first prompt of a slice reads it


@pytest.mark.parametrize("tune", TUNES)
def test_the_trained_share_is_told(tune, caplog):
    network = tiny_compact()
    with caplog.at_level(logging.INFO):
        groups = prepare_network(network, tune, LoraConfig(rank=2))
    counted = sum(value.numel() for values in groups.values() for value in values)
    assert f"training {counted:,} of " in caplog.text and "in the image encoder" in caplog.text


def test_parts_are_named_by_the_architecture():
    network = tiny_sam_med3d()
    prepare_network(network, "decoder", LoraConfig())
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert trained == {n for n, _ in network.named_parameters() if not n.startswith("image_encoder.")} - set(UNREAD)


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="tune must be one of lora, full, decoder, encoder, not 'everything'"):
        prepare_network(tiny_compact(), "everything", LoraConfig())
