from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import pytest
from conftest import ThresholdSegmenter
from scipy import ndimage

from sam3dseg import Box, Click, Session
from sam3dseg.session import Cancelled
from sam3dseg.weighing import FEATURES
from sam3dseg.windows import ZoomPolicy

SHAPE = (40, 44, 36)
CENTER = (18, 22, 16)


@pytest.fixture
def organ(make_ellipsoid):
    """Bool ellipsoid in the middle of a volume of SHAPE."""
    return make_ellipsoid(SHAPE, CENTER, (9, 11, 8))


@pytest.fixture
def session(segmenter, organ) -> Session:
    session = Session(segmenter)
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    return session


def _volume(organ, seed=0):
    noise = np.random.default_rng(seed).normal(0, 5, organ.shape)
    return (100.0 * organ + noise).astype(np.float32)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_a_click_gives_a_native_mask(session, organ):
    mask = session.add(Click(CENTER))
    assert mask.shape == SHAPE
    assert mask.dtype == bool
    assert dice(mask, organ) > 0.95
    assert session.clicks == (Click(CENTER),)
    np.testing.assert_array_equal(session.mask, mask)
    crop, offset = session.mask_crop
    np.testing.assert_array_equal(mask[tuple(slice(o, o + n) for o, n in zip(offset, crop.shape, strict=True))], crop)
    assert crop.sum() == mask.sum()


def test_all_48_orientations_give_the_same_mask(make_segmenter, make_ellipsoid):
    organ = make_ellipsoid((24, 30, 20), (8, 14, 10), (5, 8, 4))
    image, spacing = _volume(organ), np.array([1.0, 0.8, 2.0])
    reference = None
    for perm, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        direction = np.zeros((3, 3))
        for axis in range(3):
            direction[perm[axis], axis] = signs[axis]
        flip = tuple(slice(None, None, s) for s in signs)
        stored = image.transpose(perm)[flip]
        click = tuple(
            (8, 14, 10)[p] if s > 0 else image.shape[p] - 1 - (8, 14, 10)[p] for p, s in zip(perm, signs, strict=True)
        )
        session = Session(make_segmenter())
        session.set_image(np.ascontiguousarray(stored), spacing_mm=spacing[list(perm)], direction=direction)
        session.add(Click(click))
        mask = session.add(Click((0, 0, 0) if signs == (1, 1, 1) else click, is_foreground=signs != (1, 1, 1)))
        if signs == (1, 1, 1):
            mask = session.undo()
        in_ras = mask[flip].transpose(np.argsort(perm))
        crop, offset = session.mask_crop
        assert mask[tuple(slice(o, o + n) for o, n in zip(offset, crop.shape, strict=True))].sum() == mask.sum()
        reference = in_ras if reference is None else reference
        np.testing.assert_array_equal(in_ras, reference)
    assert dice(reference, organ) > 0.85


@pytest.mark.parametrize("spacing_mm", [(0.5, 0.5, 3.0), (2.0, 0.7, 1.0)])
def test_anisotropic_volumes(segmenter, organ, spacing_mm):
    session = Session(segmenter)
    session.set_image(_volume(organ), spacing_mm=spacing_mm)
    assert dice(session.add(Click(CENTER)), organ) > 0.85


def test_logits_coarser_than_the_window(make_segmenter, organ):
    session = Session(make_segmenter(logits_size=16))
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    session.add(Click(CENTER))
    assert dice(session.add(Click((18, 25, 16))), organ) > 0.8


def test_an_image_smaller_than_the_window(segmenter, random_image):
    session = Session(segmenter)
    session.set_image(random_image, spacing_mm=(1, 1, 1))
    assert session.add(Click((0, 8, 9)))[0, 8, 9]


def test_a_single_slice_is_a_volume(segmenter, make_ellipsoid):
    organ = make_ellipsoid((60, 50, 1), (30, 25, 0), (12, 9, 1))
    session = Session(segmenter)
    session.set_image(_volume(organ), spacing_mm=(1, 1, 5))
    assert dice(session.add(Click((30, 25, 0))), organ) > 0.9


def test_later_clicks_reuse_the_window_and_feed_the_logits_back(session, segmenter):
    session.add(Click(CENTER))
    encodes, first = len(segmenter.encoded), session._history.current.outcome.logits
    session.add(Click((18, 25, 16)))
    assert len(segmenter.encoded) == encodes
    np.testing.assert_array_equal(segmenter.decoded[-1]["previous"], first)
    assert len(segmenter.decoded[-1]["points"]) == 2
    assert session.last_timing.encodes == 0
    assert session.last_timing.encode_s == 0
    assert session.last_timing.decodes == 1
    assert session.last_timing.decode_s > 0
    assert session.last_timing.device == "CPU"
    assert session.last_timing.device_bytes == 123


