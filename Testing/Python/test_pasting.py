from __future__ import annotations

import numpy as np
import pytest

from sam3dseg import pasting
from sam3dseg.geometry import Grid
from sam3dseg.masks import CroppedMask
from sam3dseg.pasting import Layer, paste_mask, resample_logits, resample_mask, tile_layers
from sam3dseg.prompt_set import Prompts
from sam3dseg.windows import Window, ZoomPolicy

NATIVE = (1.0, 1.0, 1.0)
NO_PROMPTS = Prompts(points=np.zeros((0, 3), dtype=np.int64), labels=np.zeros(0, dtype=np.int64))


def plane(window, size, level):
    """Logits (size, size, size) that are positive below `level` along canonical axis 0."""
    cells = (np.arange(size) + 0.5) * window.size / size - 0.5
    positions = window.to_image(np.stack([cells] * 3, axis=1), NATIVE)[:, 0]
    return np.broadcast_to((level - positions)[:, None, None], (size,) * 3).astype(np.float32)


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 1.7])
def test_logits_keep_their_place_in_another_window(spacing_mm):
    source, target = Window((20, 20, 20), 1.0, 32), Window((22, 18, 20), spacing_mm, 32)
    seen = resample_logits(plane(source, 16, 21.3), source, target, NATIVE, 8)
    expected = plane(target, 8, 21.3)
    known = np.abs(expected) < 10
    inner = (slice(None), slice(3, 5), slice(3, 5))
    np.testing.assert_allclose(seen[inner][known[inner]], expected[inner][known[inner]], atol=0.2)


def test_beyond_the_old_window_is_background():
    source, target = Window((20, 20, 20), 1.0, 16), Window((20, 20, 20), 4.0, 16)
    seen = resample_logits(np.full((8, 8, 8), 3.0, dtype=np.float32), source, target, NATIVE, 8)
    assert (seen[3:5, 3:5, 3:5] == 3).all()
    assert (seen[0] <= 0).all()


def test_a_mask_becomes_logits_of_its_sign():
    mask = CroppedMask.from_crop(np.ones((8, 8, 8), dtype=bool), (10, 10, 10))
    logits = resample_mask(mask, Window((13.5, 13.5, 13.5), 1.0, 16), NATIVE, 8)
    assert (logits[2:6, 2:6, 2:6] > 5).all()
    assert (logits[0] < -5).all()


def test_tiles_blend_into_the_coarse_layer_without_a_seam():
    grid = Grid((64, 64, 64), NATIVE)
    whole = Window((31.5, 31.5, 31.5), 2.0, 32)
    tile = Window((31.5, 15.5, 31.5), 1.0, 32)
    coarse = plane(whole, 32, 30.0)
    layers = [Layer(coarse, whole), Layer(plane(tile, 32, 36.0), tile)]
    mask = paste_mask(layers, coarse > 0, grid, prompts=NO_PROMPTS, keep_clicked=False, overlap=0.5)
    full = np.zeros(grid.shape, dtype=bool)
    mask.paste_into(full)
    height = full[:, :, 31].sum(axis=0)
    assert height.min() == 30
    assert height.max() > 31
    assert np.abs(np.diff(height)).max() <= 1


def test_a_window_as_fine_as_any_tile_costs_no_search_for_its_boundary(monkeypatch):
    grid, window = Grid((64, 64, 64), NATIVE), Window((31.5, 31.5, 31.5), 1.0, 32)
    coarse = plane(window, 32, 30.0)
    searched = []
    monkeypatch.setattr(pasting.ndimage, "binary_erosion", lambda *_, **__: searched.append(1) or coarse > 0)
    for finest_mm in (1.0, 0.5):
        layers = tile_layers(
            Layer(coarse, window), coarse > 0, grid, ZoomPolicy(), finest_mm=finest_mm, decode=lambda *_: coarse
        )
        assert layers == []
    assert len(searched) == 1


def test_a_tile_outside_the_region_is_harmless():
    grid = Grid((64, 64, 64), NATIVE)
    whole, tile = Window((31.5, 31.5, 31.5), 2.0, 32), Window((60, 60, 60), 0.2, 32)
    coarse = plane(whole, 32, 10.0)
    layers = [Layer(coarse, whole), Layer(plane(tile, 32, 30.0), tile)]
    mask = paste_mask(layers, coarse > 0, grid, prompts=NO_PROMPTS, keep_clicked=False, overlap=0.25)
    assert mask.crop().sum() == 10 * 64 * 64
