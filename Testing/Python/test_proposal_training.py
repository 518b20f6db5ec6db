"""The objective of SAM-3D: it fits a volume, judges whole ones, and leaves the encoder alone."""

from __future__ import annotations

import pytest
import torch
from proposal_networks import CLASSES, tiny_sam_3d

from sam3dseg_training.losses import class_levels_loss, deep_supervision_weights
from sam3dseg_training.proposal_training import ProposalObjective


@pytest.fixture
def batch():
    """Random features (2, 16, 4, 2, 2) and a box of each class in the target (2, 4, 32, 32)."""
    noise = torch.Generator().manual_seed(0)
    target = torch.zeros(2, 4, 32, 32, dtype=torch.uint8)
    target[:, 1:3, 4:14, 4:28] = 1
    target[:, 1:3, 14:28, 4:28] = 2
    return {"features": torch.randn(2, 16, 4, 2, 2, generator=noise), "target": target, "number": torch.arange(2)}


def objective(seed: int = 0, patch=(4, 2, 2)):
    network = tiny_sam_3d(seed)
    return ProposalObjective(network, names=[entry["name"] for entry in CLASSES], patch=patch)


def test_the_loss_is_that_of_all_levels(batch):
    step = objective().eval()
    loss, measures = step(batch, [0, 1])
    outputs = step.network(batch["features"])
    expected = class_levels_loss(outputs, batch["target"], deep_supervision_weights(4))
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert set(measures) == {"dice"}


def test_the_decoder_learns_every_level_and_the_encoder_stays_frozen_and_in_evaluation(batch):
    step = objective().train()
    assert not step.network.image_encoder.training and step.network.decoder.training
    loss, _ = step(batch, [0, 1])
    loss.backward()
    assert all(value.grad is None for value in step.network.image_encoder.parameters())
    assert all(
        value.grad.abs().sum() > 0 for head in step.network.decoder.heads for value in list(head.parameters())[-1:]
    )
    optimiser = torch.optim.AdamW(step.network.decoder.parameters(), lr=1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        step(batch, [0, 1])[0].backward()
        optimiser.step()
    assert step(batch, [0, 1])[1]["dice"] > 0.8


def test_judging_gives_the_dice_of_every_class_on_whole_volumes(batch):
    step = objective(patch=(4, 2, 2)).eval()
    one = {name: value[:1] for name, value in batch.items()}
    with torch.no_grad():
        loss, measures = step(one, [0], rounds=1)
        found = step.network.decoder.finest(one["features"]).argmax(dim=1)
    expected = []
    for number, entry in enumerate(CLASSES, start=1):
        mask, truth = found == number, one["target"] == number
        expected.append(float(2 * (mask & truth).sum() / (mask.sum() + truth.sum())))
        assert measures[f"dice_{entry['name']}"] == pytest.approx(expected[-1])
    assert measures["dice"] == pytest.approx(sum(expected) / 2) and float(loss) == pytest.approx(1 - measures["dice"])


def test_volumes_larger_than_a_patch_are_slid_over(batch):
    step = objective(patch=(2, 1, 1)).eval()
    with torch.no_grad():
        _, measures = step({name: value[:1] for name, value in batch.items()}, [0], rounds=1)
    assert 0 <= measures["dice"] <= 1 and len(measures) == 3
