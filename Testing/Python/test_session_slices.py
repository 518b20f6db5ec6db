"""A volume from prompts on some of its slices, with a deterministic stand-in for the slice model."""

from __future__ import annotations

import threading
from itertools import permutations, product

import numpy as np
import pytest
from slice_toys import ThresholdSliceSegmenter, brightness, dice

from sam3dseg import Box, Click, Session
from sam3dseg.request import Cancelled, Progress
from sam3dseg.slices.options import SliceOptions

SHAPE = (48, 44, 26)
CENTER = (20, 22, 12)
RADII = (12, 11, 9)


@pytest.fixture
def organ(make_ellipsoid):
    return make_ellipsoid(SHAPE, CENTER, RADII)


@pytest.fixture
def model():
    return ThresholdSliceSegmenter(image_size=96, logits_size=48)


@pytest.fixture
def make_session(model, organ):
    def make(image=None, *, segmenter=None, spacing_mm=(1.0, 1.0, 1.5), keep=True, **options) -> Session:
        session = Session(segmenter or model, keep_clicked_components=keep, slices=SliceOptions(**options))
        session.set_image(brightness(organ) if image is None else image, spacing_mm=spacing_mm)
        return session

    return make


@pytest.fixture
def session(make_session) -> Session:
    return make_session()


def filled(mask, axis=2):
    return np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))).tolist()