def test_points_reach_the_model_in_window_samples(make_segmenter):
    image = np.zeros((30, 24, 20))
    image[12, 10, 9] = 1
    segmenter = make_segmenter(window_size=8, logits_size=8, fixed_spacing_mm=1.0)
    session = Session(segmenter, policy=ZoomPolicy(max_tiles=0))
    session.set_image(image, spacing_mm=(1, 1, 1))
    session.add(Click((12, 10, 9)))
    bright = np.argwhere(segmenter.encoded[0][0] > 1)
    np.testing.assert_allclose(segmenter.decoded[0]["points"], [bright.mean(axis=0)])


def test_the_cache_is_bounded(make_segmenter, organ):
    segmenter = make_segmenter()
    session = Session(segmenter, cache_size=2)
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    for corner in (CENTER, (2, 2, 2), (38, 40, 34)):
        session.reset()
        session.add(Click(corner))
    assert len(session._predictor._cache) <= 2


def test_clicked_voxels_follow_their_clicks(session):
    mask = session.add_many([Click(CENTER), Click((1, 1, 1)), Click((19, 23, 16), is_foreground=False)])
    assert mask[CENTER]
    assert mask[1, 1, 1]
    assert not mask[19, 23, 16]
    assert len(session.clicks) == 3


def test_coalesced_clicks_are_one_step(session):
    session.add_many([Click(CENTER), Click((18, 25, 16))])
    session.undo()
    assert session.clicks == ()


def test_of_two_clicks_on_a_voxel_the_last_counts(session):
    session.add(Click(CENTER))
    assert session.add(Click((18, 25, 16)))[18, 25, 16]
    assert not session.add(Click((18, 25, 16), is_foreground=False))[18, 25, 16]


def test_undo_and_redo_restore_prompts_mask_and_logits(session):
    first = session.add(Click(CENTER))
    logits = session._history.current.outcome.logits
    second = session.add(Click((18, 29, 16), is_foreground=False))
    assert (first != second).any()
    np.testing.assert_array_equal(session.undo(), first)
    assert session.clicks == (Click(CENTER),)
    assert session._history.current.outcome.logits is logits
    np.testing.assert_array_equal(session.redo(), second)
    session.undo()
    session.undo()
    assert not session.mask.any()
    assert not session.can_undo
    with pytest.raises(RuntimeError, match="nothing to undo"):
        session.undo()


def test_a_new_click_after_undo_drops_what_was_undone(session):
    session.add(Click(CENTER))
    session.add(Click((18, 25, 16)))
    session.undo()
    session.add(Click((18, 26, 16)))
    assert not session.can_redo
    with pytest.raises(RuntimeError, match="nothing to redo"):
        session.redo()


def test_reset_forgets_prompts_and_keeps_the_encoded_window(session, segmenter):
    session.add(Click(CENTER))
    encodes = len(segmenter.encoded)
    session.reset()
    assert session.clicks == ()
    assert not session.mask.any()
    assert session.candidates == ()
    session.add(Click(CENTER))
    assert len(segmenter.encoded) == encodes


def test_candidates_and_choice(session):
    mask = session.add(Click(CENTER))
    assert [round(c.iou, 3) for c in session.candidates] == [0.9, 0.8, 0.7, 0.6]
    default, iou = session.candidates[0]
    np.testing.assert_array_equal(default, mask)
    wider = session.candidates[2].mask
    assert wider.sum() > mask.sum()
    np.testing.assert_array_equal(session.choose(2), wider)
    assert session.clicks == (Click(CENTER),)
    np.testing.assert_array_equal(session.undo(), mask)
    with pytest.raises(ValueError, match="candidate must be 0 to 3, got 4"):
        session.choose(4)


def test_choice_before_any_answer(session):
    with pytest.raises(RuntimeError, match="add a click"):
        session.choose(0)


