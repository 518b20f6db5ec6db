"""Training by clicks on a tiny network: the user corrects, the loss falls, a stopped run goes on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from sam3dseg.models.compact import CompactNet
from sam3dseg_training.click_training import NOT_A_POINT, ClickTrainingConfig, TrainingUser, click_rounds
from sam3dseg_training.loop import LoopConfig, Trainer


def tiny_network() -> CompactNet:
    torch.manual_seed(0)
    return CompactNet(
        encoder_widths=(8, 8, 8, 8), encoder_depths=(1, 1, 1, 1), decoder_widths=(8, 8, 8, 8), match_width=4
    )


def ball_batch() -> dict[str, torch.Tensor]:
    axis = torch.arange(32) - 15.5
    radius = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None] ** 2).sqrt()
    ball = (radius < 9).float()[None]
    image = torch.stack([torch.cat([ball, -ball]), torch.cat([-ball, ball])])
    target = torch.nn.functional.avg_pool3d(ball[None], 2).expand(2, 1, 16, 16, 16)
    return {"image": image, "targets": target.contiguous()}


def test_user_corrects_the_larger_error_and_pads_with_not_a_point():
    targets = torch.zeros(2, 1, 8, 8, 8)
    targets[:, 0, 2:6, 2:6, 2:6] = 1
    user = TrainingUser(np.random.default_rng(0), targets, ClickTrainingConfig(random_click_share=0, jitter=0))
    points, labels = user.click(None)
    assert points.shape == (2, 1, 3) and labels.tolist() == [[1], [1]]
    logits = torch.full((2, 1, 8, 8, 8), -1.0)
    logits[0, 0, 2:6, 2:6, 2:6] = 1  # the first mask is perfect, the second covers everything
    logits[1] = 1
    points, labels = user.click(logits)
    assert labels.tolist() == [[1, NOT_A_POINT], [1, 0]]
    assert points.shape == (2, 2, 3)


def test_training_on_a_ball_learns_it():
    network, batch = tiny_network(), ball_batch()
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    rng, config = np.random.default_rng(0), ClickTrainingConfig(max_rounds=2)
    losses, dice = [], 0.0
    for _ in range(50):
        loss, measures = click_rounds(network, batch, rng, config)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        dice = measures["dice_last"]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    assert dice > 0.9


def test_every_parameter_gets_a_gradient():
    network = tiny_network()
    loss, _ = click_rounds(network, ball_batch(), np.random.default_rng(1), ClickTrainingConfig(max_rounds=1))
    loss.backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_run_continues_as_if_never_stopped(tmp_path, stop):
    def run(folder, steps, until):
        network = tiny_network()
        trainer = Trainer(network, LoopConfig(steps=steps, precision="float32", log_every=1), folder)
        trainer.resume()
        losses = []

        def loss_of(batch):
            loss, measures = click_rounds(
                network, batch, np.random.default_rng(trainer.step), ClickTrainingConfig(max_rounds=1)
            )
            losses.append(float(loss.detach()))
            if trainer.step == until:
                trainer.save()
                raise KeyboardInterrupt
            return loss, measures

        try:
            trainer.run(itertools.repeat(ball_batch()), loss_of)
        except KeyboardInterrupt:
            losses.pop()
        return losses

    whole = run(tmp_path / "whole", 5, None)
    parts = run(tmp_path / "parts", 5, stop) + run(tmp_path / "parts", 5, None)
    assert parts == pytest.approx(whole, abs=1e-6)
    assert not (tmp_path / "parts" / "last.pt.part").exists()


def test_resuming_another_architecture_is_refused(tmp_path):
    Trainer(tiny_network(), LoopConfig(steps=1), tmp_path).save()
    with pytest.raises(ValueError, match="another architecture"):
        Trainer(CompactNet(), LoopConfig(steps=1), tmp_path).resume()


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    trainer = Trainer(tiny_network(), LoopConfig(steps=3, precision="float32"), tmp_path)
    with pytest.raises(ValueError, match="lower the learning rate"):
        trainer.run(itertools.repeat(None), lambda _: (torch.tensor(float("nan"), requires_grad=True), {}))


class Forgetful(torch.nn.Module):
    """Answers with the target at first, and with nothing as soon as its own answer is fed back."""

    def encode_image(self, x):
        return x

    def encode_prompts(self, points, labels, mask_logits, *, grid):
        return torch.zeros(len(points), 1, 4), mask_logits

    def decode_masks(self, embedding, sparse, fed):
        target = torch.nn.functional.avg_pool3d(ball_batch()["targets"], 1)
        logits = (target - 0.5) * (20.0 if fed is None else 0.0) - (0.0 if fed is None else 9.0)
        return logits.expand(-1, 4, -1, -1, -1), torch.ones(len(target), 4)

    def match_masks(self, embedding, sparse):
        return []


def test_a_click_that_makes_the_mask_worse_costs_extra():
    def loss_with(weight: float) -> float:
        config = ClickTrainingConfig(max_rounds=2, forget_mask_share=0, drop_weight=weight)
        loss, measures = click_rounds(Forgetful(), ball_batch(), np.random.default_rng(5), config)
        assert measures["rounds"] == 2
        return float(loss)

    drop = loss_with(1.0) - loss_with(0.0)  # two rounds and one of them a fall from Dice 1 to 0
    assert drop == pytest.approx(0.5, abs=0.05)
