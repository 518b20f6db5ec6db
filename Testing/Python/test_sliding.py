"""Sliding-window decoding: weights, seams, exactness, mirroring, and what is held at a time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sam3dseg.proposals.sliding import Tiling, View, slide


def whole(decode, views, **options):
    return torch.cat(list(slide(decode, views, **options)), dim=1)


def enlarge(stride):
    return lambda x: F.interpolate(x, scale_factor=[float(s) for s in stride])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4), st.sampled_from([0.0, 0.25, 0.5, 0.75]))
def test_weights_sum_to_one_at_every_sample(length, patch, stride, overlap):
    tiling = Tiling.of(length, patch, stride, overlap=overlap)
    total = torch.zeros(length * stride)
    for number in range(len(tiling)):
        total[tiling.samples(number)] += tiling.weights[number]
    torch.testing.assert_close(total, torch.ones(length * stride))
    assert tiling.length == length * stride
    steps = [b - a for a, b in zip(tiling.starts, tiling.starts[1:], strict=False)]
    assert all(0 < step <= max(1, patch * (1 - overlap)) + 1 for step in steps)


def test_the_middle_of_a_patch_counts_more_than_its_edge():
    tiling = Tiling.of(24, 8, 2)
    inner = tiling.weights[2]
    assert inner.argmax() in (7, 8)
    assert inner[0] < 0.05 < 0.5 < inner.max()


def test_one_patch_that_covers_all_is_exact():
    features = torch.randn(5, 3, 4, 4)
    decode = enlarge((1, 16, 16))
    found = whole(decode, [View(features)], patch=(8, 4, 6), stride=(1, 16, 16))
    assert torch.equal(found, decode(features[None])[0])


def test_a_local_decoder_leaves_no_seams():
    features = torch.randn(5, 13, 9, 11)
    decode = enlarge((1, 2, 2))
    found = whole(decode, [View(features)], patch=(4, 4, 5), stride=(1, 2, 2))
    torch.testing.assert_close(found, decode(features[None])[0], rtol=1e-5, atol=1e-6)


def test_constant_logits_stay_constant():
    found = whole(lambda x: torch.full((1, 2, *(2 * n for n in x.shape[2:])), 3.5), [View(torch.zeros(1, 9, 9, 9))],
                  patch=(4, 4, 4), stride=(2, 2, 2))  # fmt: skip
    torch.testing.assert_close(found, torch.full((2, 18, 18, 18), 3.5))


def test_slabs_are_complete_and_in_order_and_small():
    features = torch.randn(2, 21, 6, 6)
    slabs = list(slide(enlarge((1, 1, 1)), [View(features)], patch=(6, 6, 6), stride=(1, 1, 1)))
    assert len(slabs) > 3
    assert max(slab.shape[1] for slab in slabs) <= 6
    torch.testing.assert_close(torch.cat(slabs, dim=1), features)


def test_mirrored_views_make_any_decoder_equivariant():
    torch.manual_seed(0)
    layer = torch.nn.Conv3d(3, 2, 3, padding=1)
    features = torch.randn(3, 4, 4, 4)

    def answer(volume, axes):
        views = [View(volume), View(volume, axes)]
        with torch.no_grad():
            return whole(layer, views, patch=(4, 4, 4), stride=(1, 1, 1))

    for axes in ((0,), (1, 2)):
        dims = [axis + 1 for axis in axes]
        torch.testing.assert_close(answer(features.flip(dims), axes), answer(features, axes).flip(dims))
        with torch.no_grad():
            assert not torch.allclose(layer(features.flip(dims)[None])[0], layer(features[None])[0].flip(dims))


def test_check_and_progress_at_every_patch():
    seen, calls = [], []

    def check():
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    slabs = slide(enlarge((1, 1, 1)), [View(torch.zeros(1, 8, 4, 8))], patch=(4, 4, 4), stride=(1, 1, 1), check=check,
                  on_progress=lambda done, total: seen.append((done, total)))  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        list(slabs)
    assert seen == [(1, 9), (2, 9), (3, 9)]
