"""Corrections of a given mask: where they reach, and that all else stays."""

import numpy as np
import pytest
from conftest import ThresholdSegmenter

from sam3dseg import Click, Session
from sam3dseg.corrections import changed_near, corrected, deepest_cell
from sam3dseg.masks import CroppedMask
from sam3dseg.protocol import Prediction

SIDES = (1.0, 1.0, 1.0)


def ball(shape, centre, radius) -> np.ndarray:
    return sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)) <= radius**2


def seeds(*places) -> np.ndarray:
    return np.array(places, dtype=np.int64)


class TestChangedNear:
    shape = (40, 40, 40)

    def test_only_the_part_that_was_clicked(self):
        before = ball(self.shape, (12, 20, 20), 8)
        missed, elsewhere = ball(self.shape, (23, 20, 20), 3), ball(self.shape, (20, 33, 20), 4)
        taken = changed_near(before, before | missed | elsewhere, seeds((23, 20, 20)), cell_mm=SIDES)
        np.testing.assert_array_equal(taken, missed & ~before)

    def test_several_clicks_take_a_part_each(self):
        before = ball(self.shape, (12, 20, 20), 8)
        parts = [ball(self.shape, place, 3) for place in ((23, 20, 20), (12, 31, 20))]
        taken = changed_near(before, before | parts[0] | parts[1], seeds((23, 20, 20), (12, 31, 20)), cell_mm=SIDES)
        np.testing.assert_array_equal(taken, (parts[0] | parts[1]) & ~before)

    def test_no_further_than_the_click_is_deep(self):
        before = ball(self.shape, (20, 20, 20), 15)
        seed = np.array((30, 20, 20))  # 5 deep: what empties the mask empties it 1.5 x 6 around the click
        taken = changed_near(before, np.zeros_like(before), seed[None], cell_mm=SIDES)
        distance = np.sqrt(sum((axis - s) ** 2 for axis, s in zip(np.indices(self.shape), seed, strict=True)))
        assert taken[tuple(seed)] and distance[taken].max() <= 10.5 and distance[before & ~taken].min() > 8.5

    def test_distances_are_in_millimetres(self):
        before = np.zeros(self.shape, dtype=bool)
        before[:, :, :20] = True
        after = before.copy()
        after[:, :, :30] = True  # the whole slab above; the click lies 2 cells of 5 mm over the border
        taken = changed_near(before, after, seeds((20, 20, 21)), cell_mm=(1.0, 1.0, 5.0))
        along, upwards = np.flatnonzero(taken[:, 20, 21]), np.flatnonzero(taken[20, 20])
        assert (along[0], along[-1]) == (0, 39) and (upwards[0], upwards[-1]) == (20, 25)  # 1.5 x (10 + 5) mm

    def test_a_click_that_changes_nothing_takes_nothing(self):
        before = ball(self.shape, (12, 20, 20), 8)
        after = before | ball(self.shape, (23, 20, 20), 3)
        assert not changed_near(before, after, seeds((12, 20, 20)), cell_mm=SIDES).any()

    @pytest.mark.parametrize("value", [False, True])
    def test_masks_without_a_border(self, value):
        before = np.full((6, 7, 8), value)
        assert changed_near(before, ~before, seeds((2, 3, 4)), cell_mm=SIDES).all()


def test_corrected_crops_are_those_of_whole_masks():
    shape = (30, 32, 34)
    before, after = ball(shape, (10, 10, 10), 6), ball(shape, (10, 10, 10), 6) | ball(shape, (18, 10, 10), 2)
    after &= ~ball(shape, (4, 10, 10), 2)  # a change that was not asked for
    crops = [CroppedMask.from_crop(mask, (0, 0, 0)) for mask in (before, after)]
    result = np.zeros(shape, dtype=bool)
    corrected(*crops, seeds((18, 10, 10)), spacing_mm=SIDES).paste_into(result)
    np.testing.assert_array_equal(result, before | ball(shape, (18, 10, 10), 2))


def test_the_deepest_cell():
    mask = ball((20, 20, 20), (7, 8, 9), 5)
    assert deepest_cell(mask).tolist() == [7, 8, 9]
    assert deepest_cell(np.zeros((3, 3, 3), dtype=bool)) is None


class Forgetful(ThresholdSegmenter):
    """Without a foreground point it finds nothing, as networks do that were never trained without one."""

    def decode(self, embedding, points, labels, previous) -> Prediction:
        answer = super().decode(embedding, points, labels, None)
        return answer if (labels == 1).any() else Prediction(np.full_like(answer.logits, -1), answer.iou)


class TestSession:
    shape = (32, 32, 32)

    @pytest.fixture
    def organ(self):
        return ball(self.shape, (14, 16, 16), 9)

    def session(self, organ, segmenter=None) -> Session:
        session = Session(segmenter or Forgetful())
        session.set_image(organ * np.float32(100), spacing_mm=(1, 1, 1))
        return session

    def test_a_background_click_leaves_the_rest_of_a_given_mask(self, organ):
        spill = ball(self.shape, (25, 16, 16), 4)
        session = self.session(organ)
        session.set_mask(organ | spill)
        mask = session.add(Click((26, 16, 16), False))
        assert not mask[26, 16, 16] and (mask & organ).sum() > 0.95 * organ.sum()
        assert mask.sum() < (organ | spill).sum()

    def test_far_from_the_click_a_given_mask_stays_voxel_by_voxel(self, organ):
        given = organ & ~ball(self.shape, (21, 16, 16), 3)
        given[2:4, 2:4, 2:4] = True  # what the model would never find
        session = self.session(organ)
        session.set_mask(given)
        mask = session.add(Click((21, 16, 16)))
        assert mask[21, 16, 16]
        np.testing.assert_array_equal(mask[:14], given[:14])
        again = session.add(Click((3, 3, 3), False))
        assert not again[3, 3, 3] and again[21, 16, 16]

    def test_candidates_and_undo_keep_to_the_correction(self, organ):
        given = organ & ~ball(self.shape, (21, 16, 16), 3)
        session = self.session(organ)
        session.set_mask(given)
        session.add(Click((21, 16, 16)))
        for candidate in session.candidates:
            np.testing.assert_array_equal(candidate.mask[:14], given[:14])
        np.testing.assert_array_equal(session.choose(1)[:14], given[:14])
        session.undo()
        np.testing.assert_array_equal(session.undo(), given)

    def test_a_background_click_outside_a_given_mask_changes_nothing(self, organ):
        given = ball(self.shape, (14, 16, 16), 7)
        session = self.session(organ)
        session.set_mask(given)
        np.testing.assert_array_equal(session.add(Click((29, 29, 29), False)), given)

    def test_a_foreground_click_inside_the_mask_asks_for_all_of_it(self, organ):
        session = self.session(organ)
        session.set_mask(ball(self.shape, (14, 16, 16), 3))
        assert session.add(Click((14, 16, 16)))[organ].mean() > 0.9
        assert len(session.candidates) == 4 and session.candidates[1].mask[organ].mean() > 0.5

    def test_what_was_answered_as_a_whole_is_no_longer_the_given_mask(self, organ):
        both = organ | ball(self.shape, (14, 28, 16), 2)
        session = self.session(both)
        session.set_mask(ball(self.shape, (14, 16, 16), 3))
        session.add(Click((14, 16, 16)))
        wide = session.add(Click((14, 28, 16)))
        assert wide[both].mean() > 0.9