@pytest.mark.parametrize(("orientation", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_one_click_gives_a_volume_in_every_orientation(make_session, model, organ, orientation, axis):
    session = make_session(orientation=orientation)
    mask = session.add(Click(CENTER))
    assert dice(mask, organ) > 0.85
    assert filled(mask, axis) == filled(mask, axis)[:1] + list(
        range(filled(mask, axis)[0] + 1, filled(mask, axis)[-1] + 1)
    )
    assert len(model.decoded) >= len(filled(mask, axis))
    assert session.notices == ()
    assert session.last_timing.decodes == len(model.decoded)
    assert session.last_timing.encodes >= len(model.decoded)


def test_all_48_orientations_of_the_file_give_the_same_mask(model, make_ellipsoid):
    center, shape = (14, 18, 8), (30, 34, 16)
    organ = make_ellipsoid(shape, center, (8, 9, 6))
    image, spacing = brightness(organ), np.array([1.0, 0.8, 2.0])
    reference = None
    for perm, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        direction = np.zeros((3, 3))
        for axis in range(3):
            direction[perm[axis], axis] = signs[axis]
        flip = tuple(slice(None, None, s) for s in signs)
        clicks = [
            tuple(v[p] if s > 0 else shape[p] - 1 - v[p] for p, s in zip(perm, signs, strict=True))
            for v in (center, (14, 22, 10))
        ]
        session = Session(model, slices=SliceOptions())
        stored = np.ascontiguousarray(image.transpose(perm)[flip])
        session.set_image(stored, spacing_mm=spacing[list(perm)], direction=direction)
        session.add(Click(clicks[0]))
        mask = session.add(Click(clicks[1], is_foreground=False))
        in_ras = mask[flip].transpose(np.argsort(perm))
        reference = in_ras if reference is None else reference
        np.testing.assert_array_equal(in_ras, reference)
        model.decoded.clear(), model.encoded.clear()
    assert dice(reference, organ) > 0.8


def test_auto_cuts_across_the_coarsest_spacing(make_session, model):
    make_session(spacing_mm=(3.0, 1.0, 1.0)).add(Click(CENTER))
    assert len(model.encoded) < 30
    session = make_session(spacing_mm=(1.2, 1.0, 1.0), direction="none")  # not coarse enough
    assert filled(session.add(Click(CENTER)), axis=2) == [CENTER[2]]


def test_a_single_slice_is_a_volume(make_ellipsoid, make_session):
    for shape, center in (((60, 50, 1), (30, 25, 0)), ((1, 60, 50), (0, 30, 25))):
        organ = make_ellipsoid(shape, center, (12, 12, 12))
        session = make_session(brightness(organ), spacing_mm=(1, 1, 1))
        assert dice(session.add(Click(center)), organ) > 0.9


@pytest.mark.parametrize(("shape", "orientation"), [((60, 50, 1), "coronal"), ((1, 60, 50), "axial")])
def test_slices_of_one_row_are_refused_in_a_line(make_session, shape, orientation):
    with pytest.raises(ValueError, match=rf"{orientation} slices of at least two rows.*another orientation") as error:
        make_session(np.zeros(shape), orientation=orientation)
    assert "\n" not in str(error.value)


def test_a_constant_volume_is_no_error(make_session):
    session = make_session(np.full((12, 12, 6), 7.0))
    assert session.add(Click((3, 3, 3)))[3, 3, 3]


def test_missing_values_are_no_error(make_session, organ):
    image = brightness(organ)
    image[:, :, 3] = np.nan
    image[0, 0, 0] = np.inf
    assert dice(make_session(image).add(Click(CENTER)), organ) > 0.85


def test_slice_options_need_a_slice_model(segmenter):
    with pytest.raises(ValueError, match="threshold segments in 3D: expected no slice options"):
        Session(segmenter, slices=SliceOptions())


@pytest.mark.parametrize(
    ("direction", "slices"), [("both", (4, 21)), ("forward", (12, 21)), ("backward", (4, 13)), ("none", (12, 13))]
)
def test_directions(make_session, organ, direction, slices):
    expected = [n for n in range(*slices) if organ[:, :, n].sum() > 80]
    assert set(expected) <= set(filled(make_session(direction=direction).add(Click(CENTER)))) <= set(range(*slices))


def test_clicks_are_given_in_pixels_of_the_models_square(make_session, model):
    session = make_session(np.zeros((24, 48, 4), np.float32), spacing_mm=(1, 1, 1), direction="none")
    session.add(Click((2, 40, 1)))
    x, y = model.decoded[-1]["points"][0]
    assert (x, y) == ((23 - 2 + 0.5) * 2 - 0.5, (47 - 40 + 0.5) * 2 - 0.5)  # the patient's right at the left


def test_a_later_click_starts_from_what_the_slice_holds(session, model, organ):
    session.add(Click(CENTER))
    first = model.decoded[0]
    model.decoded.clear()
    mask = session.add(Click((20, 28, 12), is_foreground=False))
    assert first["previous"] is None
    assert model.decoded[0]["previous"].max() > 0 and len(model.decoded[0]["points"]) == 2
    assert not mask[20, 28, 12]
    model.decoded.clear()
    session.add(Click((20, 28, 15), is_foreground=False))  # a slice that was reached, not prompted
    previous = model.decoded[0]["previous"]
    assert (previous > 0).sum() == pytest.approx(mask[:, :, 15].sum(), rel=0.3)


def test_a_correction_keeps_what_is_nearer_to_other_clicks(session):
    before = session.add(Click((20, 22, 8)))
    after = session.add(Click((20, 28, 16), is_foreground=False))
    np.testing.assert_array_equal(after[:, :, :12], before[:, :, :12])
    assert (after[:, :, 16] != before[:, :, 16]).any()


def test_no_slice_is_encoded_twice(session, model):
    session.add(Click(CENTER))
    session.add(Click((20, 28, 15), is_foreground=False))
    assert session.last_timing.decodes > 5
    session.exchange_history()  # another structure
    session.add(Click((21, 22, 12)))
    assert len({values.tobytes() for values in model.encoded}) == len(model.encoded) <= SHAPE[2]


def test_clicks_on_several_slices_in_one_request(make_session, model, organ):
    session = make_session()
    mask = session.add_many([Click((20, 22, 8)), Click((20, 22, 16)), Click((20, 28, 16), is_foreground=False)])
    assert dice(mask, organ) > 0.85
    assert [len(call["points"]) for call in model.decoded[:2]] == [1, 2]
    assert not mask[20, 28, 16]
    session.undo()
    assert session.clicks == () and not session.mask.any()


def test_a_click_beyond_the_mask_is_a_new_start_and_the_gap_is_filled(make_session, organ):
    image = brightness(organ)
    image[:, :, 11] = 0.0  # a slice that fails
    session = make_session(image)
    first = session.add(Click((20, 22, 7)))
    assert filled(first)[-1] == 10
    both = session.add(Click((20, 22, 16)))
    assert set(filled(both)) >= {*range(6, 11), *range(12, 18)}
    np.testing.assert_array_equal(both[:, :, :9], first[:, :, :9])


def test_a_background_click_where_nothing_is_changes_nothing(session, model):
    mask = session.add(Click(CENTER))
    iou = [candidate.iou for candidate in session.candidates]
    model.decoded.clear()
    np.testing.assert_array_equal(session.add(Click((20, 22, 25), is_foreground=False)), mask)
    np.testing.assert_array_equal(session.add(Click((2, 2, 0), is_foreground=False)), mask)
    assert model.decoded == []
    assert [candidate.iou for candidate in session.candidates] == iou
    assert session.choose(1).any()


def test_clicked_voxels_follow_their_clicks(session):
    mask = session.add_many([Click(CENTER), Click((1, 1, 12)), Click((21, 22, 12), is_foreground=False)])
    assert mask[CENTER] and mask[1, 1, 12] and not mask[21, 22, 12]


def test_only_clicked_components_are_kept(make_session, make_ellipsoid):
    left, right = make_ellipsoid(SHAPE, (12, 22, 12), (8, 8, 8)), make_ellipsoid(SHAPE, (36, 22, 12), (8, 8, 8))
    image = brightness(left | right)
    session = make_session(image)
    assert dice(session.add(Click((12, 22, 12))), left) > 0.8
    assert dice(session.add(Click((36, 22, 12))), left | right) > 0.8
    assert dice(make_session(image, keep=False).add(Click((12, 22, 12))), left | right) > 0.8


# -- what would run away --


@pytest.fixture
def leaking(make_ellipsoid):
    """A thin tube that enters a big neighbour of the same brightness at slice 14."""
    tube = make_ellipsoid(SHAPE, (10, 22, 0), (5, 5, 1))[:, :, :1] & np.ones(SHAPE, bool)
    neighbour = np.zeros(SHAPE, bool)
    neighbour[4:46, 4:40, 14:] = True
    return tube, neighbour


@pytest.mark.parametrize(
    ("direction", "named"), [(np.eye(3), "axial slice k = 14"), (np.diag([1, -1, -1]), "axial slice k = 11")]
)
def test_a_leak_into_a_big_neighbour_is_stopped_and_named(model, leaking, direction, named):
    tube, neighbour = leaking
    flip = (slice(None), slice(None, None, int(direction[1, 1])), slice(None, None, int(direction[2, 2])))
    session = Session(model, slices=SliceOptions())
    session.set_image(brightness(tube | neighbour)[flip], spacing_mm=(1, 1, 1), direction=direction)
    click = np.array((10, 22, 6))
    if direction[2, 2] < 0:
        click = np.array((10, SHAPE[1] - 1 - 22, SHAPE[2] - 1 - 6))
    mask = session.add(Click(tuple(int(v) for v in click)))[flip]
    assert filled(mask) == list(range(14))
    assert len(session.notices) == 1
    assert session.notices[0].startswith(f"stopped at {named}, where the mask would grow to ")
    assert "click there" in session.notices[0]


def test_notices_are_those_of_the_state(model, leaking):
    tube, neighbour = leaking
    session = Session(model, slices=SliceOptions())
    session.set_image(brightness(tube | neighbour), spacing_mm=(1, 1, 1))
    assert session.notices == ()
    session.add(Click((10, 22, 6)))
    assert len(session.notices) == 1
    session.undo()
    assert session.notices == ()
    session.redo()
    session.add(Click((10, 22, 14)))  # it does go on
    assert session.notices == ()
    assert filled(session.mask) == list(range(26))


# -- boxes --


def test_a_box_on_one_slice_prompts_that_slice(session, model, organ):
    mask = session.add(Box((7, 10, 12), (33, 34, 12)))
    np.testing.assert_allclose(model.decoded[0]["box"], [(47 - 33) * 2, (43 - 34) * 2, (48 - 7) * 2, (44 - 10) * 2])
    assert len(model.decoded[0]["points"]) == 0
    assert dice(mask, organ) > 0.88


def test_a_deep_box_limits_range_and_region(session, model, organ):
    mask = session.add(Box((10, 8, 6), (30, 30, 15)))
    inside = np.zeros(SHAPE, bool)
    inside[10:31, 8:31, 6:16] = True
    assert dice(mask, organ & inside) > 0.9
    assert not mask[~inside].any()
    assert filled(mask) == list(range(6, 16))
    assert len(model.decoded) == 10
    assert [call["previous"] is None for call in model.decoded] == [True] + [False] * 9


def test_a_fixed_region_prompts_every_slice_with_the_box_itself(make_session, model, organ):
    session = make_session(roi="fixed")
    progress = []
    session.on_progress = progress.append
    mask = session.add(Box((10, 8, 6), (30, 30, 15)))
    assert len(model.decoded) == 10 == progress[0].total
    assert all(call["previous"] is None for call in model.decoded)
    boxes = {tuple(call["box"]) for call in model.decoded}
    assert len(boxes) == 1
    assert filled(mask) == list(range(6, 16))
    model.decoded.clear()
    after = session.add(Click((20, 22, 8), is_foreground=False))
    assert len(model.decoded) == 1  # the other slices have their box
    np.testing.assert_array_equal(np.delete(after, 8, axis=2), np.delete(mask, 8, axis=2))
    assert not after[20, 22, 8]


def test_boxes_on_many_slices_in_one_request(make_session, model, organ):
    session = make_session(direction="none")
    boxes = []
    for index in filled(organ):
        places = np.argwhere(organ[:, :, index])
        (i0, j0), (i1, j1) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
        boxes.append(Box((i0, j0, index), (i1, j1, index)))
    mask = session.add_many(boxes)
    assert dice(mask, organ) > 0.9
    assert len(model.decoded) == len(boxes)
    assert {*range(4, 21)} <= set(filled(mask)) <= set(filled(organ))


def test_a_box_on_a_slice_of_another_orientation_is_refused(session):
    with pytest.raises(
        ValueError, match="on axial slices, received one on a single coronal slice.*orientation coronal"
    ):
        session.add(Box((7, 22, 4), (33, 22, 20)))
    assert session.boxes == () and not session.can_undo


def test_a_click_in_a_deep_box_stays_in_it(session, organ):
    session.add(Box((10, 8, 6), (30, 30, 15)))
    mask = session.add(Click((20, 22, 20)))  # beyond the box: only itself
    assert filled(mask) == [*range(6, 16), 20]
    assert mask[:, :, 20].sum() == 1
    mask = session.add(Click((20, 28, 9), is_foreground=False))
    assert not mask[20, 28, 9] and filled(mask) == [*range(6, 16), 20]


def test_a_deep_box_renews_clicked_slices_and_drops_what_lies_outside(session, model):
    session.add(Click((20, 22, 8)))
    model.decoded.clear()
    mask = session.add(Box((10, 8, 6), (30, 30, 15)))
    assert [(len(call["points"]), call["box"] is None) for call in model.decoded[:2]] == [(1, False), (0, False)]
    assert filled(mask) == list(range(6, 16)) and not mask[31:].any()


# -- masks to start from --


def test_a_mask_to_start_from_is_kept_where_the_correction_does_not_reach(session, model, organ):
    start = organ.copy()
    start[30:40, 20:24, 14:16] = True  # a leak on two slices
    session.set_mask(start)
    mask = session.add_many([Click((34, 22, 14), is_foreground=False), Click((38, 22, 14), is_foreground=False)])
    previous = model.decoded[0]["previous"]
    assert (previous > 0).sum() == pytest.approx(start[:, :, 14].sum(), rel=0.2)
    assert not mask[34, 22, 14] and not mask[34, 22, 15]
    np.testing.assert_array_equal(mask[:, :, 20], start[:, :, 20])
    assert dice(mask, organ) > 0.9


def test_a_background_click_beside_a_mask_to_start_from(session, model, organ):
    session.set_mask(organ)
    np.testing.assert_array_equal(session.add(Click((1, 1, 0), is_foreground=False)), organ)
    assert model.decoded == [] and session.candidates == ()
    with pytest.raises(RuntimeError, match="no candidates"):
        session.choose(0)
    assert session.add(Click(CENTER)).any()


# -- steps, candidates, purity --


REQUESTS = (
    (Click((20, 22, 8)),),
    (Click((20, 28, 15), is_foreground=False), Click((18, 22, 15))),
    (Click((14, 22, 11), is_foreground=False),),
    (Click((20, 32, 17)),),
)


def test_replay_gives_the_same_mask_whatever_is_cached(make_session, organ):
    session = make_session()
    masks = [session.add_many(request) for request in REQUESTS]
    np.testing.assert_array_equal(session.replay(REQUESTS), masks[-1])
    fresh = make_session(segmenter=ThresholdSliceSegmenter(image_size=96, logits_size=48))
    fresh._predictor._cache._limit_bytes = 1
    np.testing.assert_array_equal(fresh.replay(REQUESTS), masks[-1])
    assert len({mask.tobytes() for mask in masks}) == len(masks)


def test_steps_back_and_forth_and_another_way_forward(session):
    masks = [session.mask, *(session.add_many(request) for request in REQUESTS)]
    for position in (2, 0, 4, 1, 3):
        np.testing.assert_array_equal(session.go_to(position), masks[position])
    session.go_to(1)
    np.testing.assert_array_equal(session.add_many(REQUESTS[1]), masks[2])


def test_candidates_are_those_of_the_newest_click_and_are_carried_on(session):
    assert session.candidates == ()
    session.add(Click((20, 22, 8)))
    default = session.add(Click((20, 22, 16)))
    candidates = session.candidates
    assert [c.iou for c in candidates] == pytest.approx([0.9, 0.8, 0.7, 0.6])
    np.testing.assert_array_equal(candidates[0].mask, default)
    smaller = candidates[1].mask
    assert smaller[:, :, 16].sum() < default[:, :, 16].sum()
    assert smaller[:, :, 17].sum() > 0
    np.testing.assert_array_equal(smaller[:, :, :8], default[:, :, :8])
    np.testing.assert_array_equal(session.choose(1), smaller)
    assert session.length == 4


def test_a_candidate_is_the_same_whatever_was_chosen_before(session):
    session.add(Click((20, 22, 8)))
    masks = [session.add(Click((20, 28, 14), is_foreground=False)), session.choose(1), session.choose(2)]
    for index in (1, 0, 2):
        np.testing.assert_array_equal(session.choose(index), masks[index])
    session.choose(1)
    after = session.add(Click((14, 22, 11), is_foreground=False))
    requests = session.requests
    session.reset()
    session.add_many(requests[0])
    session.add_many(requests[1])
    session.choose(1)
    np.testing.assert_array_equal(session.add_many(requests[2]), after)


def test_a_candidate_over_a_mask_to_start_from_is_the_same_whatever_was_chosen_before(make_session, organ):
    session, start = make_session(), organ.copy()
    start[30:40, 16:28, 10:15] = True  # a leak
    session.set_mask(start)
    first = session.add_many([Click((35, 22, 12), is_foreground=False), Click((38, 22, 12), is_foreground=False)])
    assert 0 < len(np.flatnonzero((first != start).any(axis=(0, 1)))) < SHAPE[2] / 2
    others = [session.choose(1), session.choose(2)]
    assert any((other != first).any() for other in others)
    np.testing.assert_array_equal(session.choose(1), others[0])
    np.testing.assert_array_equal(session.choose(0), first)


def test_candidates_are_carried_on_over_what_was_there_before_the_request(session):
    session.add(Click((20, 22, 8)))
    before = session.history.current.outcome.result
    session.add(Click((20, 28, 14), is_foreground=False))
    for _ in range(2):
        assert session.history.current.outcome.ground is before
        session.choose(1)


def test_a_lone_click_takes_the_candidate_the_model_is_surest_of(model, make_session):
    decode = model.decode

    def unsure(*args, **given):
        prediction = decode(*args, **given)
        return type(prediction)(prediction.logits, prediction.iou[[2, 1, 0, 3]])

    model.decode = unsure
    session = make_session(direction="none")
    session.add(Click(CENTER))
    assert [c.iou for c in session.candidates] == pytest.approx([0.9, 0.7, 0.8, 0.6])
    session.add(Click((20, 25, 12)))
    assert [c.iou for c in session.candidates] == pytest.approx([0.7, 0.8, 0.9, 0.6])  # no longer ambiguous


def test_the_most_uncertain_voxel_of_all_slices(make_session, organ):
    image = brightness(organ)
    image[22:29, 18:25, 14] = 91.0  # a patch that is neither
    session = make_session(image, direction="none")
    assert session.uncertain_voxel is None
    session.add_many([Click((16, 22, n)) for n in (10, 14, 16)])
    i, j, k = session.uncertain_voxel
    assert k == 14 and 24 <= i <= 26 and 20 <= j <= 22


# -- MedSAM --


def test_medsam_is_prompted_by_boxes_only_but_for_a_first_click(make_session, organ):
    model = ThresholdSliceSegmenter(image_size=96, logits_size=48, preprocessing="medsam")
    session = make_session(segmenter=model)
    mask = session.add(Click(CENTER))
    assert dice(mask, organ) > 0.85
    assert all(call["previous"] is None for call in model.decoded)
    assert len(model.decoded[0]["points"]) == 1 and model.decoded[0]["box"] is None
    assert all(len(call["points"]) == 0 and call["box"] is not None for call in model.decoded[1:])
    model.decoded.clear()
    session.add(Click((20, 28, 12), is_foreground=False))
    assert model.decoded[0]["box"] is not None and model.decoded[0]["previous"] is None
    assert len(model.decoded[0]["points"]) == 2


def test_boxes_of_neighbours_are_loosened_within_the_picture(make_session, organ, model):
    session = make_session()
    mask = session.add(Click(CENTER))
    follower = model.decoded[1]
    places = np.argwhere(mask[:, :, 12])
    low, high = places.min(axis=0), places.max(axis=0) + 1
    expected = np.array([48 - high[0], 44 - high[1], 48 - low[0], 44 - low[1]]) * 2.0
    loosened = 96 * 10 / 1024
    np.testing.assert_allclose(follower["box"], expected + np.array([-1, -1, 1, 1]) * loosened)


# -- cleaning --


def test_masks_are_cleaned_at_the_end_and_requests_go_on_from_what_the_model_said(make_session, organ):
    image = brightness(organ)
    image[18:21, 20:23, 12] = 0.0  # a hole
    plain, tidy = make_session(image), make_session(image, fill_holes=True, smooth_mm=3.0)
    click, correction = Click((26, 22, 12)), Click((20, 28, 9), is_foreground=False)
    rough, smooth = plain.add(click), tidy.add(click)
    assert not rough[19, 21, 12] and smooth[19, 21, 12]
    rough, smooth = plain.add(correction), tidy.add(correction)
    assert not smooth[20, 28, 9]
    state = tidy.history.current
    np.testing.assert_array_equal(state.outcome.result.mask.bits, plain.history.current.mask.bits)


def test_a_cleaned_mask_stays_in_its_box_and_true_to_the_clicks(make_session):
    session = make_session(smooth_mm=6.0)
    session.add(Box((10, 8, 6), (30, 30, 15)))
    mask = session.add_many([Click((10, 8, 8)), Click((20, 22, 9), is_foreground=False)])
    inside = np.zeros(SHAPE, bool)
    inside[10:31, 8:31, 6:16] = True
    assert not mask[~inside].any()
    assert mask[10, 8, 8] and not mask[20, 22, 9]


# -- cancelling, progress, failures --


def test_progress_of_every_slice(session, model):
    seen: list[Progress] = []
    session.on_progress = seen.append
    session.add(Click(CENTER))
    assert [p.done for p in seen] == list(range(len(model.decoded)))
    assert seen[0].text == "axial slice k = 12" and seen[1].text == "axial slice k = 13"
    assert all(p.total is None for p in seen)


def test_progress_knows_the_total_where_nothing_is_carried_on(make_session):
    session, seen = make_session(direction="none"), []
    session.on_progress = seen.append
    session.add_many([Click((20, 22, 8)), Click((20, 22, 9))])
    assert [(p.done, p.total) for p in seen] == [(0, 2), (1, 2)]


def test_cancelling_on_the_way_leaves_the_session_as_it_was_and_ends_the_encoding(session, model):
    mask = session.add(Click((20, 22, 8)))
    notices, length = session.notices, session.length
    seen = []

    def stop(progress):
        seen.append(progress)
        if progress.done == 3:
            session.cancel()

    session.on_progress = stop
    with pytest.raises(Cancelled):
        session.add(Click((40, 22, 20)))
    assert len(seen) == 4
    for thread in threading.enumerate():
        if thread.name == "slice encoder":
            thread.join(10)
            assert not thread.is_alive()
    session.on_progress = None
    np.testing.assert_array_equal(session.mask, mask)
    assert (session.notices, session.length) == (notices, length)
    np.testing.assert_array_equal(session.replay(session.requests), mask)


def test_a_cancelled_request_does_not_wait_for_a_slow_encoder(make_session, model):
    encoding, go_on = threading.Event(), threading.Event()
    model.wait = lambda: (encoding.set(), go_on.wait(20))
    session, raised = make_session(), []

    def work():
        try:
            session.add(Click(CENTER))
        except Cancelled as error:
            raised.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert encoding.wait(10)
    session.cancel()
    worker.join(10)
    assert len(raised) == 1 and not go_on.is_set() and model.encoded != []
    go_on.set()
    model.wait = None
    assert session.add(Click(CENTER)).any()
    assert sum(np.array_equal(values, model.encoded[0]) for values in model.encoded) == 1  # finished, and kept


def test_slices_are_encoded_ahead_while_one_is_decoded(make_session, model):
    decode, ahead = model.decode, []

    def slow(*args, **given):
        ahead.append(threading.active_count() > 1 or len(model.encoded) > len(model.decoded) + 1)
        return decode(*args, **given)

    gate = threading.Event()
    model.decode = slow
    session = make_session()
    model.wait = lambda: gate.wait(0.02)
    session.add(Click(CENTER))
    assert sum(ahead) > len(ahead) / 2
    assert model.threads == {"slice encoder"}


def test_nothing_stays_queued_after_a_request(session, model):
    cache, dropped = session._predictor._cache, []
    drop = cache.drop
    cache.drop = lambda: dropped.append(drop())
    session.add(Click(CENTER))
    assert len(dropped) == 1
    model.decode = None
    with pytest.raises(TypeError):
        session.add(Click((20, 22, 14)))
    assert len(dropped) == 2


def test_a_failing_model_leaves_the_session_as_it_was(session, model):
    mask = session.add(Click((20, 22, 8)))
    decode, calls = model.decode, []

    def fail(*args, **given):
        calls.append(given)
        if len(calls) == 3:
            raise MemoryError("no room")
        return decode(*args, **given)

    model.decode = fail
    with pytest.raises(MemoryError):
        session.add(Click((20, 22, 14)))
    assert session.clicks == (Click((20, 22, 8)),)
    np.testing.assert_array_equal(session.mask, mask)


def test_a_prepared_slice_needs_no_encoding(make_session, model):
    session = make_session(direction="none")
    session.prepare(CENTER)
    assert len(model.encoded) == 1
    session.add(Click(CENTER))
    assert len(model.encoded) == 1 and session.last_timing.encodes == 0


def test_prompts_outside_the_image_are_refused(session):
    with pytest.raises(ValueError, match="outside the image of shape"):
        session.add(Click((0, 0, 26)))
    with pytest.raises(ValueError, match="click inside the structure first"):
        session.add(Click(CENTER, is_foreground=False))


# -- options --


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"orientation": "oblique"}, "orientation must be one of auto, axial, coronal, sagittal, got 'oblique'"),
        ({"direction": "up"}, "direction must be one of both, forward, backward, none"),
        ({"roi": "none"}, "roi must be one of follow, fixed"),
        ({"modality": "MR"}, "modality must be one of auto, ct, other"),
        ({"smallest_part": 2.0}, "share from 0 to 1, got 2.0"),
        ({"smallest_part": float("nan")}, "share from 0 to 1"),
        ({"smooth_mm": -1.0}, "length from 0 mm up, got -1.0"),
        ({"smooth_mm": float("inf")}, "length from 0 mm up"),
    ],
)
def test_wrong_slice_options_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        SliceOptions(**given)


def test_the_modality_reaches_the_preprocessing(make_session, model, organ):
    image = np.where(organ, 60.0, -900.0).astype(np.float32)
    image[0, 0, 0] = 3000.0
    for modality in ("ct", "other"):
        make_session(image, modality=modality, direction="none").add(Click(CENTER))
    ct, other = model.encoded[-2:]
    assert not np.array_equal(ct, other)
