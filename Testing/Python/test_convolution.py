from __future__ import annotations

import pytest
import torch
from torch import nn

from sam3dseg.models.convolution import (
    Convolution,
    ResidualBlock,
    add_upsampled,
    convolution,
    matrix_of,
    upsample,
)


def volume(*shape, dtype=torch.float32):
    return torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [True, False])
def test_adding_a_doubled_grid_is_adding_its_nearest_upsampling(dtype, channels_last):
    torch.manual_seed(0)
    fine, coarse = volume(2, 3, 8, 6, 4, dtype=dtype), volume(2, 3, 4, 3, 2, dtype=dtype)
    if not channels_last:
        fine, coarse = fine.contiguous(), coarse.contiguous()
    expected = fine + upsample(coarse)
    with torch.inference_mode():
        assert torch.equal(add_upsampled(fine.clone(), coarse), expected)


def test_gradients_flow_through_a_block_and_it_gives_the_same_without():
    torch.manual_seed(0)
    block, x = ResidualBlock(8), volume(1, 8, 4, 4, 4)
    before = x.clone()
    with torch.inference_mode():
        found = block(x)
    assert torch.equal(x, before)
    wanted = block(x.requires_grad_())
    torch.testing.assert_close(found, wanted.detach(), atol=1e-5, rtol=0)
    wanted.sum().backward()
    assert all(value.grad is not None for value in (x, *block.parameters()))


@torch.inference_mode()
def test_a_block_takes_no_new_memory_but_for_norms_and_convolutions():
    block, x = ResidualBlock(8).eval(), volume(1, 8, 16, 16, 16)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as record:
        block(x)
    made = {event.name for event in record.events()}
    assert {"aten::silu_", "aten::add_"} <= made and not made & {"aten::silu", "aten::add"}


@torch.inference_mode()
def test_a_convolution_works_in_the_precision_of_its_input():
    torch.manual_seed(0)
    conv, x = Convolution(4, 4, 3, padding=1), volume(1, 4, 6, 6, 6)
    low = conv(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), conv(x), atol=0.05, rtol=0)


class Doubled(nn.Module):
    """An adapter around a layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return 2 * self.layer(x)


@pytest.mark.parametrize("wrap", [None, Doubled])
def test_the_matrix_of_a_layer_is_what_the_layer_does(wrap):
    layer = convolution(5, 3, 1) if wrap is None else wrap(convolution(5, 3, 1))
    weight, bias = matrix_of(layer, 5)
    x = torch.randn(2, 5, 4, 4, 4)
    expected = torch.einsum("mc,bcdhw->bmdhw", weight, x) + bias[:, None, None, None]
    torch.testing.assert_close(layer(x), expected)
    (weight.sum() + bias.sum()).backward()
    assert all(value.grad is not None for value in layer.parameters())