def test_a_box_frames_its_object_and_bounds_the_mask(session, segmenter, organ):
    box = Box((8, 10, 7), (28, 34, 20))
    mask = session.add(box)
    inside = np.zeros(SHAPE, dtype=bool)
    inside[8:29, 10:35, 7:21] = True
    assert not (mask & ~inside).any()
    assert dice(mask, organ & inside) > 0.9
    assert session.boxes == (box,)
    np.testing.assert_allclose(segmenter.decoded[0]["points"].shape, (1, 3))
    session.add(Click((0, 0, 0), is_foreground=False))
    assert session.undo().any()


def test_an_existing_mask_is_refined(session, segmenter, organ):
    start = organ.copy()
    start[:, 25:] = False
    np.testing.assert_array_equal(session.set_mask(start), start)
    assert session.clicks == ()
    mask = session.add(Click((18, 30, 16)))
    previous = segmenter.decoded[-1]["previous"]
    assert previous.shape == (32, 32, 32)
    assert previous.max() > 0 > previous.min()
    assert dice(mask, organ) > 0.9
    np.testing.assert_array_equal(session.undo(), start)


def test_a_background_click_alone_corrects_a_mask(session, organ):
    session.set_mask(organ)
    mask = session.add(Click((18, 30, 16), is_foreground=False))
    assert not mask[18, 30, 16]
    assert dice(mask, organ) > 0.8


def test_an_empty_mask_is_no_start(session):
    session.set_mask(np.zeros(SHAPE, dtype=np.uint8))
    with pytest.raises(ValueError, match="foreground click"):
        session.add(Click(CENTER, is_foreground=False))


def test_only_clicked_components_are_kept(make_segmenter, make_ellipsoid):
    two = make_ellipsoid((50, 40, 40), (12, 20, 20), (7, 7, 7)) | make_ellipsoid((50, 40, 40), (36, 20, 20), (7, 7, 7))
    left = two.copy()
    left[24:] = False
    session = Session(make_segmenter())
    session.set_image(_volume(two), spacing_mm=(1, 1, 1))
    assert dice(session.add(Click((12, 20, 20))), left) > 0.9
    assert dice(session.add(Click((36, 20, 20))), two) > 0.9
    everything = Session(make_segmenter(), keep_clicked_components=False)
    everything.set_image(_volume(two), spacing_mm=(1, 1, 1))
    assert dice(everything.add(Click((12, 20, 20))), two) > 0.9


def test_a_large_object_is_found_whole_and_at_full_resolution(make_segmenter, make_ellipsoid):
    shape = (120, 100, 90)
    organ = make_ellipsoid(shape, (60, 50, 45), (42, 34, 30))
    coarse_only = Session(make_segmenter(), policy=ZoomPolicy(max_tiles=0))
    refined = Session(make_segmenter(), policy=ZoomPolicy(max_tiles=100))
    results = []
    for session in (coarse_only, refined):
        session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
        results.append(dice(session.add(Click((60, 50, 45))), organ))
    assert results[0] > 0.9
    assert results[1] > max(results[0], 0.97)
    assert refined.last_timing.encodes > coarse_only.last_timing.encodes


def test_the_number_of_tiles_is_limited(make_segmenter, make_ellipsoid):
    organ = make_ellipsoid((120, 100, 90), (60, 50, 45), (42, 34, 30))
    session = Session(make_segmenter())
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    session.add(Click((60, 50, 45)))
    assert session.last_timing.encodes <= 4 + ZoomPolicy().max_tiles
    session.add(Click((60, 55, 45)))
    assert session.last_timing.encodes == 0


def test_a_tiny_object_is_looked_at_closely(make_segmenter, make_ellipsoid):
    organ = make_ellipsoid((60, 60, 60), (20, 30, 40), (3, 3, 3))
    segmenter = make_segmenter()
    policy = ZoomPolicy(
        first_finest_divisor=1.0, tiny_fraction=0.25, framed_fraction=0.5, in_finest_divisor=4.0, wide_share=0
    )
    session = Session(segmenter, policy=policy)
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    assert dice(session.add(Click((20, 30, 40))), organ) > 0.9
    assert session._history.current.outcome.window.spacing_mm < 1
    assert len(segmenter.encoded) == 2


