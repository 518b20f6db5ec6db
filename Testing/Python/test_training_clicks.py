"""Training by clicks on tiny networks: rounds on one encoding, what is fed back, and what follows from which number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_networks import ball_batch, tiny_compact, tiny_sam_med3d
from torch import nn

from sam3dseg.models.compact import ChangeJudge
from sam3dseg.weighing import FEATURES, Changes, levelled, weighed
from sam3dseg_training.click_training import ClickObjective, Judgement, _change_loss, seen_from_afar
from sam3dseg_training.configs.clicks import ClickConfig
from sam3dseg_training.configs.losses import LossConfig
from sam3dseg_training.losses import (
    deep_supervision_loss,
    deep_supervision_weights,
    dice_ce_loss,
    dice_loss,
    sdf_loss,
)
from sam3dseg_training.training_user import NOT_A_POINT
from sam3dseg_training.weighting import AdaptiveWeights

ONLY_MASK = {"mask": 1.0, "multi": 0.0, "iou": 0.0, "match": 0.0, "drop": 0.0}
EXACT = {"random_share": 0.0, "forget_share": 0.0, "jitter": 0.0, "extra": 0.0, "box_share": 0.0}


def objective(network, *, seed=0, clicks=None, loss=None, **settings):
    return ClickObjective(
        network, clicks=ClickConfig(**(clicks or {})), loss=LossConfig(**(loss or {})), seed=seed, **settings
    )


class Scripted(nn.Module):
    """Gives prepared logits, turn by turn, and keeps what it was asked."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.asked = answers, []
        self.image_encoder, self.mask_decoder = nn.Identity(), nn.Identity()
        self.encoded = 0
        self.image_encoder.register_forward_hook(self._count)

    def _count(self, *_):
        self.encoded += 1

    def encode_prompts(self, points, labels, mask_logits, *, grid=None):
        self.asked.append((points, labels, mask_logits))
        return points, mask_logits

    def decode_masks(self, embedding, sparse, dense):
        logits = self.answers[(len(self.asked) - 1) % len(self.answers)]
        return logits, torch.full(logits.shape[:2], 0.5)


def turns_of(network, wanted, **settings):
    """The first draw with so many turns, its loss and measures."""
    for draw in range(60):
        network.asked.clear()
        loss, measures = objective(network, **settings)(ball_batch(), [0, 1], draw=draw)
        if measures["rounds"] == wanted:
            return loss, measures
    raise AssertionError("no draw with so many turns")


def test_the_image_is_encoded_once_for_all_rounds_and_targets():
    network = Scripted(torch.zeros(2, 4, 16, 16, 16))
    batch = ball_batch()
    batch["targets"] = batch["targets"].expand(2, 3, 16, 16, 16)
    objective(network, clicks={"rounds": 4})(batch, [0, 1])
    assert network.encoded == 1 and len(network.asked) >= 3


def test_the_number_of_rounds_is_random_within_its_bound():
    network = Scripted(torch.zeros(2, 4, 16, 16, 16))
    step = objective(network, clicks={"rounds": 4})
    rounds = [step(ball_batch(), [0, 1], draw=draw)[1]["rounds"] for draw in range(40)]
    assert set(rounds) == {1, 2, 3, 4}


@pytest.mark.parametrize(("forget", "zeros"), [(0.0, False), (0.0, True), (1.0, False), (1.0, True)])
def test_the_previous_logits_are_fed_back_unless_forgotten(forget, zeros):
    answer = torch.randn(2, 4, 16, 16, 16, requires_grad=True)
    network = Scripted(answer)
    turns_of(network, 3, clicks={"rounds": 3, "forget_share": forget}, starts_from_zeros=zeros)
    first, *later = (fed for _, _, fed in network.asked)
    empty = (lambda fed: fed is not None and not fed.any()) if zeros else (lambda fed: fed is None)
    assert empty(first)
    for fed in later:
        assert empty(fed) if forget else torch.equal(fed, answer[:, :1].detach()) and not fed.requires_grad


