"""SAM-3D: the algebra of its decoder, its cost, and its encoders."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from proposal_networks import CLASSES, SMALL, tiny_sam_3d
from tiny_networks import COMPACT
from torch import nn

from sam3dseg.models import build
from sam3dseg.models.sam_3d import ResidualBlock, VolumeDecoder


def instance_norm(x, layer):
    mean, variance = x.mean((2, 3, 4), keepdim=True), x.var((2, 3, 4), keepdim=True, unbiased=False)
    scale, offset = (p.reshape(1, -1, 1, 1, 1) for p in (layer.weight, layer.bias))
    return (x - mean) / (variance + layer.eps).sqrt() * scale + offset


def test_the_block_is_the_published_formula():
    torch.manual_seed(0)
    block = ResidualBlock(6, 4, (1, 2, 2))
    for p in block.parameters():
        nn.init.normal_(p)
    g = torch.randn(2, 6, 3, 4, 5)
    w1, w2, w0 = (part[0].weight for part in (block.first, block.second, block.shortcut))
    r1 = F.leaky_relu(instance_norm(F.conv3d(g, w1, padding=1), block.first[1]), 0.01)
    r1 = instance_norm(F.conv3d(r1, w2, padding=1), block.second[1])
    r2 = instance_norm(F.conv3d(g, w0), block.shortcut[1])
    expected = F.leaky_relu(r1 + r2, 0.01).repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
    torch.testing.assert_close(block(g), expected, rtol=1e-4, atol=1e-4)


def branches(block, g):
    """The two summands of a block, captured where they are made, and its output."""
    kept = {}
    hooks = [
        getattr(block, name).register_forward_hook(lambda _, __, y, name=name: kept.update({name: y}))
        for name in ("second", "shortcut")
    ]
    out = block(g)
    for hook in hooks:
        hook.remove()
    return kept["second"], kept["shortcut"], out


def test_the_addition_hands_the_same_gradient_to_both_branches():
    torch.manual_seed(0)
    block = ResidualBlock(6, 4, (1, 2, 2))
    r1, r2, out = branches(block, torch.randn(1, 6, 3, 4, 4))
    from_above = torch.randn_like(out)
    to_r1, to_r2 = torch.autograd.grad(out, (r1, r2), from_above)
    slope = torch.where(r1 + r2 > 0, 1.0, 0.01)
    below = F.avg_pool3d(from_above, (1, 2, 2), divisor_override=1) * slope
    torch.testing.assert_close(to_r2, below)  # d(r1 + r2) / d r2 = 1
    torch.testing.assert_close(to_r1, below)


def test_with_a_silent_first_branch_the_shortcut_alone_carries_values_and_gradient():
    torch.manual_seed(0)
    block = ResidualBlock(6, 4, (1, 2, 2))
    nn.init.zeros_(block.second[1].weight)  # r1 = 0, whatever W1 and W2 are
    g = torch.randn(1, 6, 3, 4, 4, requires_grad=True)
    gradients = []
    for _ in range(2):
        _, r2, out = branches(block, g)
        torch.testing.assert_close(out, F.interpolate(F.leaky_relu(r2, 0.01), scale_factor=(1, 2, 2)))
        gradients += torch.autograd.grad(out.square().sum(), g)
        nn.init.normal_(block.first[0].weight)
        nn.init.normal_(block.second[0].weight)
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().max() > 0


def test_1_88_million_parameters_over_the_features_of_sam():
    heads = lambda classes: (8 + 16 + 32 + 128 + 4) * (classes + 1)  # noqa: E731 - the last 1³ convolutions
    for classes in (2, 13):
        count = sum(p.numel() for p in VolumeDecoder(256, classes).parameters())
        assert count - heads(classes) == 1_880_208


@pytest.mark.parametrize("depth", [1, 5, 9])
def test_output_grows_in_the_plane_and_keeps_the_depth(depth):
    decoder = VolumeDecoder(16, 2, widths=(16, 8, 8, 8))
    outputs = decoder(torch.randn(2, 16, depth, 2, 3))
    assert [tuple(o.shape) for o in outputs] == [(2, 3, depth, 2 * n, 3 * n) for n in (16, 8, 4, 2)]
    torch.testing.assert_close(
        decoder.finest(torch.ones(1, 16, depth, 2, 3)), decoder(torch.ones(1, 16, depth, 2, 3))[0]
    )


def test_multiplications_grow_linearly():
    from torch.utils.flop_counter import FlopCounterMode

    decoder, flops = VolumeDecoder(16, 2, widths=(16, 8, 8, 8)), {}
    for shape in ((4, 2, 2), (8, 2, 2), (8, 4, 4)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            decoder(torch.randn(1, 16, *shape))
        flops[shape] = counter.get_total_flops()
    assert flops[8, 2, 2] == 2 * flops[4, 2, 2]
    assert flops[8, 4, 4] == 8 * flops[4, 2, 2]


def test_every_level_has_gradient_in_all_its_parameters_under_deep_supervision():
    losses = pytest.importorskip("sam3dseg_training.losses")
    weights = losses.deep_supervision_weights(4)
    assert weights == pytest.approx((8 / 15, 4 / 15, 2 / 15, 1 / 15))
    assert sum(weights) == pytest.approx(1)
    torch.manual_seed(0)
    decoder = VolumeDecoder(16, 2, widths=(16, 8, 8, 8))
    outputs = decoder(torch.randn(1, 16, 4, 3, 3))
    targets = [torch.randint(0, 3, (1, *o.shape[2:])) for o in outputs]
    entropies = [F.cross_entropy(o, t) for o, t in zip(outputs, targets, strict=True)]
    sum(w * e for w, e in zip(weights, entropies, strict=True)).backward()
    for name, p in decoder.named_parameters():
        assert p.grad is not None and p.grad.abs().max() > 1e-9, name


def test_a_level_alone_trains_the_blocks_up_to_it():
    decoder = VolumeDecoder(16, 2, widths=(16, 8, 8, 8))
    decoder(torch.randn(1, 16, 4, 3, 3))[2].square().sum().backward()  # the second coarsest
    trained = [any(p.grad is not None for p in block.parameters()) for block in decoder.blocks]
    assert trained == [True, True, False, False]
    assert [any(p.grad is not None for p in head.parameters()) for head in decoder.heads] == [False, True, False, False]


def test_the_encoder_is_frozen_and_no_gradient_is_kept_for_it():
    network = tiny_sam_3d().train()
    assert not any(p.requires_grad for p in network.image_encoder.parameters())
    features = network.encode_slices(torch.randn(3, 3, 32, 48))
    assert features.shape == (16, 3, 2, 3)
    assert not features.requires_grad
    assert network(features[None])[0].requires_grad


def test_slices_are_encoded_one_by_one():
    network = tiny_sam_3d()
    slices = torch.randn(3, 3, 32, 32)
    together = network.encode_slices(slices)
    for index in range(3):
        alone = network.encode_slices(slices[index : index + 1])
        torch.testing.assert_close(together[:, index : index + 1], alone, rtol=1e-4, atol=1e-5)


def test_with_the_compact_encoder_of_volumes():
    network = build("sam_3d", classes=CLASSES, encoder={"architecture": "compact", **COMPACT}, widths=[8, 8, 8, 8])
    assert network.patch_stride == (16, 16, 16)
    features = network.encode_slices(torch.randn(16, 2, 32, 48))
    assert features.shape == (16, 1, 2, 3)
    assert network(features[None])[0].shape == (1, 3, 16, 32, 48)


def test_windows_of_a_fixed_encoder_are_put_together_in_place():
    from sam3dseg.models.sam_3d import _in_windows

    class Means(nn.Module):
        def forward(self, x):
            assert x.shape[2:] == (128, 128, 128)
            return F.avg_pool3d(x, 16)

    volume = torch.randn(1, 1, 128, 256, 256)
    torch.testing.assert_close(_in_windows(Means(), volume), F.avg_pool3d(volume, 16))


def test_an_encoder_that_is_no_encoder_is_refused():
    with pytest.raises(ValueError, match="encoder of 'sam_3d' must be another architecture"):
        build("sam_3d", classes=CLASSES, encoder={"architecture": "sam_3d"})
    with pytest.raises(ValueError, match="unknown architecture 'sam2'"):
        build("sam_3d", classes=CLASSES, encoder={**SMALL, "architecture": "sam2"})


@pytest.mark.parametrize("patch", [[8, 32], [8, 32, 0], [8, 32, 1.5]])
def test_a_patch_that_is_none_is_refused(patch):
    with pytest.raises(ValueError, match="patch must be three numbers of samples"):
        tiny_sam_3d(patch=patch)
    with pytest.raises(ValueError, match="mirror must be letters of RAS"):
        tiny_sam_3d(mirror="LR")
