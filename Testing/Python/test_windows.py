from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam3dseg.geometry import Grid
from sam3dseg.windows import Window, ZoomPolicy

POLICY = ZoomPolicy()
triples = st.tuples(*[st.floats(-50, 300)] * 3)
spacings = st.tuples(*[st.floats(0.2, 6)] * 3)
grids = st.builds(Grid, st.tuples(*[st.integers(2, 400)] * 3), spacings)


@given(triples, st.floats(0.1, 5), spacings, triples)
def test_points_go_to_the_window_and_back(center, spacing, image_spacing, point):
    window = Window(center, spacing)
    np.testing.assert_allclose(
        window.to_image(window.from_image(point, image_spacing), image_spacing), point, atol=1e-9
    )


def test_the_centre_is_between_the_middle_samples():
    np.testing.assert_array_equal(Window((5, 6, 7), 1.0).from_image((5, 6, 7), (1, 2, 3)), (63.5, 63.5, 63.5))


@given(grids, st.floats(0.1, 5), st.data())
def test_a_placed_window_holds_its_click_and_wastes_nothing(grid, spacing, data):
    click = [data.draw(st.integers(0, n - 1)) for n in grid.shape]
    window = POLICY.place(grid, click, spacing, 128)
    low, high = window.bounds(grid.spacing_mm)
    for axis, length in enumerate(grid.shape):
        if high[axis] - low[axis] <= length:
            assert low[axis] >= -0.5 - 1e-6
            assert high[axis] <= length - 0.5 + 1e-6
            assert low[axis] - 1e-6 <= click[axis] <= high[axis] + 1e-6
        else:
            assert low[axis] <= -0.5
            assert high[axis] >= length - 0.5


@given(grids)
def test_the_covering_window_holds_every_voxel(grid):
    last = np.asarray(grid.shape) - 1
    window = POLICY.framing(grid, (0, 0, 0), last, fraction=0.6, finest_mm=0.0, size=128)
    assert window.contains([(0, 0, 0), last], grid.spacing_mm).all()


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "fixed", "expected"),
    [
        ((512, 512, 600), (0.8, 0.8, 1.0), None, 0.8),  # larger than a window: native
        ((50, 50, 35), (1.0, 1.0, 1.0), None, 50 / 128),  # smaller: magnified to fill it
        ((20, 20, 20), (1.0, 1.0, 1.0), None, 1 / 3),  # but not without bound
        ((512, 512, 40), (0.4, 0.4, 6.0), None, 1.0),  # thick slices: not ever so fine
        ((512, 512, 600), (0.8, 0.8, 1.0), 1.5, 1.5),  # the model's own
    ],
)
def test_first_spacing(shape, spacing_mm, fixed, expected):
    policy = ZoomPolicy(first_finest_divisor=3.0)
    assert policy.start_spacing(Grid(shape, spacing_mm), 128, fixed) == pytest.approx(expected)


def test_a_face_at_the_image_border_is_not_run_into():
    grid = Grid((128, 300, 300), (1.0, 1.0, 1.0))
    window = POLICY.place(grid, (0, 0, 150), 1.0, 128)
    hit = POLICY.faces_hit(np.ones((64, 64, 64), dtype=bool), window, grid)
    np.testing.assert_array_equal(hit, [[0, 0], [0, 1], [1, 1]])


def test_zooming_out_keeps_the_old_cube_and_ends_at_the_image():
    grid = Grid((500, 500, 500), (1.0, 1.0, 1.0))
    window = POLICY.place(grid, (250, 250, 250), 1.0, 128)
    hit = np.array([[1, 0], [0, 0], [0, 1]])
    for step in range(3):
        wider = POLICY.zoom_out(window, grid, hit, step)
        corners = window.bounds(grid.spacing_mm)
        assert wider.contains(corners, grid.spacing_mm, margin=-1e-6).all()
        window = wider
    assert window.extent_mm == pytest.approx(500)
    assert POLICY.zoom_out(window, grid, hit, 0) is None


@given(grids, st.floats(1.3, 4))
def test_tiles_cover_the_window_inside_the_image(grid, factor):
    window = POLICY.framing(grid, (0, 0, 0), np.asarray(grid.shape) - 1, fraction=1.0, finest_mm=0.0, size=32)
    tiles = POLICY.tiles(window, grid, window.spacing_mm / factor)
    voxels = np.stack([np.random.default_rng(0).integers(0, n, 50) for n in grid.shape], axis=1)
    assert np.any([tile.contains(voxels, grid.spacing_mm, margin=-1e-6) for tile in tiles], axis=0).all()