def near(features):
    """Believes what lies within twice the depth of the click."""
    return 4 * (np.log(2) - features[:, FEATURES.index("distance")])


@pytest.mark.parametrize("judges", [False, True])
@pytest.mark.parametrize("judging", [False, True])
def test_what_is_believed_of_a_correction_is_what_the_session_would_show(judges, judging):
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(2, 4, 16, 16, 16, generator=generator) for _ in range(2))
    network = Scripted(first, second, first)
    if judges:
        network.judge_changes = near
    settings = {"clicks": {**EXACT, "rounds": 3}}
    if judging:
        objective(network, **settings)(ball_batch(), [0, 1], rounds=3)
    else:
        turns_of(network, 3, **settings)
    points, labels, fed = network.asked[2]
    for b in range(2):
        cell = ((points[b, 1].numpy() - 0.5) / 2).round().astype(int)
        before, answer = first[b, 0].numpy(), second[b, 0].numpy()
        merged = weighed(before, levelled(before, answer), cell, bool(labels[b, 1] == 1), 1, judge=near)
        expected = torch.from_numpy(merged) if judges else second[b, 0]
        assert torch.equal(fed[b, 0], expected)
        assert not torch.equal(expected, first[b, 0])
    torch.testing.assert_close(network.asked[1][2], first[:, :1])


def test_the_judge_learns_which_changes_are_right():
    """Of two masks in turn, the second wrong everywhere but near the click, it learns to believe only what is near."""
    torch.manual_seed(0)
    target = ball_batch()["targets"]
    right = 4 * (2 * (target > 0.5).float() - 1)
    missing = right.clone()
    missing[:, :, :8] = -4.0
    network = Scripted(missing.expand(2, 4, -1, -1, -1), -right.expand(2, 4, -1, -1, -1))
    network.judge_changes = judge = ChangeJudge()
    step = objective(network, clicks={**EXACT, "rounds": 2}, loss={**ONLY_MASK, "mask": 0.0, "changes": 1.0})
    draws = [draw for draw in range(60) if step(ball_batch(), [0, 1], draw=draw)[1]["rounds"] == 2][:3]
    optimiser = torch.optim.Adam(judge.parameters(), lr=2e-3)
    losses = []
    for turn in range(60):
        network.asked.clear()
        loss, _ = step(ball_batch(), [0, 1], draw=draws[turn % len(draws)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])


@pytest.mark.parametrize("gains", [True, False])
def test_what_a_judged_click_makes_worse_counts_twice(gains):
    target = ball_batch()["targets"][:1]
    whole = 20 * (2 * (target > 0.5).float() - 1)
    part = whole.clone()
    part[:, :, :8] = -20.0
    before, after = (part, whole) if gains else (whole, part)
    cells = np.flatnonzero((before > 0).numpy() != (after > 0).numpy())
    belief = torch.full((len(cells),), 20.0)
    judgement = Judgement(Changes(cells, np.zeros((len(cells), 1), np.float32)), belief)
    now, then = float(dice_loss(after, target)), float(dice_loss(before, target))
    expected = now if gains else now + (now - then)
    assert float(_change_loss([judgement], before, target)) == pytest.approx(expected, abs=1e-5)


