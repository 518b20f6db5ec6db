"""The embedded network: shapes, prompts as maps and matches, and that clicks steer the mask."""

from __future__ import annotations

import pytest
import torch

from sam3dseg.models import compact
from sam3dseg.models.compact import ClickMatcher, CompactNet, click_maps, space_to_depth


@pytest.fixture(scope="module")
def network() -> CompactNet:
    torch.manual_seed(0)
    return CompactNet().eval()


def test_weights_fit_the_extension_in_half_precision(network):
    assert sum(value.numel() for value in network.state_dict().values()) * 2 <= 16_000_000


@torch.inference_mode()
def test_interface_shapes_and_order_of_candidates(network):
    embedding = network.encode_image(torch.randn(1, 2, 32, 48, 64))
    sparse, dense = network.encode_prompts(
        torch.tensor([[[10.0, 20.0, 30.0]]]), torch.ones(1, 1), torch.zeros(1, 1, 16, 24, 32)
    )
    logits, iou = network.decode_masks(embedding, sparse, dense)
    assert logits.shape == (1, 4, 16, 24, 32) and iou.shape == (1, 4)
    assert ((iou >= 0) & (iou <= 1)).all()
    single, _ = network.decode_masks(embedding, sparse, dense, multimask=False)
    several, _ = network.decode_masks(embedding, sparse, dense, multimask=True)
    assert torch.equal(single, logits[:, :1]) and torch.equal(several, logits[:, 1:])


def test_click_map_peaks_at_the_click():
    point, present = torch.tensor([[[8.5, 4.5, 12.5]]]), torch.ones(1, 1, dtype=torch.bool)
    (bump,) = click_maps(point, present, (16, 16, 16), stride=2, sigmas=(3.0,))
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
    maps = click_maps(points, labels == label, (16, 12, 8), stride=2, sigmas=(2.0, 9.0))
    axes = [torch.arange(n) * 2.0 + 0.5 for n in (16, 12, 8)]
    voxels = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)  # (D, H, W, 3)
    for sigma, found in zip((2.0, 9.0), maps, strict=True):
        bumps = torch.exp(-0.5 * (voxels[None, None] - points[:, :, None, None, None]).square().sum(-1) / sigma**2)
        expected = (bumps * (labels == label)[..., None, None, None]).amax(dim=1)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("table", [1, 2**17])
def test_matches_are_the_best_of_each_sign_whatever_the_blocks(many, monkeypatch, table):
    monkeypatch.setattr(compact, "CACHED_VALUES", table)
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


def test_padding_points_leave_no_trace(network):
    points = torch.tensor([[[10.0, 20.0, 30.0], [0.0, 0.0, 0.0]]])
    padded = network.encode_prompts(points, torch.tensor([[1.0, -1.0]]), None, grid=(16, 16, 16))[1]
    alone = network.encode_prompts(points[:, :1], torch.tensor([[1.0]]), None, grid=(16, 16, 16))[1]
    assert all(torch.equal(a, b) for a, b in zip(padded, alone, strict=True))


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


def test_no_mask_and_an_empty_mask_are_told_apart(network):
    points, labels = torch.zeros(1, 1, 3), torch.ones(1, 1)
    without = network.encode_prompts(points, labels, None, grid=(16, 16, 16))[1][0]
    empty = network.encode_prompts(points, labels, torch.zeros(1, 1, 16, 16, 16))[1][0]
    assert without[0, 5].max() == 0 and empty[0, 5].min() == 1


def test_space_to_depth_keeps_every_voxel_in_its_cube():
    x = torch.arange(4 * 4 * 4, dtype=torch.float32).reshape(1, 1, 4, 4, 4)
    y = space_to_depth(x)
    assert y.shape == (1, 8, 2, 2, 2)
    assert sorted(y[0, :, 0, 0, 0].tolist()) == sorted(x[0, 0, :2, :2, :2].flatten().tolist())


@torch.inference_mode()
def test_untrained_network_starts_at_the_clicks(network):
    embedding = network.encode_image(torch.randn(1, 2, 32, 32, 32))
    sparse, dense = network.encode_prompts(torch.tensor([[[16.0, 16.0, 16.0]]]), torch.ones(1, 1), None, grid=(16,) * 3)
    logits, _ = network.decode_masks(embedding, sparse, dense, multimask=False)
    assert logits[0, 0, 8, 8, 8] > logits[0, 0, 0, 0, 0]
