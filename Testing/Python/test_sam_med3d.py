"""SAM-Med3D against the reference vectors: same keys, same numbers (tolerances as suggested with the vectors)."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sam3dseg.models import attention, build  # noqa: E402
from sam3dseg.models.attention import RelativePositionAttention  # noqa: E402

ACTIVATION, LOGIT, IOU = 1e-4, 5e-5, 5e-6


@pytest.fixture(scope="module")
def vectors(shared_dir):
    return np.load(shared_dir / "vectors" / "vectors_dev.npz")


@pytest.fixture(scope="module")
def recipe(shared_dir):
    spec = importlib.util.spec_from_file_location("vector_recipe", shared_dir / "vectors" / "recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference(vectors, recipe):
    """The network with the reference weights, its embedding of the reference image, and every block's output."""
    with torch.device("meta"):
        network = build("sam_med3d_vit_b_ori")
    weights = {k: torch.from_numpy(recipe.fill(k, tuple(v.shape), "")) for k, v in sorted(network.state_dict().items())}
    assert recipe.sd_checksum(weights) == int(vectors["sd_crc32"])
    network.load_state_dict(weights, assign=True)
    image = recipe.gen(0).standard_normal((1, 1, 128, 128, 128)).astype(np.float32)
    mask = (4 * recipe.gen(1).standard_normal((1, 1, 32, 32, 32))).astype(np.float32)
    assert zlib.crc32(image.tobytes()) == int(vectors["input_crc32"])
    assert zlib.crc32(mask.tobytes()) == int(vectors["mask_crc32"])
    outputs = []
    encoder = network.eval().image_encoder
    hooks = [
        part.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        for part in (encoder.patch_embed, *encoder.blocks)
    ]
    with torch.inference_mode():
        embedding = network.encode_image(torch.from_numpy(image))
    for hook in hooks:
        hook.remove()
    return SimpleNamespace(network=network, embedding=embedding, outputs=outputs, mask=torch.from_numpy(mask))


def close(actual, expected, atol):
    np.testing.assert_allclose(torch.as_tensor(actual).detach(), expected, rtol=0, atol=atol)


def decode(reference, points, labels, mask, *, multimask):
    """Points (B, N, 3) and labels (B, N) as arrays, or None -> sparse, dense, logits, iou."""
    points, labels = (None if a is None else torch.from_numpy(a) for a in (points, labels))
    with torch.inference_mode():
        sparse, dense = reference.network.encode_prompts(points, labels, mask)
        return sparse, dense, *reference.network.decode_masks(reference.embedding, sparse, dense, multimask=multimask)


def test_keys_and_shapes_are_those_of_the_released_checkpoints(shared_dir):
    with torch.device("meta"):
        state = build("sam_med3d_vit_b_ori").state_dict()
    lines = (shared_dir / "vectors" / "keys_vit_b_ori.txt").read_text(encoding="utf-8").splitlines()
    expected = dict(line.split("\t")[:2] for line in lines if not line.startswith("#"))
    assert {name: str(tuple(value.shape)) for name, value in state.items()} == expected


def test_patches_and_every_block(reference, vectors):
    names = ["patch_embed_sub", *(f"block{n:02d}_sub" for n in range(12))]
    for name, output in zip(names, reference.outputs, strict=True):
        close(output.view(8, 8, 8, 768)[::3, ::3, ::3, ::32], vectors[name], ACTIVATION)


def test_embedding(reference, vectors):
    embedding = reference.embedding
    assert embedding.shape == (1, 384, 8, 8, 8)
    close(embedding[0, ::16, ::2, ::2, ::2], vectors["emb_sub"], LOGIT)
    close(embedding[0, :, 3, 4, 5], vectors["emb_vec_3_4_5"], LOGIT)
    close(embedding[0, 7], vectors["emb_ch7"], LOGIT)


def test_dense_positions(reference, vectors):
    grid = reference.network.prompt_encoder.positions()[0].T.reshape(384, 8, 8, 8)
    close(grid[::16, ::2, ::2, ::2], vectors["dense_pe_sub"], LOGIT)


@pytest.mark.parametrize("case", ["A", "B", "C"])
def test_points_with_and_without_a_mask(reference, vectors, case):
    points, labels = vectors[f"{case}_points"][None], vectors[f"{case}_labels"][None]
    mask = reference.mask if case == "C" else None
    sparse, dense, single, iou = decode(reference, points, labels, mask, multimask=False)
    close(sparse[0], vectors[f"{case}_sparse"], LOGIT)
    close(dense[0, ::32, ::2, ::2, ::2], vectors[f"{case}_dense_sub"], LOGIT)
    close(single, vectors[f"{case}_lowres_single"], LOGIT)
    close(iou, vectors[f"{case}_iou_single"], IOU)
    *_, multi, iou = decode(reference, points, labels, mask, multimask=True)
    close(multi, vectors[f"{case}_lowres_multi"], LOGIT)
    close(iou, vectors[f"{case}_iou_multi"], IOU)
    *_, everything, _ = decode(reference, points, labels, mask, multimask=None)
    close(everything, torch.cat([single, multi], dim=1), LOGIT)