def test_a_closer_look_is_averaged_with_the_wider_one(make_ellipsoid):
    organ = make_ellipsoid((60, 60, 60), (20, 30, 40), (6, 6, 6))

    class GreedyUpClose(ThresholdSegmenter):
        """Takes a cell more all round when it looks closely."""

        def decode(self, embedding, points, labels, previous):
            prediction = super().decode(embedding, points, labels, previous)
            if previous is None:
                return prediction
            logits = np.where(ndimage.binary_dilation(prediction.logits > 0, iterations=1), 0.05, -1.0)
            return replace(prediction, logits=logits.astype(np.float32))

    sizes = []
    for share in (0.0, 0.5):
        policy = ZoomPolicy(first_finest_divisor=1.0, tiny_fraction=0.5, framed_fraction=0.6, wide_share=share)
        session = Session(GreedyUpClose(), policy=policy)
        session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
        sizes.append(np.count_nonzero(session.add(Click((20, 30, 40)))))
        assert session._history.current.outcome.window.spacing_mm < 1
    assert sizes[1] < sizes[0]


@dataclass
class Forgetful(ThresholdSegmenter):
    """Answers a background click with nothing but a ball around each foreground click; believed only near clicks."""

    judge: Callable | None = staticmethod(lambda features: 0.5 - features[:, FEATURES.index("distance")])

    def decode(self, embedding, points, labels, previous):
        prediction = super().decode(embedding, points, labels, previous)
        if not (labels == 0).any():
            return prediction
        cells = np.indices(prediction.logits.shape[1:])
        near = [sum((a - c) ** 2 for a, c in zip(cells, p, strict=True)) <= 4 for p in points[labels == 1]]
        return replace(prediction, logits=np.where(np.any(near, axis=0), 1.0, -1.0)[None].astype(np.float32))


@pytest.mark.parametrize("weighs", [True, False])
def test_a_correcting_click_does_not_lose_the_mask(make_ellipsoid, weighs):
    organ = make_ellipsoid((32, 32, 32), (16, 16, 16), (9, 9, 9))
    session = Session(Forgetful() if weighs else Forgetful(judge=None), policy=ZoomPolicy(tiny_fraction=0.0))
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    before = session.add(Click((16, 16, 16)))
    after = session.add(Click((16, 16, 23), is_foreground=False))
    assert not after[16, 16, 23]
    assert (np.count_nonzero(after) > 0.6 * np.count_nonzero(before)) == weighs


def test_clicks_given_together_correct_together(make_ellipsoid):
    organ = make_ellipsoid((32, 32, 32), (16, 16, 16), (9, 9, 9))
    session = Session(Forgetful(), policy=ZoomPolicy(tiny_fraction=0.0))
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    session.add(Click((16, 16, 16)))
    after = session.add_many([Click((16, 16, 23), is_foreground=False), Click((16, 16, 9), is_foreground=False)])
    assert not after[16, 16, 23] and not after[16, 16, 9] and after[16, 16, 16]


@dataclass
class Timid(ThresholdSegmenter):
    """A hill around the click that ends well within the organ; says again what it is shown."""

    judge: Callable | None = staticmethod(lambda features: np.full(len(features), -9.0, np.float32))
    steepness: float = 0.5

    def decode(self, embedding, points, labels, previous):
        prediction = super().decode(embedding, points, labels, previous)
        if previous is not None:
            return replace(prediction, logits=np.stack([previous, *prediction.logits[1:]]))
        cells = np.indices(prediction.logits.shape[1:])
        away = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(cells, points[0], strict=True)))
        hill = (self.steepness * (7 - away)).astype(np.float32)
        return replace(prediction, logits=np.stack([hill, *prediction.logits[1:]]))


@pytest.mark.parametrize(
    ("choices", "is_cut"), [({}, True), ({"judge": None}, False), ({"steepness": 9.0}, False)], ids=str
)
def test_an_unsure_first_mask_is_cut_where_the_organ_ends(make_ellipsoid, choices, is_cut):
    organ = make_ellipsoid((32, 32, 32), (16, 16, 16), (9, 9, 9))
    segmenter = Timid(**choices)
    session = Session(segmenter, policy=ZoomPolicy(tiny_fraction=0.0, first_finest_divisor=1.0))
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    mask = session.add(Click((16, 16, 16)))
    assert (dice(mask, organ) > 0.9) == is_cut
    assert len(segmenter.decoded) == 1 + is_cut and len(segmenter.encoded) == 1
    if is_cut:
        assert segmenter.decoded[1]["previous"][16, 16, 8] > 0  # a cell that the first answer left out
    assert dice(session.candidates[0].mask, organ) == dice(mask, organ)
    session.add(Click((16, 16, 20)))
    assert len(segmenter.decoded) == 2 + is_cut  # a correction is not cut


