"""SAM ViT-B against the reference vectors (tolerances as suggested with them)."""

from __future__ import annotations

import importlib.util
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sam3dseg.models import build  # noqa: E402

pytestmark = pytest.mark.slow
ACTIVATION, LOGIT, IOU = 1e-4, 5e-5, 5e-6


@pytest.fixture(scope="module")
def vectors(shared_dir):
    return np.load(shared_dir / "vectors" / "sam2d_vectors_dev.npz")


@pytest.fixture(scope="module")
def reference(shared_dir, vectors):
    """The network with the reference weights, its embedding of the reference picture, and every block's output."""
    spec = importlib.util.spec_from_file_location("vector_recipe", shared_dir / "vectors" / "recipe.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    with torch.device("meta"):
        network = build("sam", variant="vit_b")
    state = sorted(network.state_dict().items())
    weights = {name: torch.from_numpy(recipe.fill(name, tuple(value.shape), "sam2d:")) for name, value in state}
    assert recipe.sd_checksum(weights) == int(vectors["sd_crc32"])
    network.load_state_dict(weights, strict=True, assign=True)
    picture = recipe.gen(10).standard_normal((1, 3, 1024, 1024)).astype(np.float32)
    mask = (4 * recipe.gen(11).standard_normal((1, 1, 256, 256))).astype(np.float32)
    assert zlib.crc32(picture.tobytes()) == int(vectors["input_crc32"])
    assert zlib.crc32(mask.tobytes()) == int(vectors["mask_crc32"])
    outputs = []
    for block in network.eval().image_encoder.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    with torch.inference_mode():
        embedding = network.encode_image(torch.from_numpy(picture))
    return SimpleNamespace(network=network, embedding=embedding, outputs=outputs, mask=torch.from_numpy(mask))


def close(actual, expected, atol):
    actual = actual.detach().numpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)
    assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()


def decode(reference, points, labels, boxes, mask, *, multimask):
    prompts = [None if value is None else torch.from_numpy(value) for value in (points, labels, boxes)]
    with torch.inference_mode():
        sparse, dense = reference.network.encode_prompts(*prompts, mask)
        return sparse, dense, *reference.network.decode_masks(reference.embedding, sparse, dense, multimask=multimask)


def test_every_block(reference, vectors):
    assert len(reference.outputs) == 12
    for n, output in enumerate(reference.outputs):
        close(output[0, ::13, ::13, ::32], vectors[f"block{n:02d}_sub"], ACTIVATION)


def test_embedding(reference, vectors):
    embedding = reference.embedding
    assert embedding.shape == (1, 256, 64, 64)
    close(embedding[0, ::16, ::4, ::4], vectors["emb_sub"], LOGIT)
    close(embedding[0, :, 30, 40], vectors["emb_vec_30_40"], LOGIT)
    close(embedding[0, 7], vectors["emb_ch7"], LOGIT)


def test_dense_positions(reference, vectors):
    grid = reference.network.prompt_encoder.positions()[0].T.reshape(256, 64, 64)
    close(grid[::16, ::8, ::8], vectors["dense_pe_sub"], LOGIT)


@pytest.mark.parametrize("case", ["A", "B", "C", "D", "E"])
def test_points_boxes_and_a_mask(reference, vectors, case):
    given = {name: vectors[f"{case}_{name}"] for name in ("points", "labels", "box") if f"{case}_{name}" in vectors}
    points, labels = (given[name][None] if name in given else None for name in ("points", "labels"))
    mask = reference.mask if case == "D" else None
    for kind, multimask in (("single", False), ("multi", True)):
        sparse, dense, logits, iou = decode(reference, points, labels, given.get("box"), mask, multimask=multimask)
        close(sparse, vectors[f"{case}_sparse"], LOGIT)
        close(dense[0, ::32, ::16, ::16], vectors[f"{case}_dense_sub"], LOGIT)
        close(logits[:, :, 1::4, 1::4], vectors[f"{case}_lowres_{kind}_sub"], LOGIT)
        close(iou, vectors[f"{case}_iou_{kind}"], IOU)
        if multimask is False and f"{case}_lowres_single_full" in vectors:
            close(logits, vectors[f"{case}_lowres_single_full"], LOGIT)
    *_, everything, _ = decode(reference, points, labels, given.get("box"), mask, multimask=None)
    close(everything[:, 1:, 1::4, 1::4], vectors[f"{case}_lowres_multi_sub"], LOGIT)


def test_layer_norm_constants_differ_between_encoder_and_decoder(reference):
    norms = {name: m.eps for name, m in reference.network.named_modules() if isinstance(m, torch.nn.LayerNorm)}
    transformer = {name for name in norms if name.startswith("mask_decoder.transformer.")}
    assert {norms[name] for name in transformer} == {1e-5}
    assert {eps for name, eps in norms.items() if name not in transformer} == {1e-6}
