"""Clicks as maps: nearness, matches, and that what earlier clicks gave is used again."""

from __future__ import annotations

import pytest
import torch

from sam3dseg.models import click_maps as module
from sam3dseg.models.click_maps import ClickMatcher, gaussians, nearness


def test_click_map_peaks_at_the_click():
    point, present = torch.tensor([[[8.5, 4.5, 12.5]]]), torch.ones(1, 1, dtype=torch.bool)
    (bump,) = gaussians(nearness(point, present, (16, 16, 16), stride=2), (3.0,))
    peak = divmod(int(bump.argmax()), 256)
    assert (peak[0], *divmod(peak[1], 16)) == (4, 2, 6)
    assert bump.max() == pytest.approx(1.0)


@pytest.fixture
def many():
    """Three windows with 30 clicks of mixed signs and padding, some of them outside: points, labels."""
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(3, 30, 3, generator=generator) * 40 - 4
    return points, torch.randint(-1, 2, (3, 30), generator=generator)


@pytest.mark.parametrize("label", [1, 0, 7])
def test_click_maps_are_the_highest_gaussian_of_each_window(many, label):
    points, labels = many
    labels[1] = 0  # one window without a positive click
    maps = gaussians(nearness(points, labels == label, (16, 12, 8), stride=2), (2.0, 9.0))
    axes = [torch.arange(n) * 2.0 + 0.5 for n in (16, 12, 8)]
    voxels = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)  # (D, H, W, 3)
    for sigma, found in zip((2.0, 9.0), maps, strict=True):
        bumps = torch.exp(-0.5 * (voxels[None, None] - points[:, :, None, None, None]).square().sum(-1) / sigma**2)
        expected = (bumps * (labels == label)[..., None, None, None]).amax(dim=1)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("table", [1, 2**17])
def test_matches_are_the_best_of_each_sign_whatever_the_blocks(many, monkeypatch, table):
    monkeypatch.setattr(module, "CACHED_VALUES", table)
    points, labels = many
    labels[2] = 1  # one window without a negative click
    torch.manual_seed(0)
    matcher = ClickMatcher(4, 3, 2)
    embedding = matcher.prepare(torch.randn(3, 4, 18, 16, 14))
    tissue = torch.randn(3, 2, 18, 16, 14)
    found = matcher(embedding, tissue, points, labels, stride=2)
    cells = torch.minimum(((points + 0.5) / 2).floor().long().clamp(min=0), torch.tensor([17, 15, 13]))
    for window in range(3):
        at = cells[window].unbind(-1)
        alike = torch.einsum("en,edhw->ndhw", embedding[window][:, at[0], at[1], at[2]], embedding[window])
        apart = (tissue[window][:, None] - tissue[window][:, at[0], at[1], at[2]][..., None, None, None]).abs().sum(0)
        for first, label in ((0, 1), (2, 0)):
            chosen = labels[window] == label
            if chosen.any():
                expected = torch.stack([alike[chosen].amax(0), torch.exp(-apart[chosen].amin(0))])
            else:
                expected = torch.stack([torch.full((18, 16, 14), -1.0), torch.full((18, 16, 14), 0.0)])
            torch.testing.assert_close(found[window, first : first + 2], expected, atol=2e-6, rtol=0)
    found.sum().backward()
    assert all(value.grad is not None for value in (matcher.embed.weight, matcher.tolerance))


def test_matching_finds_what_looks_like_the_click():
    matcher = ClickMatcher(2, 2, 1)
    torch.nn.init.dirac_(matcher.embed.weight)
    torch.nn.init.zeros_(matcher.embed.bias)
    features, tissue = torch.zeros(1, 2, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4)
    features[:, 0, :2], features[:, 1, 2:] = 1.0, 1.0  # two tissues
    tissue[:, :, 2:] = 1.0
    point = torch.tensor([[[1.0, 1.0, 1.0]]])
    maps = matcher(matcher.prepare(features), tissue, point, torch.ones(1, 1), stride=2)
    assert torch.allclose(maps[0, 0, :2], torch.ones(2, 4, 4)) and torch.allclose(maps[0, 0, 2:], torch.zeros(2, 4, 4))
    assert torch.allclose(maps[0, 1, :2], torch.ones(2, 4, 4)) and (maps[0, 1, 2:] < 0.4).all()
    assert (maps[0, 2] == -1).all() and (maps[0, 3] < 1e-6).all()  # no negative click
    negative = matcher(matcher.prepare(features), tissue, point, torch.zeros(1, 1), stride=2)
    assert torch.equal(negative[:, 2:], maps[:, :2]) and torch.equal(negative[:, :2], maps[:, 2:])


def test_matches_have_the_same_values_and_gradients_with_a_table_of_all_clicks(many):
    points, labels = many
    torch.manual_seed(0)
    matcher, features, tissue = ClickMatcher(4, 3, 2), torch.randn(3, 4, 9, 8, 7), torch.randn(3, 2, 9, 8, 7)
    found = matcher(matcher.prepare(features), tissue, points, labels, stride=4)
    with torch.no_grad():
        torch.testing.assert_close(
            matcher(matcher.prepare(features), tissue, points, labels, stride=4), found.detach(), atol=1e-6, rtol=0
        )
    found[:, 1::2].square().sum().backward()
    grad = matcher.tolerance.grad
    step = torch.tensor([1e-2, 0.0])
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            matcher.tolerance += sign * step
            values.append(matcher(matcher.prepare(features), tissue, points, labels, stride=4)[:, 1::2].square().sum())
            matcher.tolerance -= sign * step
    assert grad[0].item() == pytest.approx((values[0] - values[1]).item() / 2e-2, rel=0.02)


def test_gradients_keep_no_table_of_every_click_and_channel(many):
    points, labels = many
    torch.manual_seed(0)
    matcher, tissue = ClickMatcher(4, 3, 2), torch.randn(3, 2, 9, 8, 7)
    embedding = torch.randn(3, 3, 9, 8, 7)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(tuple(t.shape)) or t, lambda t: t):
        matcher(embedding, tissue, points, labels, stride=4)
    assert not [shape for shape in kept if len(shape) == 4]  # (B, C, N, V)


@torch.inference_mode()
def test_a_click_more_costs_one_click(many):
    points, labels = many[0][:1], torch.tensor([[1, 0] * 15])
    torch.manual_seed(0)
    matcher, tissue = ClickMatcher(4, 3, 2), torch.randn(1, 2, 9, 8, 7)
    embedding = matcher.prepare(torch.randn(1, 4, 9, 8, 7))

    def asked(count):
        """How many clicks are compared with the voxels, and to how many the distance is measured."""
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as record:
            matcher(embedding, tissue, points[:, :count], labels[:, :count], stride=4)
            matcher.near(embedding, points[:, :count], labels[:, :count], stride=4, sigmas=(3.0,))
        shapes = [event.input_shapes for event in record.events() if event.name == "aten::bmm"]
        sums = [event.input_shapes[0] for event in record.events() if event.name == "aten::add"]
        across = [shape for shape in sums if shape[2:] == [8, 1]]  # (B, N, H, 1) + (B, N, 1, W)
        return sum(shape[0][1] for shape in shapes), sum(shape[1] for shape in across)

    assert asked(20) == (20, 20)
    assert asked(21) == (1, 1)
    assert asked(21) == (0, 0)
    assert asked(20) == (0, 0)  # undo
    assert asked(22) == (1, 1)  # the other sign knows 21 still