def test_a_first_mask_that_ends_at_the_edges_is_not_shown_again(make_ellipsoid):
    organ = make_ellipsoid((32, 32, 32), (16, 16, 16), (7, 7, 7))
    segmenter = Timid()
    session = Session(segmenter, policy=ZoomPolicy(tiny_fraction=0.0, first_finest_divisor=1.0))
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    assert dice(session.add(Click((16, 16, 16))), organ) > 0.9
    assert len(segmenter.decoded) == 1


def test_a_mask_to_start_from_and_a_box_say_where_the_border_is(make_ellipsoid):
    organ = make_ellipsoid((32, 32, 32), (16, 16, 16), (9, 9, 9))
    for given in ("mask", "box"):
        segmenter = Timid()
        session = Session(segmenter, policy=ZoomPolicy(tiny_fraction=0.0, first_finest_divisor=1.0))
        session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
        if given == "mask":
            session.set_mask(organ)
            session.add(Click((16, 16, 16)))
        else:
            session.add(Box((7, 7, 7), (25, 25, 25)))
        assert len(segmenter.decoded) == 1


def test_a_model_of_fixed_spacing_stays_there(make_segmenter, make_ellipsoid):
    organ = make_ellipsoid((60, 60, 60), (20, 30, 40), (5, 5, 5))
    session = Session(make_segmenter(fixed_spacing_mm=1.5))
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    session.add(Click((20, 30, 40)))
    assert session._history.current.outcome.window.spacing_mm == 1.5


def test_clicks_further_apart_than_a_window(make_segmenter, make_ellipsoid):
    organ = make_ellipsoid((200, 40, 40), (20, 20, 20), (8, 8, 8)) | make_ellipsoid(
        (200, 40, 40), (180, 20, 20), (8, 8, 8)
    )
    session = Session(make_segmenter())
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    session.add(Click((20, 20, 20)))
    mask = session.add(Click((180, 20, 20)))
    assert mask[20, 20, 20]
    assert mask[180, 20, 20]
    assert session._history.current.outcome.window.extent_mm >= 160


def test_cancel_between_stages_leaves_the_session_unchanged(make_segmenter, organ):
    segmenter = make_segmenter()
    session = Session(segmenter)
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1))
    encoding, go_on = threading.Event(), threading.Event()
    segmenter.on_encode = lambda: (encoding.set(), go_on.wait(10))
    raised = []

    def work():
        try:
            session.add(Click(CENTER))
        except Cancelled as error:
            raised.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert encoding.wait(10)
    session.cancel()
    go_on.set()
    worker.join(10)
    assert len(raised) == 1
    assert session.clicks == ()
    assert segmenter.decoded == []
    segmenter.on_encode = None
    encodes = len(segmenter.encoded)
    assert session.add(Click(CENTER)).any()
    assert len(segmenter.encoded) == encodes  # the finished encode was kept


def test_cancel_while_idle_does_nothing(session):
    session.cancel()
    assert session.add(Click(CENTER)).any()


def test_a_failing_model_leaves_the_session_unchanged(session, segmenter):
    before = session.add(Click(CENTER))

    def fail(*_):
        raise MemoryError("no room")

    segmenter.decode = fail
    with pytest.raises(MemoryError):
        session.add(Click((18, 25, 16)))
    assert session.clicks == (Click(CENTER),)
    np.testing.assert_array_equal(session.mask, before)


def test_a_background_click_first_is_refused(session):
    with pytest.raises(ValueError, match="foreground click.*click inside the structure first"):
        session.add(Click(CENTER, is_foreground=False))
    assert session.clicks == ()
    assert not session.can_undo


@pytest.mark.parametrize("ijk", [(40, 0, 0), (0, -1, 0)])
def test_click_outside_names_the_voxel_and_the_shape(session, ijk):
    with pytest.raises(ValueError, match=r"is outside the image of shape \(40, 44, 36\)"):
        session.add(Click(ijk))
    assert session.clicks == ()


@pytest.mark.parametrize("ijk", [(1.5, 2, 3), (1, 2), "abc"])
def test_a_click_that_is_no_voxel(session, ijk):
    with pytest.raises(ValueError, match="three integer voxel indices"):
        session.add(Click(ijk))


def test_numpy_indices_are_fine(session):
    session.add(Click(tuple(np.array(CENTER))))
    assert session.clicks == (Click(CENTER),)


def test_a_box_inside_out_or_outside(session):
    with pytest.raises(ValueError, match="inside out"):
        Box((5, 5, 5), (4, 6, 6))
    with pytest.raises(ValueError, match="box corner .* is outside"):
        session.add(Box((5, 5, 5), (60, 6, 6)))


