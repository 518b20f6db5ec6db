"""The embedded network: shapes, prompts as maps and matches, and that clicks steer the mask."""

from __future__ import annotations

import pytest
import torch

from sam3dseg.models.compact import ClickMatcher, CompactNet, click_map, space_to_depth


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
    bump = click_map(torch.tensor([[[8.5, 4.5, 12.5]]]), torch.ones(1, 1), (16, 16, 16), stride=2, sigma=3.0)
    peak = divmod(int(bump.argmax()), 256)
    assert (peak[0], *divmod(peak[1], 16)) == (4, 2, 6)
    assert bump.max() == pytest.approx(1.0)


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
