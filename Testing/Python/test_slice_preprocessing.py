"""Slices as SAM and MedSAM take them: against Pillow, scikit-image and PyTorch, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sam3dseg.geometry import Orientation
from sam3dseg.slices.preprocessing import (
    PIXEL_DEVIATION,
    PIXEL_MEAN,
    logits_to_picture,
    mask_to_logits,
    resize_like_pillow,
    resize_like_skimage,
    slice_input,
    to_8_bit,
    volume_window,
)
from sam3dseg.slices.view import SliceView

SHAPES = [((37, 53), (64, 64)), ((64, 64), (64, 24)), ((90, 70), (32, 41)), ((5, 3), (100, 33)), ((1, 9), (1, 64))]


def picture(shape=(20, 30), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(("shape", "target"), SHAPES)
def test_resizing_for_sam_is_that_of_pillow_to_the_bit(shape, target):
    image = pytest.importorskip("PIL.Image")
    expected = image.fromarray(picture(shape)).resize(target[::-1], image.Resampling.BILINEAR)
    assert np.array_equal(resize_like_pillow(picture(shape), target), np.array(expected))


@pytest.mark.parametrize(("shape", "target"), SHAPES[:-1])
def test_resizing_for_medsam_is_that_of_skimage(shape, target):
    transform = pytest.importorskip("skimage.transform")
    colours = np.repeat(picture(shape)[:, :, None], 3, axis=-1)
    expected = transform.resize(colours, target, order=3, preserve_range=True, anti_aliasing=True)
    np.testing.assert_allclose(resize_like_skimage(picture(shape), target), expected[:, :, 1], rtol=0, atol=1e-9)


def test_enlarging_by_hand():
    """Two pixels become four: centres at -0.25, 0.25, 0.75, 1.25 of the pixel distance."""
    assert resize_like_pillow(np.array([[0, 100]], np.uint8), (1, 4)).tolist() == [[0, 25, 75, 100]]


@pytest.mark.parametrize("method", ["sam", "medsam"])
def test_whole_preparation_step_by_step(method):
    given = picture((24, 36))
    prepared = slice_input(given, (0.7, 0.7), 64, method)
    if method == "medsam":
        level = resize_like_skimage(given, (64, 64)).astype(np.uint8)
        expected = np.repeat(((level - level.min()) / (1.0 * level.max() - level.min()))[None], 3, axis=0)
        assert (prepared.filled, prepared.scale) == ((64, 64), (64 / 36, 64 / 24))
        assert (prepared.values.min(), prepared.values.max()) == (0, 1)
    else:
        expected = np.zeros((3, 64, 64))
        colours = np.repeat(resize_like_pillow(given, (43, 64))[None], 3, axis=0)  # 24 · 64 / 36 = 42.67
        expected[:, :43] = (colours - PIXEL_MEAN[:, None, None]) / PIXEL_DEVIATION[:, None, None]
        assert (prepared.filled, prepared.scale) == ((43, 64), (64 / 36, 43 / 24))
    assert prepared.values.dtype == np.float32
    np.testing.assert_allclose(prepared.values, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("pixel_mm", "filled"), [((1, 1), (64, 32)), ((2.5, 1), (64, 13)), ((1, 4), (32, 64)), ((1, 2), (64, 64))]
)
def test_sam_keeps_the_shape_in_mm(pixel_mm, filled):
    prepared = slice_input(picture((40, 20)), pixel_mm, 64, "sam")
    assert prepared.filled == filled
    assert not prepared.values[:, filled[0] :].any() and not prepared.values[:, :, filled[1] :].any()
    assert slice_input(picture((40, 20)), pixel_mm, 64, "medsam").filled == (64, 64)


def test_a_constant_slice_and_an_unknown_method():
    assert not slice_input(np.full((8, 8), 9, np.uint8), (1, 1), 16, "medsam").values.any()
    with pytest.raises(ValueError, match="unknown preprocessing 'sam2': expected one of sam, medsam"):
        slice_input(picture(), (1, 1), 16, "sam2")


@pytest.mark.parametrize(("values", "window"), [((-1000, 1500), (-160, 240)), ((-1000, 100), (-160, 100))])
def test_ct_is_recognised_and_has_its_window(values, window):
    volume = np.linspace(*values, 60).reshape(3, 4, 5)
    assert volume_window(volume) == volume_window(volume, "ct") == window
    assert volume_window(volume, "other") != window


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_other_volumes_have_percentiles_of_what_is_positive(dtype):
    values = np.random.default_rng(0).normal(60, 40, (9, 8, 7))
    volume = np.clip(values, 0 if dtype == np.uint8 else -90, 255).astype(dtype)
    expected = np.percentile(volume[volume > 0], (0.5, 99.5))
    np.testing.assert_allclose(volume_window(volume), expected, rtol=1e-12)
    np.testing.assert_allclose(volume_window(volume.transpose(2, 0, 1)[::-1]), expected, rtol=1e-12)


def test_odd_volumes_have_a_window():
    assert volume_window(np.full((2, 2, 2), 7, np.int16)) == (7, 7)
    assert volume_window(np.array([[[-3, -1]]], np.int16)) == (-3, -1)
    assert volume_window(np.array([[[0, 5, 9]]], np.int16))[1] == pytest.approx(9, abs=0.05)
    with pytest.raises(ValueError, match="unknown modality 'mr': expected one of auto, ct, other"):
        volume_window(np.zeros((2, 2, 2)), "mr")


def test_8_bits_are_those_of_medsam():
    volume = np.random.default_rng(1).integers(-1200, 1800, (6, 7, 8)).astype(np.int16)
    clipped = np.clip(volume, 40 - 400 / 2, 40 + 400 / 2)
    expected = np.uint8((clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0)
    assert np.array_equal(to_8_bit(volume, volume_window(volume)), expected)
    assert not to_8_bit(volume, (5.0, 5.0)).any()


@pytest.mark.parametrize("shape", [(20, 30), (50, 31)])
@pytest.mark.parametrize("method", ["sam", "medsam"])
def test_logits_return_as_published(method, shape):
    torch = pytest.importorskip("torch")

    def resize(values, size):
        return torch.nn.functional.interpolate(values, size, mode="bilinear", align_corners=False)

    prepared = slice_input(picture(shape), (1, 1), 64, method)
    logits = np.random.default_rng(0).normal(0, 4, (16, 16)).astype(np.float32)
    returned = logits_to_picture(logits, prepared, shape)
    values = torch.from_numpy(logits)[None, None]
    if method == "sam":
        rows, columns = prepared.filled
        expected = resize(resize(values, (64, 64))[..., :rows, :columns], shape)[0, 0].numpy()
        np.testing.assert_allclose(returned, expected, rtol=0, atol=1e-4)
    else:
        expected = resize(values.sigmoid(), shape)[0, 0].numpy()
        np.testing.assert_allclose(1 / (1 + np.exp(-returned)), expected, rtol=0, atol=1e-5)
        assert np.array_equal(returned > 0, expected > 0.5)
    assert returned.dtype == np.float32


def test_very_sure_logits_return_finite_and_quietly():
    prepared = slice_input(picture((8, 8)), (1, 1), 64, "medsam")
    with np.errstate(all="raise", under="ignore"):
        returned = logits_to_picture(np.full((16, 16), -500, np.float32), prepared, (8, 8))
    assert (returned < -10).all() and np.isfinite(returned).all()


@pytest.mark.parametrize("method", ["sam", "medsam"])
def test_a_mask_goes_to_logits_and_back(method):
    rows, columns = np.ogrid[:40, :25]
    mask = (rows - 20) ** 2 + (columns - 12) ** 2 < 90
    prepared = slice_input(mask.astype(np.uint8) * 255, (1, 1), 64, method)
    logits = mask_to_logits(mask, prepared, 16)
    assert logits.shape == (16, 16) and logits.max() == 8 and logits.min() == -8
    returned = logits_to_picture(logits, prepared, mask.shape) > 0
    assert 2 * (returned & mask).sum() / (returned.sum() + mask.sum()) > 0.93
    if method == "sam":
        assert (logits[:, 10:] == -8).all()  # beyond the picture


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("method", ["sam", "medsam"])
def test_a_voxel_is_found_in_the_input_and_back(method, axis, flips):
    """One bright voxel of a flipped file shines in the input where its mapped place is."""
    shape, ijk = (30, 24, 20), np.array([11, 6, 14])
    volume = np.zeros(shape, np.uint8)
    volume[tuple(ijk)] = 255
    orientation = Orientation.from_direction(np.diag(flips))
    canonical = orientation.to_canonical(volume)
    point = orientation.point_to_canonical(ijk, shape)
    view = SliceView(axis, int(point[axis]))
    given = view.picture(canonical)
    prepared = slice_input(given, view.pixel_mm((1.0, 1.5, 2.0)), 128, method)
    xy = prepared.to_input(view.to_picture(point, canonical.shape))
    y, x = np.unravel_index(prepared.values[0].argmax(), (128, 128))
    pixels = np.array(prepared.scale)
    assert (np.abs(xy + pixels / 2 - 0.5 - (x, y)) <= 0.5).all()  # the middle of a pixel that became larger
    back = orientation.point_from_canonical(view.to_voxels(prepared.to_picture(xy), canonical.shape), shape)
    np.testing.assert_allclose(back, ijk, atol=1e-9)


def test_boxes_go_to_the_input_and_back():
    prepared = slice_input(picture((40, 20)), (1, 1), 64, "medsam")
    box = prepared.to_input([1, 2, 10, 30])
    np.testing.assert_allclose(box, [3.2, 3.2, 32, 48])
    np.testing.assert_allclose(prepared.to_picture(box), [1, 2, 10, 30])
