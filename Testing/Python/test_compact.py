"""The embedded network: shapes, prompts as maps and matches, and that clicks steer the mask."""

from __future__ import annotations

import pytest
import torch

from sam3dseg.models.compact import CENTRES, SPREADS, CompactNet, space_to_depth
from sam3dseg.weighing import FEATURES


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


@torch.inference_mode()
def test_padding_points_leave_no_trace(network):
    points = torch.tensor([[[10.0, 20.0, 30.0], [0.0, 0.0, 0.0]]])
    embedding = network.encode_image(torch.randn(1, 2, 32, 32, 32))
    padded = network.encode_prompts(points, torch.tensor([[1.0, -1.0]]), None, grid=(16, 16, 16))
    alone = network.encode_prompts(points[:, :1], torch.tensor([[1.0]]), None, grid=(16, 16, 16))
    assert torch.equal(network.decode_masks(embedding, *padded)[0], network.decode_masks(embedding, *alone)[0])


def test_no_mask_and_an_empty_mask_are_told_apart(network):
    points, labels = torch.zeros(1, 1, 3), torch.ones(1, 1)
    without = network.encode_prompts(points, labels, None, grid=(16, 16, 16))[1][0]
    empty = network.encode_prompts(points, labels, torch.zeros(1, 1, 16, 16, 16))[1][0]
    assert without[0, 1].max() == 0 and empty[0, 1].min() == 1


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


@pytest.fixture
def clicked(network):
    """A window's embedding, six clicks of both signs, and logits of before: the decoder's arguments."""
    generator = torch.Generator().manual_seed(5)
    image = torch.randn(1, 2, 32, 48, 64, generator=generator)
    points = torch.rand(1, 6, 3, generator=generator) * 32
    labels = torch.tensor([[1, 0, 1, 1, 0, 1]])
    previous = 4 * torch.randn(1, 1, 16, 24, 32, generator=generator)
    with torch.inference_mode():
        return network.encode_image(image), points, labels, previous


def test_the_answer_is_the_same_with_and_without_gradients(network, clicked):
    embedding, points, labels, previous = clicked
    with torch.inference_mode():
        logits, iou = network.decode_masks(embedding, *network.encode_prompts(points, labels, previous))
    copies = {name: [t.clone() for t in tensors] for name, tensors in embedding.items()}
    wanted, wanted_iou = network.decode_masks(copies, *network.encode_prompts(points, labels, previous))
    assert wanted.requires_grad
    torch.testing.assert_close(logits.clone(), wanted.detach(), atol=1e-4, rtol=0)
    torch.testing.assert_close(iou.clone(), wanted_iou.detach(), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_a_decode_leaves_the_embedding_as_it_was(network, clicked):
    embedding, points, labels, previous = clicked
    before = {name: [t.clone() for t in tensors] for name, tensors in embedding.items()}
    first = network.decode_masks(embedding, *network.encode_prompts(points, labels, previous))[0]
    second = network.decode_masks(embedding, *network.encode_prompts(points, labels, previous))[0]
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for name in before for a, b in zip(before[name], embedding[name], strict=True))


@torch.inference_mode()
def test_the_finest_features_and_the_logits_are_mixed_without_changing_their_layout(network, clicked):
    embedding, points, labels, previous = clicked
    assert embedding["features"][0].is_contiguous(memory_format=torch.channels_last_3d)
    given = network.encode_prompts(points, labels, previous)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as record:
        logits, _ = network.decode_masks(embedding, *given)
    assert logits.is_contiguous()
    inputs = [event.input_shapes[:2] for event in record.events() if event.name.endswith("convolution")]
    finest = [shapes for shapes in inputs if shapes[0][2:] == [16, 24, 32]]
    assert finest == [[[1, 16, 16, 24, 32], [16, 16, 3, 3, 3]]]  # prompts and masks are matrix products


@torch.inference_mode()
def test_undo_and_other_clicks_give_what_a_fresh_embedding_gives(network, clicked):
    embedding, points, labels, previous = clicked
    turns = [[0], [0, 1], [0, 1, 2], [0, 1], [0, 1, 3], [4, 0, 5], [2], [0, 1, 2, 3, 4, 5]]
    for turn in turns:
        given = network.encode_prompts(points[:, turn], labels[:, turn], previous)
        fresh = {name: [t.clone() for t in tensors] for name, tensors in embedding.items()}
        found, expected = (network.decode_masks(e, *given)[0] for e in (embedding, fresh))
        assert torch.equal(found, expected), turn


@torch.inference_mode()
def test_the_decoder_works_in_the_precision_of_its_features(network, clicked):
    embedding, points, labels, previous = clicked
    low = embedding | {name: [t.bfloat16() for t in embedding[name]] for name in ("features", "matches")}
    given = network.encode_prompts(points, labels, previous)
    logits, iou = network.decode_masks(embedding, *given)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as record:
        reduced, reduced_iou = network.decode_masks(low, *given)
    assert reduced.dtype == torch.bfloat16 and torch.isfinite(reduced).all()
    assert (reduced.float() - logits).abs().max() < 0.03 * logits.abs().max()
    assert (reduced_iou.float() - iou).abs().max() < 0.02
    assert not any(event.name == "aten::slow_conv3d_forward" for event in record.events())


@torch.inference_mode()
def test_the_whole_network_runs_with_half_precision_weights(clicked):
    torch.manual_seed(0)
    network = CompactNet().eval().bfloat16()
    _, points, labels, previous = clicked
    embedding = network.encode_image(torch.randn(1, 2, 32, 48, 64).bfloat16())
    assert {t.dtype for t in embedding["tissue"]} == {torch.float32}  # compared with each other
    logits, iou = network.decode_masks(embedding, *network.encode_prompts(points, labels, previous))
    assert torch.isfinite(logits).all() and torch.isfinite(iou).all()


@torch.inference_mode()
def test_the_judge_gives_a_logit_per_change_in_single_precision(network):
    features = torch.randn(7, len(FEATURES), generator=torch.Generator().manual_seed(0))
    belief = network.judge_changes(features)
    assert belief.shape == (7,) and network.judge_changes(features[:0]).shape == (0,)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network.judge_changes(features), belief, atol=0, rtol=0)
    torch.testing.assert_close(network.judge_changes(features.flip(0)), belief.flip(0))
    assert len(CENTRES) == len(SPREADS) == len(FEATURES) and min(SPREADS) > 0