def test_mask_alone(reference, vectors):
    sparse, _, logits, iou = decode(reference, None, None, reference.mask, multimask=False)
    assert sparse.shape == (1, 0, 384)
    close(logits[0, 0, ::2, ::2, ::2], vectors["D_lowres_single_sub"], LOGIT)
    close(iou, vectors["D_iou_single"], IOU)


def test_three_clicks_feed_the_logits_back(reference, vectors):
    points, labels = vectors["E_points"][None], vectors["E_labels"][None]
    previous = torch.zeros(1, 1, 32, 32, 32)
    for n in (1, 2, 3):
        _, _, previous, iou = decode(reference, points[:, :n], labels[:, :n], previous, multimask=False)
        close(previous[0, 0, ::2, ::2, ::2], vectors[f"E_click{n}_sub"], LOGIT)
        close(iou, vectors[f"E_click{n}_iou"], IOU)


def test_two_prompt_sets_share_one_embedding(reference, vectors):
    _, _, logits, iou = decode(reference, vectors["F_points"], vectors["F_labels"], None, multimask=False)
    close(logits[:, 0, ::2, ::2, ::2], vectors["F_lowres_single_sub"], LOGIT)
    close(iou, vectors["F_iou_single"], IOU)


def test_layer_norm_constants_differ_between_encoder_and_decoder(reference):
    norms = {name: m.eps for name, m in reference.network.named_modules() if isinstance(m, torch.nn.LayerNorm)}
    decoder = {eps for name, eps in norms.items() if name.startswith("mask_decoder.transformer.")}
    assert decoder == {1e-5}
    assert {eps for name, eps in norms.items() if not name.startswith("mask_decoder.transformer.")} == {1e-6}


def test_window_block_equals_attention_over_the_whole_padding():
    """One extra key against all 14³, written out; large biases show that the sum of exponentials does not overflow."""
    torch.manual_seed(0)
    dim, heads, span = 16, 2, 14
    block = RelativePositionAttention(dim, heads, span)
    for table in (block.rel_pos_d, block.rel_pos_h, block.rel_pos_w):
        torch.nn.init.normal_(table, std=4.0)
    torch.nn.init.normal_(block.qkv.bias, std=2.0)
    x = torch.randn(2, 512, dim)
    with torch.inference_mode():
        padded = torch.nn.functional.pad(x.view(2, 8, 8, 8, dim), (0, 0, 0, 6, 0, 6, 0, 6)).reshape(2, span**3, dim)
        qkv = block.qkv(padded).view(2, span**3, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        grid = q.unflatten(2, (span,) * 3)
        rows = [block._rows(table) for table in (block.rel_pos_d, block.rel_pos_h, block.rel_pos_w)]
        term_d = torch.einsum("bndhwe,dke->bndhwk", grid, rows[0])
        term_h = torch.einsum("bndhwe,hke->bndhwk", grid, rows[1])
        term_w = torch.einsum("bndhwe,wke->bndhwk", grid, rows[2])
        bias = term_d[..., None, None, :] + (term_h.unsqueeze(5) + term_w.unsqueeze(4)).unsqueeze(4)
        bias = bias[:, :, :8, :8, :8].reshape(2, heads, 512, span**3)
        queries = grid[:, :, :8, :8, :8].reshape(2, heads, 512, -1)
        weights = (queries @ k.transpose(2, 3) * (dim // heads) ** -0.5 + bias).softmax(dim=-1)
        expected = block.proj((weights @ v).transpose(1, 2).flatten(2))
        close(block(x), expected, 1e-4)


def test_gradients_reach_every_weight_of_the_encoder_block():
    block = RelativePositionAttention(16, 2, 14)
    block(torch.randn(1, 512, 16)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_window_of_another_shape_is_named():
    with torch.device("meta"):
        network = build("sam_med3d_vit_b_ori")
        with pytest.raises(ValueError, match=r"\(B, 1, 128, 128, 128\), received \(1, 1, 64, 64, 64\)"):
            network.encode_image(torch.zeros(1, 1, 64, 64, 64))


def test_unknown_architecture_and_option():
    with pytest.raises(ValueError, match="unknown architecture 'vit_h'"):
        build("vit_h")
    with pytest.raises(ValueError, match="does not take this configuration"):
        build("sam_med3d_vit_b_ori", colour="blue")


def test_position_tables_are_unfolded_once_and_anew_after_a_change(monkeypatch):
    made = []
    unfolded = attention.unfolded
    monkeypatch.setattr(attention, "unfolded", lambda table, span: made.append(span) or unfolded(table, span))
    torch.manual_seed(0)
    layer = attention.RelativePositionAttention(24, 2, 14)
    x = torch.randn(1, 512, 24)
    with torch.inference_mode():
        first = layer(x)
        assert torch.equal(layer(x), first) and made == [14] * 3
    with torch.no_grad():
        layer.rel_pos_h.add_(torch.randn_like(layer.rel_pos_h))
    with torch.inference_mode():
        changed = layer(x)
        assert made == [14] * 4 and not torch.allclose(changed, first)
        assert torch.equal(copy.deepcopy(layer)(x), changed) and made == [14] * 7
    other = attention.RelativePositionAttention(24, 2, 14)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(pickle.loads(pickle.dumps(other))(x), changed)
    layer(x).sum().backward()
    assert layer.rel_pos_h.grad is not None and len(made) == 13
