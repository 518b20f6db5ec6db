from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from sam3dseg import masks
from sam3dseg.masks import CroppedMask, bounding_box, components_at


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=6)), st.tuples(*[st.integers(0, 3)] * 3))
def test_a_cropped_mask_gives_its_voxels_back(crop, offset):
    full = np.zeros([o + n + 1 for o, n in zip(offset, crop.shape, strict=True)], dtype=bool)
    full[tuple(slice(o, o + n) for o, n in zip(offset, crop.shape, strict=True))] = crop
    mask = CroppedMask.from_crop(crop, offset)
    pasted = np.zeros_like(full)
    mask.paste_into(pasted)
    np.testing.assert_array_equal(pasted, full)
    region = tuple(slice(1, max(n - 1, 1)) for n in full.shape)
    np.testing.assert_array_equal(mask.within(region), full[region])
    assert mask.is_empty == (not crop.any())


def test_the_bounding_box_is_tight():
    mask = np.zeros((6, 7, 8), dtype=bool)
    assert bounding_box(mask) is None
    mask[2, 3, 4] = mask[4, 3, 6] = True
    assert bounding_box(mask) == (slice(2, 5), slice(3, 4), slice(4, 7))


def test_components_are_kept_by_seed_by_neighbourhood_and_by_overlap():
    mask = np.zeros((20, 5, 5), dtype=bool)
    mask[0:3], mask[6:9], mask[12:15], mask[18:] = True, True, True, True
    touching = np.zeros_like(mask)
    touching[13, 2, 2] = True
    kept = components_at(mask, np.array([[1, 1, 1], [10, 2, 2]]), touching)
    expected = mask.copy()
    expected[18:] = False
    np.testing.assert_array_equal(kept, expected)
    assert not components_at(np.zeros((3, 3, 3), dtype=bool), np.array([[1, 1, 1]])).any()


@given(st.data())
def test_components_are_those_of_the_whole_array(data):
    mask = data.draw(arrays(bool, array_shapes(min_dims=2, max_dims=3, max_side=9)))
    seeds = np.array(data.draw(st.lists(st.tuples(*[st.integers(0, n - 1) for n in mask.shape]), max_size=3)), int)
    seeds = seeds.reshape(-1, mask.ndim)
    expected = np.zeros_like(mask)
    labels, _ = ndimage.label(mask)
    for seed in seeds:
        distance = np.abs(np.argwhere(mask) - seed)
        near = np.argwhere(mask)[(distance <= 2).all(axis=1)]
        if len(near):
            least = ((near - seed) ** 2).sum(axis=1)
            expected |= labels == labels[tuple(near[np.argmin(least)])]
    np.testing.assert_array_equal(components_at(mask, seeds), expected)


def test_components_are_looked_for_where_the_mask_is(monkeypatch):
    looked_at = []
    label = ndimage.label
    monkeypatch.setattr(masks.ndimage, "label", lambda part: looked_at.append(part.shape) or label(part))
    mask = np.zeros((40, 40, 40), bool)
    mask[10:14, 20:25, 30:36] = True
    np.testing.assert_array_equal(components_at(mask, np.array([[9, 20, 30]])), mask)
    assert not components_at(mask, np.array([[0, 0, 0], [39, 39, 39]])).any()
    assert looked_at == [(4, 5, 6)] * 2


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=6)), st.tuples(*[st.integers(0, 300)] * 3))
def test_a_cropped_mask_goes_round_as_text(crop, offset):
    mask = CroppedMask.from_crop(crop, offset)
    if not mask.is_empty:
        assert CroppedMask.from_text(mask.as_text()) == mask and "|" not in mask.as_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "not enough values"),
        (lambda text: text.split(" ", 1)[1], "expected six numbers before the bits of a mask, received 5"),
        (lambda text: text.replace("2 3 4", "2 3 44"), "expected the bits of a mask of shape .2, 3, 44., received 3"),
        (lambda text: text.replace("1 1 1 ", "1 -1 1 "), "expected the bits of a mask"),
        (lambda text: text[:-12] + "AAAAAAAAAAAA", "expected the compressed bits of a mask"),
        (lambda text: text[:-3], "base64"),
        (lambda text: text.replace("1", "a", 1), "invalid literal"),
    ],
)
def test_other_text_is_no_mask(change, words):
    text = CroppedMask.from_crop(np.ones((2, 3, 4), bool), (1, 1, 1)).as_text()
    with pytest.raises(ValueError, match=words):
        CroppedMask.from_text(change(text))