def test_a_closer_look_answers_the_same_clicks_after_a_coarse_view():
    answer = torch.randn(2, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    network = Scripted(answer)
    _, measures = turns_of(network, 2, clicks={**EXACT, "rounds": 2, "closer_share": 1.0})
    (first, closer, second), fed = network.asked, network.asked[1][2]
    assert measures["rounds"] == 2
    assert torch.equal(first[0], closer[0]) and second[0].shape[1] == 2
    assert fed.shape == (2, 1, 16, 16, 16) and float(fed.std()) < 0.7 * float(answer[:, :1].std())
    assert torch.equal(second[2], answer[:, :1])


def test_what_is_seen_from_afar_has_lost_what_is_fine_and_kept_what_is_coarse():
    stripes = torch.ones(1, 1, 12, 12, 12)
    stripes[:, :, ::2] = -1
    halves = torch.full((1, 1, 12, 12, 12), 8.0)
    halves[:, :, 6:] = -8.0
    for seed in range(5):
        seen = [seen_from_afar(logits, np.random.default_rng(seed))[0, 0, 2:-2] for logits in (stripes, halves)]
        assert float(seen[0].std()) < 0.4 and float(seen[1].std()) > 3.5


def test_clicks_add_up_and_a_perfect_mask_is_padded():
    targets = ball_batch()["targets"]
    perfect_then_all = torch.cat([2 * (targets[:1] > 0.5).float() - 1, torch.ones(1, 1, 16, 16, 16)]).expand(
        2, 4, -1, -1, -1
    )
    network = Scripted(perfect_then_all)
    turns_of(network, 2, clicks={**EXACT, "rounds": 2})
    _, labels, _ = network.asked[-1]
    assert labels.tolist() == [[1, NOT_A_POINT], [1, 0]]


def test_the_loss_is_the_weighted_mean_over_turns():
    torch.manual_seed(0)
    answers = [torch.randn(2, 4, 16, 16, 16) for _ in range(2)]
    target, clicks = ball_batch()["targets"], {**EXACT, "rounds": 2}
    losses = torch.stack([dice_ce_loss(answer, target) for answer in answers])  # (turn, B, M)
    expected = {"mask": losses[:, :, 0].mean(), "multi": losses[:, :, 1:].min(dim=2).values.mean()}
    for name, value in expected.items():
        found, _ = turns_of(Scripted(*answers), 2, clicks=clicks, loss={**ONLY_MASK, "mask": 0.0, name: 2.0})
        torch.testing.assert_close(found, 2 * value)


def test_the_predicted_iou_is_trained_towards_the_reached_one():
    target = ball_batch()["targets"]
    network = Scripted((2 * (target > 0.5).float() - 1).expand(2, 4, -1, -1, -1))  # IoU 1, predicted 0.5
    settings = {"clicks": {"rounds": 1}, "loss": {**ONLY_MASK, "mask": 0.0, "iou": 1.0}}
    assert objective(network, **settings)(ball_batch(), [0, 1])[0].item() == pytest.approx(0.25)
    settings["loss"]["iou_kind"] = "smooth_l1"
    assert objective(network, **settings)(ball_batch(), [0, 1])[0].item() == pytest.approx(0.125)


def test_a_click_that_makes_the_mask_worse_costs_extra():
    target = ball_batch()["targets"]
    right, empty = 20 * (target - 0.5).expand(2, 4, -1, -1, -1), torch.full((2, 4, 16, 16, 16), -9.0)
    clicks = {**EXACT, "rounds": 2}
    loss, _ = turns_of(Scripted(right, empty), 2, clicks=clicks, loss={**ONLY_MASK, "mask": 0.0, "drop": 1.0})
    assert loss.item() == pytest.approx(0.5, abs=0.05)  # two turns, one of them a fall of Dice from 1 to 0
    better, _ = turns_of(Scripted(empty, right), 2, clicks=clicks, loss={**ONLY_MASK, "mask": 0.0, "drop": 1.0})
    assert better.item() == 0


def test_the_signed_distance_counts_where_it_is_asked_for_and_is_missed_where_absent():
    answer = torch.randn(2, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = {**ball_batch(), "sdf": torch.randn(2, 1, 16, 16, 16)}
    step = objective(Scripted(answer), clicks={"rounds": 1}, loss={**ONLY_MASK, "mask": 0.0, "sdf": 0.5})
    torch.testing.assert_close(step(batch, [0, 1])[0], 0.5 * sdf_loss(answer[:, :1], batch["sdf"]).mean())
    with pytest.raises(ValueError, match=r"loss.sdf=0.5 needs signed distances: prepare the data with sdf=true"):
        step(ball_batch(), [0, 1])


@pytest.mark.parametrize("levels", ["equal", "halving"])
def test_click_matches_are_supervised_at_every_stride(levels):
    network, batch = tiny_compact(), ball_batch()
    seen = {}
    network.match_masks = lambda embedding, sparse: seen.setdefault(
        "m", type(network).match_masks(network, embedding, sparse)
    )
    loss = {**ONLY_MASK, "mask": 0.0, "match": 0.3, "match_levels": levels}
    found, _ = objective(network, clicks={"rounds": 1}, loss=loss)(batch, [0, 1])
    weights = deep_supervision_weights(4) if levels == "halving" else (1.0,) * 4
    torch.testing.assert_close(found, 0.3 * deep_supervision_loss(seen["m"], batch["targets"], weights))


def test_adaptive_weights_are_parameters_of_the_objective_not_of_the_network():
    step = objective(tiny_compact(), loss={"adaptive": True})
    assert isinstance(step.weighting, AdaptiveWeights)
    loss, _ = step(ball_batch(), [0, 1])
    loss.backward()
    own = list(step.weighting.parameters())
    assert own and all(value.grad is not None for value in own)
    assert not {id(value) for value in own} & {id(value) for value in step.network.parameters()}


def test_all_random_choices_follow_from_seed_draw_and_numbers():
    network, batch = tiny_compact(), ball_batch()

    def loss(**settings):
        chosen = {"seed": 0, "draw": 3, "numbers": [7, 8], **settings}
        step = objective(network, seed=chosen["seed"], clicks={"extra": 0.3, "box_share": 0.3})
        np.random.seed(torch.seed() % 2**32)  # global random numbers play no part
        with torch.no_grad():
            return float(step(batch, chosen["numbers"], draw=chosen["draw"])[0])

    assert loss() == loss()
    others = [loss(seed=1), loss(draw=4), loss(numbers=[7, 9])]
    assert loss() not in others and len(set(others)) == 3


def test_a_batch_costs_what_its_samples_cost_alone():
    network, batch = tiny_compact().eval(), ball_batch()
    step = objective(network, clicks={"extra": 0.5, "box_share": 0.3})
    with torch.no_grad():
        for draw in range(3):
            together = float(step(batch, [4, 9], draw=draw)[0])
            alone = [
                float(step({name: value[b : b + 1] for name, value in batch.items()}, [number], draw=draw)[0])
                for b, number in enumerate((4, 9))
            ]
            assert together == pytest.approx(np.mean(alone), rel=1e-4)


def test_windows_without_an_object_train_as_well():
    batch = ball_batch()
    batch["targets"] = torch.zeros_like(batch["targets"])
    loss, _ = objective(tiny_compact(), clicks={"rounds": 2})(batch, [0, 1], draw=1)
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", ["compact", "sam_med3d"])
def test_every_parameter_that_is_read_gets_a_gradient(name):
    if name == "compact":
        step, batch = objective(tiny_compact(), clicks={"rounds": 1}), ball_batch()
        unread = []
    else:
        network, batch = tiny_sam_med3d(), ball_batch(128, stride=4, channels=1, count=1)
        step = objective(network, clicks={"rounds": 1}, stride=4, starts_from_zeros=True)
        unread = ["prompt_encoder.no_mask_embed.weight"]
    step(batch, batch["number"].tolist())[0].backward()
    assert [key for key, value in step.network.named_parameters() if value.grad is None] == unread


def test_training_on_balls_learns_them_and_judging_says_so():
    network, batch = tiny_compact(), ball_batch()
    step = objective(network, clicks={"rounds": 2})
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    judged, losses = [step(batch, [0, 1], rounds=2)], []
    for draw in range(40):
        loss, _ = step(batch, [2 * draw, 2 * draw + 1], draw=draw)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    judged.append(step(batch, [0, 1], rounds=2))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    (before, _), (after, measures) = judged
    assert after < before and not after.requires_grad
    assert measures["dice_1"] > 0.85 and set(measures) == {"dice_1", "dice_2"}
    assert float(after) == pytest.approx(1 - np.mean(list(measures.values())), abs=1e-6)
