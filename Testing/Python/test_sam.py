"""SAM: the networks of the released files, their attention written out, other sizes of pictures."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from sam3dseg.models import build  # noqa: E402
from sam3dseg.models import decomposed_attention as attention_module  # noqa: E402
from sam3dseg.models.decomposed_attention import DecomposedAttention  # noqa: E402
from sam3dseg.models.sam import VARIANTS, SamImageEncoder, Variant, variant_of  # noqa: E402

TINY = {
    "variant": "small",
    "image_size": 64,
    "dim": 16,
    "depth": 2,
    "heads": 2,
    "window": 3,
    "global_blocks": [1],
    "out": 16,
}


def on_meta(variant):
    with torch.device("meta"):
        return build("sam", variant=variant)


def attention(*, window, size=4, dim=16, heads=2, spread=1.0):
    """With random biases."""
    torch.manual_seed(0)
    layer = DecomposedAttention(dim, heads, size=size, window=window)
    for table in (layer.rel_pos_h, layer.rel_pos_w):
        torch.nn.init.normal_(table, std=spread)
    torch.nn.init.normal_(layer.qkv.bias, std=spread / 2)
    return layer.eval()


def written_out(layer, x):
    """The attention as published: pad to whole windows, all keys with their biases, cut the padding off."""
    b, h, w, c = x.shape
    window = layer.window or max(h, w)
    tall, wide = (-(-size // window) * window for size in (h, w))
    x = F.pad(x, (0, 0, 0, wide - w, 0, tall - h))
    x = x.view(b, tall // window, window, wide // window, window, c).transpose(2, 3).reshape(-1, window * window, c)
    qkv = layer.qkv(x).view(len(x), window * window, 3, layer.heads, c // layer.heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (windows, heads, tokens, channels)
    logits = torch.empty(len(x), layer.heads, window * window, window * window)
    for i in range(window * window):
        for j in range(window * window):
            down, across = i // window - j // window, i % window - j % window
            rows = layer.rel_pos_h[down + window - 1] + layer.rel_pos_w[across + window - 1]
            scaled = k[:, :, j] * (c // layer.heads) ** -0.5
            logits[:, :, i, j] = (q[:, :, i] * (scaled + rows)).sum(-1)
    mixed = (logits.softmax(-1) @ v).transpose(1, 2).reshape(-1, window, window, c)
    mixed = mixed.view(b, tall // window, wide // window, window, window, c).transpose(2, 3).reshape(b, tall, wide, c)
    return layer.proj(mixed[:, :h, :w])


@pytest.mark.parametrize(
    ("variant", "keys", "parameters", "global_blocks"),
    [
        ("vit_b", 314, 93_735_472, (2, 5, 8, 11)),
        ("vit_l", 482, 312_342_832, (5, 11, 17, 23)),
        ("vit_h", 594, 641_090_608, (7, 15, 23, 31)),
    ],
)
def test_networks_of_the_released_sizes(variant, keys, parameters, global_blocks):
    network = on_meta(variant)
    assert len(network.state_dict()) == keys
    assert sum(value.numel() for value in network.parameters()) == parameters
    tables = [len(block.attn.rel_pos_h) for block in network.image_encoder.blocks]
    assert [n for n, rows in enumerate(tables) if rows == 127] == list(global_blocks)
    assert {rows for n, rows in enumerate(tables) if n not in global_blocks} == {27}


@pytest.mark.parametrize(("variant", "dim", "depth"), [("vit_b", 768, 12), ("vit_l", 1024, 24), ("vit_h", 1280, 32)])
def test_keys_and_shapes_are_those_of_the_released_files(shared_dir, variant, dim, depth):
    """The listed ViT-B; the larger ones have its keys with more blocks of more channels."""
    lines = (shared_dir / "vectors" / "keys_sam2d_vit_b.txt").read_text(encoding="utf-8").splitlines()
    listed = dict(line.split("\t")[:2] for line in lines if not line.startswith("#"))
    sizes = {768: dim, 2304: 3 * dim, 3072: 4 * dim, 64: dim // VARIANTS[variant].heads}
    blocks = "image_encoder.blocks."
    expected = {}
    for name, text in listed.items():
        shape = tuple(int(n) for n in text.strip("(),").split(","))
        if name.startswith("image_encoder.") and not name.startswith("image_encoder.pos_embed"):
            shape = tuple(sizes.get(n, n) for n in shape)
        elif name.startswith("image_encoder."):
            shape = (1, 64, 64, dim)
        if not name.startswith(blocks):
            expected[name] = shape
        elif name.startswith(f"{blocks}0."):
            for n in range(depth):
                rows = 127 if n in VARIANTS[variant].global_blocks else 27
                expected[name.replace("s.0.", f"s.{n}.")] = (rows, shape[1]) if "rel_pos" in name else shape
    assert {name: tuple(value.shape) for name, value in on_meta(variant).state_dict().items()} == expected


@pytest.mark.parametrize(
    ("window", "shape"),
    [(3, (6, 3)), (3, (4, 6)), (3, (6, 5)), (3, (7, 8)), (3, (2, 2)), (3, (2, 6)), (None, (4, 4))],
)
@pytest.mark.parametrize("spread", [0.3, 4.0])
def test_attention_equals_the_published_one_with_all_its_padding(window, shape, spread):
    """Small biases give every key a share, large ones show whether sums of exponentials overflow."""
    layer = attention(window=window, spread=spread)
    x = torch.randn(2, *shape, 16)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), written_out(layer, x), rtol=0, atol=5e-5)


def test_attention_in_pieces_gives_the_same(monkeypatch):
    layer, x = attention(window=None, size=6), torch.randn(2, 6, 6, 16)
    with torch.inference_mode():
        whole = layer(x)
        for size in (1, 6 * 36 * 4 * 2, 6 * 6 * 36 * 4 * 3):  # a row, two rows, three heads at a time
            monkeypatch.setattr(attention_module, "CACHED_BYTES", size)
            torch.testing.assert_close(layer(x), whole)


def test_gradients_reach_every_weight_of_window_and_global_blocks():
    for window in (3, None):
        layer = attention(window=window)
        layer(torch.randn(1, 4, 4, 16)).square().mean().backward()
        assert all(value.grad is not None and value.grad.isfinite().all() for value in layer.parameters())


def resized(values, count):
    """Linear interpolation with sample centres at halves, along the first axis."""
    places = np.clip((np.arange(count) + 0.5) * len(values) / count - 0.5, 0, len(values) - 1)
    return np.stack([np.interp(places, np.arange(len(values)), column) for column in values.T], axis=1)


def test_relative_tables_are_resized_for_other_grids_only(monkeypatch):
    layer = attention(window=None, size=4)
    table = layer.rel_pos_h.detach()
    for size in (3, 6):
        axis = np.arange(size)
        expected = resized(table.numpy(), 2 * size - 1)[axis[:, None] - axis[None] + size - 1]
        np.testing.assert_allclose(layer._rows(table, size), expected, atol=1e-5)
    monkeypatch.setattr(F, "interpolate", None)
    assert torch.equal(layer._rows(table, 4)[3, 1], table[3 - 1 + 3])


def tiny_encoder(image_size=64):
    torch.manual_seed(0)
    sizes = Variant(dim=16, depth=2, heads=2, global_blocks=(1,), image_size=image_size, window=3, out=16)
    encoder = SamImageEncoder(sizes).eval()
    torch.nn.init.normal_(encoder.pos_embed)
    return encoder


def test_absolute_positions_are_resized_for_other_grids_only(monkeypatch):
    encoder = tiny_encoder()
    table = encoder.pos_embed.detach()[0].numpy()  # (4, 4, C)
    down = resized(table.reshape(4, -1), 3).reshape(3, 4, -1)
    expected = resized(down.swapaxes(0, 1).reshape(4, -1), 6).reshape(6, 3, -1).swapaxes(0, 1)
    np.testing.assert_allclose(encoder._positions(torch.Size((3, 6)))[0].detach(), expected, atol=1e-5)
    monkeypatch.setattr(F, "interpolate", None)
    assert encoder._positions(torch.Size((4, 4))) is encoder.pos_embed


@pytest.mark.parametrize("size", [(64, 64), (16, 16), (48, 112), (160, 32)])
def test_pictures_of_other_sizes(size):
    with torch.inference_mode():
        assert tiny_encoder()(torch.randn(2, 3, *size)).shape == (2, 16, size[0] // 16, size[1] // 16)


@pytest.mark.parametrize("shape", [(1, 3, 64, 60), (1, 1, 64, 64), (3, 64, 64), (1, 3, 0, 64)])
def test_pictures_that_do_not_fit_are_named(shape):
    with pytest.raises(ValueError, match=r"shape \(B, 3, H, W\) with H and W in multiples of 16, received"):
        tiny_encoder()(torch.zeros(shape))


def test_prompts_become_tokens_with_padding_only_without_a_box():
    network = build("sam", **TINY)
    points, labels, boxes = torch.rand(2, 3, 2), torch.ones(2, 3), torch.tensor([[1.0, 2, 30, 40]] * 2)
    counts = {
        "points": network.encode_prompts(points, labels)[0].shape,
        "box": network.encode_prompts(boxes=boxes)[0].shape,
        "both": network.encode_prompts(points, labels, boxes)[0].shape,
        "mask": network.encode_prompts(mask_logits=torch.zeros(2, 1, 16, 16))[0].shape,
    }
    assert counts == {"points": (2, 4, 16), "box": (2, 2, 16), "both": (2, 5, 16), "mask": (2, 0, 16)}
    swapped = network.encode_prompts(boxes=boxes[:, [2, 3, 0, 1]])[0]
    assert not torch.allclose(swapped.flip(1), network.encode_prompts(boxes=boxes)[0])


def test_x_runs_along_the_columns():
    """A point's encoding is that of the image token it lies on: (x, y) of rows and columns."""
    encoder = build("sam", **TINY).prompt_encoder
    token = encoder.positions().view(4, 4, 16)[1, 3]  # second row, fourth column
    place = torch.tensor([[3.5 * 16 - 0.5, 1.5 * 16 - 0.5]])
    torch.testing.assert_close(encoder.pe_layer((place[0] + 0.5) / 64), token)


