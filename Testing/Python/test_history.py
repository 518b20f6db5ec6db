"""Steps, replay, several structures of one image, and encoding ahead."""

from __future__ import annotations

import numpy as np
import pytest

from sam3dseg import Box, Click, Session
from sam3dseg.session import Cancelled

SHAPE = (64, 64, 64)
FIRST, SECOND = (18, 18, 18), (46, 46, 44)


@pytest.fixture
def organs(make_ellipsoid):
    """Two ellipsoids far from each other, in a volume wider than the stand-in's window of 32 samples."""
    return make_ellipsoid(SHAPE, FIRST, (8, 9, 7)), make_ellipsoid(SHAPE, SECOND, (9, 7, 8))


@pytest.fixture
def session(segmenter, organs) -> Session:
    session = Session(segmenter)
    noise = np.random.default_rng(3).normal(0, 4, SHAPE)
    session.set_image((100.0 * organs[0] + 60.0 * organs[1] + noise).astype(np.float32), spacing_mm=(1, 1, 1))
    return session


def test_steps_can_be_visited_in_any_order(session):
    masks = [session.mask, session.add(Click(FIRST)), session.add(Click((10, 18, 18), is_foreground=False))]
    assert (session.position, session.length) == (2, 3)
    for position in (0, 2, 1):
        np.testing.assert_array_equal(session.go_to(position), masks[position])
        assert session.position == position
    assert session.length == 3
    with pytest.raises(ValueError, match="from 0 to 2, received 3"):
        session.go_to(3)
    assert session.position == 1


def test_replay_gives_the_mask_that_the_requests_gave(session):
    session.add(Click(FIRST))
    session.add_many([Click((10, 18, 18), is_foreground=False), Click((20, 20, 18))])
    mask = session.add(Click((18, 10, 18), is_foreground=False))
    requests = session.requests
    assert [len(request) for request in requests] == [1, 2, 1]
    session.reset()
    np.testing.assert_array_equal(session.replay(requests), mask)
    assert session.requests == requests
    assert session.length == 2  # one step
    assert not session.undo().any()


def test_replay_starts_from_a_mask(session, organs):
    session.set_mask(organs[0])
    mask = session.add(Click((10, 18, 18), is_foreground=False))
    np.testing.assert_array_equal(session.replay(session.requests), mask)  # keeps the mask it started from
    requests = session.requests
    session.reset()
    np.testing.assert_array_equal(session.replay(requests, initial=organs[0]), mask)


def test_a_prompt_is_moved_by_replay(session, organs):
    session.add(Click(FIRST))
    moved = session.replay([(Click(SECOND),)])
    assert (moved & organs[1]).sum() > 0.9 * organs[1].sum()
    assert not (moved & organs[0]).any()
    assert session.clicks == (Click(SECOND),)


def test_a_failed_replay_changes_nothing(session):
    mask = session.add(Click(FIRST))
    with pytest.raises(ValueError, match="outside the image"):
        session.replay([(Click(FIRST),), (Click((0, 0, 99)),)])
    with pytest.raises(ValueError, match="shape"):
        session.replay([], initial=np.zeros((2, 2, 2)))
    np.testing.assert_array_equal(session.mask, mask)
    assert session.length == 2


def test_replay_can_be_cancelled(session, segmenter):
    mask = session.add(Click(FIRST))
    requests = [(Click(SECOND),), (Click(FIRST),)]
    segmenter.on_encode = session.cancel
    with pytest.raises(Cancelled):
        session.replay(requests)
    segmenter.on_encode = None
    np.testing.assert_array_equal(session.mask, mask)


def test_structures_of_one_image_share_encodings(session, segmenter):
    first = session.add(Click(FIRST))
    kept = session.exchange_history()
    assert not session.mask.any()
    assert session.clicks == ()
    second = session.add(Click(SECOND))
    other = session.exchange_history(kept)
    np.testing.assert_array_equal(session.mask, first)
    before = len(segmenter.encoded)
    session.add(Click((10, 18, 18), is_foreground=False))
    assert len(segmenter.encoded) == before  # the window of the first structure was kept
    session.exchange_history(other)
    np.testing.assert_array_equal(session.mask, second)


def test_clicks_near_each_other_start_in_the_same_window(session, segmenter):
    session.add(Click((20, 21, 20)))
    before = len(segmenter.encoded)
    session.exchange_history()
    session.add(Click((21, 20, 19)))
    assert len(segmenter.encoded) == before


def test_a_prepared_click_needs_no_encoding(session, segmenter):
    session.prepare(FIRST)
    assert len(segmenter.encoded) == 1
    session.prepare(FIRST)
    assert len(segmenter.encoded) == 1
    mask = session.add(Click(FIRST))
    prepared = segmenter.decoded[0]
    assert session.last_timing.encodes == len(segmenter.encoded) - 1
    session.reset()
    fresh = Session(segmenter)
    fresh.set_image(session._predictor.image, spacing_mm=(1, 1, 1))
    np.testing.assert_array_equal(fresh.add(Click(FIRST)), mask)  # being prepared changes nothing but the time
    np.testing.assert_array_equal(segmenter.decoded[-1]["labels"], prepared["labels"])
    with pytest.raises(ValueError, match="outside the image"):
        session.prepare((0, 0, 64))
    with pytest.raises(RuntimeError, match="set_image"):
        Session(segmenter).prepare((0, 0, 0))


def test_the_most_uncertain_voxel_lies_in_the_undecided_region(make_segmenter, make_ellipsoid):
    class Undecided(type(make_segmenter())):
        """Sure of everything but a ball, about which it cannot tell."""

        def decode(self, embedding, points, labels, previous):
            prediction = super().decode(embedding, points, labels, previous)
            logits = np.where(prediction.logits > 0, 8.0, -8.0).astype(np.float32)
            logits[0][make_ellipsoid(logits.shape[1:], (20, 10, 12), (5, 5, 5))] = 0.2
            return type(prediction)(logits=logits, iou=prediction.iou)

    session = Session(Undecided(), keep_clicked_components=False)
    session.set_image(make_ellipsoid((32, 32, 32), (10, 20, 16), (5, 5, 5)) * 100.0, spacing_mm=(1, 1, 1))
    assert session.uncertain_voxel is None
    session.add(Click((10, 20, 16)))
    outcome = session._history.current.outcome
    expected = outcome.window.to_image((20, 10, 12), (1, 1, 1))
    assert np.abs(np.array(session.uncertain_voxel) - expected).max() <= 1.5


def test_a_sure_model_asks_for_nothing(session, segmenter, organs):
    class Sure(type(segmenter)):
        def decode(self, embedding, points, labels, previous):
            prediction = super().decode(embedding, points, labels, previous)
            logits = np.where(prediction.logits > 0, 8.0, -8.0).astype(np.float32)
            return type(prediction)(logits=logits, iou=prediction.iou)

    session = Session(Sure())
    session.set_image(100.0 * organs[0], spacing_mm=(1, 1, 1))
    session.add(Click(FIRST))
    assert session.uncertain_voxel is None


def test_boxes_are_part_of_the_requests(session):
    session.add(Box((8, 8, 8), (28, 28, 28)))
    session.add(Click((10, 18, 18), is_foreground=False))
    assert session.requests == ((Box((8, 8, 8), (28, 28, 28)),), (Click((10, 18, 18), is_foreground=False),))
    assert len(session.boxes) == len(session.clicks) == 1