def test_something_else_is_no_prompt(session):
    with pytest.raises(ValueError, match="must be a Click or a Box, got tuple"):
        session.add((1, 2, 3))


def test_a_mask_of_another_shape(session):
    with pytest.raises(ValueError, match=r"shape \(40, 44, 36\), got \(3, 3, 3\)"):
        session.set_mask(np.zeros((3, 3, 3), dtype=bool))


def test_no_image_yet(segmenter):
    session = Session(segmenter)
    for request in (lambda: session.add(Click((0, 0, 0))), lambda: session.mask, lambda: session.set_mask([])):
        with pytest.raises(RuntimeError, match="call set_image first"):
            request()


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int16, np.int64, np.uint64, np.float16, np.float32, np.float64, ">i2"]
)
def test_every_number_type(segmenter, organ, dtype):
    session = Session(segmenter)
    session.set_image((organ * 100).astype(dtype), spacing_mm=(1, 1, 1))
    assert dice(session.add(Click(CENTER)), organ) > 0.9


def test_huge_intensities(segmenter, organ):
    session = Session(segmenter)
    session.set_image(organ * 1.7e6 - 3e5, spacing_mm=(1, 1, 1))
    assert dice(session.add(Click(CENTER)), organ) > 0.9


def test_a_constant_image_is_no_error(segmenter):
    session = Session(segmenter)
    session.set_image(np.full((20, 20, 20), 7), spacing_mm=(1, 1, 1))
    assert session.add(Click((3, 3, 3)))[3, 3, 3]


def test_missing_values_take_the_minimum_and_say_so(segmenter, organ, caplog):
    image = _volume(organ)
    image[0, :5] = np.nan
    image[1, 0, 0] = np.inf
    session = Session(segmenter)
    session.set_image(image, spacing_mm=(1, 1, 1))
    assert "NaN or infinite" in caplog.text
    assert np.isnan(image[0, 0, 0])
    assert dice(session.add(Click(CENTER)), organ) > 0.9
    assert np.isfinite(segmenter.encoded[0]).all()


def test_masked_voxels_take_the_minimum(segmenter, organ):
    session = Session(segmenter)
    session.set_image(np.ma.masked_array(organ * 100, mask=~organ), spacing_mm=(1, 1, 1))
    assert session.add(Click(CENTER))[CENTER]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 4, 2)), "3D array .*got 4D"),
        (np.zeros((4, 4, 4, 3), np.uint8), "RGB"),
        (np.zeros((4, 4)), "got 2D"),
        (np.zeros((4, 4, 4), complex), "complex"),
        (np.zeros((0, 4, 4)), "empty"),
        (np.zeros((1, 1, 9)), "at least two axes"),
        (np.full((4, 4, 4), np.nan), "no finite voxel"),
        (np.ma.masked_all((4, 4, 4)), "all of them are masked"),
        (np.full((4, 4, 4), 1e300), "rescale"),
        (np.full((4, 4, 4), "a"), "dtype"),
    ],
)
def test_unusable_images_say_why_and_change_nothing(session, image, message):
    before = session.add(Click(CENTER))
    with pytest.raises(ValueError, match=message):
        session.set_image(image, spacing_mm=(1, 1, 1))
    np.testing.assert_array_equal(session.mask, before)


@pytest.mark.parametrize(
    "spacing_mm", [(0, 1, 1), (1, -1, 1), (1, 1), (1, np.nan, 1), (1, 1, np.inf), None, 1.0, "abc"]
)
def test_unusable_spacing(session, organ, spacing_mm):
    with pytest.raises(ValueError, match="three positive finite numbers"):
        session.set_image(organ, spacing_mm=spacing_mm)


def test_a_sheared_direction_is_refused_and_a_left_handed_one_is_not(session, organ):
    with pytest.raises(ValueError, match="sheared"):
        session.set_image(organ, spacing_mm=(1, 1, 1), direction=[[1, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    session.set_image(_volume(organ), spacing_mm=(1, 1, 1), direction=np.diag([-1, 1, 1]))
    assert dice(session.add(Click(CENTER)), organ) > 0.9


def test_a_new_image_forgets_the_prompts(session, random_image):
    session.add(Click(CENTER))
    session.set_image(random_image, spacing_mm=(1, 1, 1))
    assert session.clicks == ()
    assert session.mask.shape == random_image.shape