def test_small_variant_trains():
    network = build("sam", **TINY).train()
    sparse, dense = network.encode_prompts(
        boxes=torch.tensor([[1.0, 2, 30, 40]]), mask_logits=torch.zeros(1, 1, 16, 16)
    )
    logits, iou = network.decode_masks(network.encode_image(torch.randn(1, 3, 64, 64)), sparse, dense)
    assert logits.shape == (1, 4, 16, 16) and iou.shape == (1, 4)
    (logits.square().mean() + iou.mean()).backward()
    unread = [name for name, value in network.named_parameters() if value.grad is None]
    assert unread == ["prompt_encoder.no_mask_embed.weight"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"variant": "vit_g"}, "expected a variant of vit_b, vit_l, vit_h, small"),
        ({"preprocessing": "none"}, "received 'vit_b' and 'none'"),
        ({"variant": "vit_b", "depth": 3}, "the sizes of 'vit_b' are fixed, received depth"),
        ({"variant": "small", "image_size": 100}, "multiples of 16"),
        ({"variant": "small", "colour": 1}, "does not take this configuration"),
    ],
)
def test_configurations_that_cannot_be_built(config, words):
    with pytest.raises(ValueError, match=words):
        build("sam", **config)


def test_a_config_names_the_sizes():
    assert variant_of(variant="vit_h").dim == 1280
    assert variant_of(variant="small", preprocessing="medsam", dim=64).dim == 64
