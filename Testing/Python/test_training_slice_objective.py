"""The loss of a model of slices: boxes and clicks as prompts, on one encoding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_networks import disk_batch, tiny_sam

from sam3dseg_training.configs.clicks import ClickConfig
from sam3dseg_training.configs.losses import LossConfig
from sam3dseg_training.configs.slices import SliceConfig
from sam3dseg_training.slice_training import SliceObjective, pushed_outward

CLICKS = ClickConfig(rounds=3)


class Recorded(torch.nn.Module):
    """A network that remembers its prompts."""

    def __init__(self):
        super().__init__()
        self.network = tiny_sam()
        self.image_encoder, self.mask_decoder = self.network.image_encoder, self.network.mask_decoder
        self.decode_masks, self.asked = self.network.decode_masks, []

    def encode_prompts(self, points=None, labels=None, boxes=None, mask_logits=None):
        self.asked.append((points, labels, boxes, mask_logits))
        return self.network.encode_prompts(points, labels, boxes, mask_logits)


def objective(network=None, clicks=CLICKS, loss=None, **slices):
    return SliceObjective(
        network or tiny_sam(), clicks=clicks, loss=loss or LossConfig(), slices=SliceConfig(**slices), seed=0
    )


def asked_of(boxes, draws=8, **slices):
    """What was asked in each of some steps."""
    steps = []
    for draw in range(draws):
        network = Recorded()
        objective(network, boxes=boxes, **slices)(disk_batch(), [0, 1], draw=draw)
        steps.append(network.asked)
    return steps


def test_a_step_with_boxes_starts_with_a_box_alone_and_keeps_it():
    for asked in asked_of(boxes=1):
        points, labels, boxes, fed = asked[0]
        assert points is None and labels is None and boxes.shape == (2, 4) and fed is None
        for turn, (points, labels, again, _) in enumerate(asked[1:], start=1):
            assert points.shape == (2, turn, 2) and labels.shape == (2, turn) and again is boxes
    assert max(len(asked) for asked in asked_of(boxes=1)) == 3


def test_a_step_with_clicks_has_no_box():
    for asked in asked_of(boxes=0):
        assert all(boxes is None and points is not None for points, _, boxes, _ in asked)


def test_a_share_of_the_steps_has_boxes():
    with_boxes = sum(asked[0][2] is not None for asked in asked_of(boxes=0.5, draws=40))
    assert 10 <= with_boxes <= 30


def test_points_are_x_and_y():
    """The disks lie to the right of the middle by n pixels, and above it by six."""
    network = Recorded()
    step = objective(network, boxes=0, clicks=ClickConfig(rounds=1, random_share=0, jitter=0, extra=0))
    step(disk_batch(), [0, 1], draw=0)
    points, labels, _, _ = network.asked[0]
    assert labels.tolist() == [[1], [1]]
    np.testing.assert_allclose(points[:, 0].numpy(), [[31.5, 25.5], [33.5, 25.5]], atol=2.5)


def test_boxes_are_pushed_outward_by_at_most_so_much_and_not_out_of_the_square():
    tight = torch.tensor([[20.0, 21.0, 40.0, 41.0], [1.0, 1.0, 63.0, 62.0]])
    boxes = torch.stack(
        [pushed_outward(tight, [np.random.default_rng((s, b)) for b in range(2)], most=5, side=64) for s in range(200)]
    )
    outward = (boxes - tight) * torch.tensor([-1, -1, 1, 1])
    assert outward.min() >= 0 and outward[:, 0].max() <= 5
    assert (outward[:, 0].max(dim=0).values > 4.5).all() and (outward[:, 0].min(dim=0).values < 0.5).all()
    assert boxes.min() == 0 and boxes.max() == 64


def test_box_jitter_counts_in_pixels_of_1024():
    tight = disk_batch()["boxes"][:, 0]
    boxes = torch.stack([asked[0][2] for asked in asked_of(boxes=1, box_jitter=160, draws=1)])
    outward = (boxes - tight) * torch.tensor([-1, -1, 1, 1])
    assert outward.min() >= 0 and 5 < outward.max() <= 10  # 160 of 1024 are 10 of 64
    (exact,) = asked_of(boxes=1, box_jitter=0, draws=1)
    assert torch.equal(exact[0][2], tight)


@pytest.mark.parametrize("boxes", [0, 1])
def test_the_loss_of_a_sample_does_not_depend_on_its_company(boxes):
    step = objective(boxes=boxes, clicks=ClickConfig(rounds=1))
    batch = disk_batch(count=3)
    together = float(step(batch, [4, 5, 6], draw=2)[0].detach())
    alone = [
        float(step({name: value[n : n + 1] for name, value in batch.items()}, [4 + n], draw=2)[0].detach())
        for n in range(3)
    ]
    assert together == pytest.approx(np.mean(alone), rel=1e-4)


@pytest.mark.parametrize("boxes", [0, 1])
@pytest.mark.parametrize("kind", ["dice_ce", "dice_bce"])
def test_the_loss_falls(boxes, kind):
    step = objective(boxes=boxes, box_jitter=0, clicks=ClickConfig(rounds=1), loss=LossConfig(kind=kind))
    optimiser = torch.optim.AdamW(step.parameters(), lr=3e-3)
    batch, losses = disk_batch(), []
    for _ in range(30):
        optimiser.zero_grad()
        loss, _ = step(batch, [0, 1], draw=0)
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < 0.6 * losses[0]


def test_alternatives_and_predicted_iou_are_trained():
    step = objective(boxes=1, clicks=ClickConfig(rounds=1), loss=LossConfig(mask=0, multi=1, iou=0))
    step(disk_batch(), [0, 1], draw=0)[0].backward()
    heads = step.network.mask_decoder.output_hypernetworks_mlps
    trained = [any(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters()) for head in heads]
    assert not trained[0] and 1 <= sum(trained) <= 2  # the best alternative of each of two samples
    step = objective(boxes=1, clicks=ClickConfig(rounds=1), loss=LossConfig(mask=0, multi=0, iou=1))
    step(disk_batch(), [0, 1], draw=0)[0].backward()
    grads = [p.grad for p in step.network.mask_decoder.iou_prediction_head.parameters()]
    assert all(grad is not None for grad in grads) and sum(float(grad.abs().sum()) for grad in grads) > 0


@pytest.mark.parametrize(
    ("boxes", "expected"), [(0, {"dice_1", "dice_2"}), (1, {"dice_box"}), (0.25, {"dice_box", "dice_1", "dice_2"})]
)
def test_what_is_trained_is_judged_with_a_tight_box_and_patient_clicks(boxes, expected):
    network = Recorded()
    loss, measures = objective(network, boxes=boxes)(disk_batch(), [0, 1], rounds=2)
    assert measures.keys() == expected
    clicked = [1 - np.mean([measures["dice_1"], measures["dice_2"]])] if "dice_1" in measures else [0]
    boxed = 1 - measures.get("dice_box", 1)
    assert float(loss) == pytest.approx(boxes * boxed + (1 - boxes) * clicked[0], abs=1e-6)
    if boxes:
        assert torch.equal(network.asked[0][2], disk_batch()["boxes"][:, 0])
