"""Linear layers in 8 bits and in bfloat16: near those in float32, in their place, refused where they do not fit."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tiny_networks import tiny_compact, tiny_sam, tiny_sam_med3d  # noqa: E402

from sam3dseg import reduced_linear  # noqa: E402
from sam3dseg.placed_network import PlacedNetwork  # noqa: E402
from sam3dseg.placement import Placement, placements_for  # noqa: E402
from sam3dseg.reduced_linear import BFloat16Linear, Int8Linear, reduce_linears, require_int8  # noqa: E402


def linear(*, bias: bool = True):
    torch.manual_seed(0)
    return torch.nn.Linear(64, 48, bias=bias)


def tokens():
    """Rows of very different size, one of zeros."""
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1))
    x[0, 1] *= 1000
    x[1, 3] = 0
    return x


@pytest.mark.parametrize("bias", [True, False])
def test_int8_is_near_within_the_steps_of_both_factors(bias):
    exact, x = linear(bias=bias), tokens()
    with torch.inference_mode():
        difference = (Int8Linear(exact)(x) - exact(x)).abs()  # (2, 5, 48)
        rows, columns = x.abs().amax(dim=-1, keepdim=True), exact.weight.abs().amax(dim=1)
        # half a step of every input times the weights, and the other way round
        bound = 64 * rows * columns / 127 + 1e-5
    assert (difference <= bound).all()
    assert difference[0, 1].max() > 0
    size = exact(x).norm(dim=-1)
    assert (difference.norm(dim=-1) <= 0.02 * size).all()  # a large row does not spoil the others


def test_bfloat16_is_near_and_gives_float32():
    exact, x = linear(), tokens()
    with torch.inference_mode():
        near = BFloat16Linear(exact)(x)
        assert near.dtype == torch.float32
        assert ((near - exact(x)).norm(dim=-1) <= 0.01 * exact(x).norm(dim=-1)).all()


@pytest.mark.parametrize(("precision", "size"), [("int8", 1), ("bfloat16", 2)])
def test_every_linear_layer_is_exchanged_and_takes_less_memory(precision, size):
    network = tiny_sam().image_encoder
    before = sum(isinstance(m, torch.nn.Linear) for m in network.modules())
    assert reduce_linears(network, precision) == before > 0
    kinds = [m for m in network.modules() if isinstance(m, (Int8Linear, BFloat16Linear))]
    assert len(kinds) == before and all(m.weight.element_size() == size for m in kinds)
    assert not any(isinstance(m, torch.nn.Linear) for m in network.modules())


def test_other_precisions_exchange_nothing():
    assert reduce_linears(tiny_sam(), "float32") == reduce_linears(tiny_sam(), "float16") == 0


@pytest.mark.parametrize("make", [tiny_sam, tiny_sam_med3d])
@pytest.mark.parametrize(("precision", "least"), [("int8", 0.97), ("bfloat16", 0.98)])
def test_masks_of_a_small_transformer_agree(make, precision, least):
    is_3d = make is tiny_sam_med3d
    x = torch.randn((1, 1, 128, 128, 128) if is_3d else (1, 3, 64, 64), generator=torch.Generator().manual_seed(2))
    points, labels = torch.full((1, 1, 3 if is_3d else 2), 30.0), torch.ones(1, 1)
    masks = []
    for wanted in ("float32", precision):
        placed = PlacedNetwork(make(), [Placement("cpu", wanted)])

        def answer(network=placed.network, placed=placed):
            with placed.reduced_precision():
                embedding = network.encode_image(x)
            return network.decode_masks(embedding.float(), *network.encode_prompts(points, labels), multimask=False)[0]

        masks.append(placed.attempt(answer))
    level = masks[0].median()
    first, second = (mask > level for mask in masks)
    dice = 2 * (first & second).sum() / (first.sum() + second.sum())
    assert least < dice
    assert not torch.equal(masks[0], masks[1])


def test_a_convolutional_network_takes_no_int8():
    with pytest.raises(ValueError, match="received a convolutional one; use bfloat16 or precision='auto'"):
        PlacedNetwork(tiny_compact(), [Placement("cpu", "int8")])


def test_other_devices_take_no_int8(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ValueError, match="'int8' is not for the device 'mps': expected float32 or float16"):
        placements_for("mps", "int8")


def test_int8_is_refused_where_the_processor_cannot(monkeypatch):
    for name in reduced_linear.VNNI_TESTS:
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    with pytest.raises(ValueError, match="'int8' needs AVX-512 VNNI .* use precision='auto'"):
        placements_for("cpu", "int8")


@pytest.mark.parametrize("failure", ["overflows", "missing"])
def test_int8_is_refused_where_the_product_is_wrong(monkeypatch, failure):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)

    def product(a, b):
        if failure == "missing":
            raise NotImplementedError("_int_mm")
        return (a.int() @ b.int()).clamp(-(2**15), 2**15 - 1)

    monkeypatch.setattr(torch, "_int_mm", product)
    with pytest.raises(ValueError, match="'int8' needs AVX-512 VNNI"):
        require_int8()
