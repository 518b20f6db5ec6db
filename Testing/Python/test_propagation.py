"""Masks carried from key slices to their neighbours, with a stand-in that answers what a table says."""

from __future__ import annotations

import numpy as np
import pytest

from sam3dseg.slices.propagation import Link, Propagation, StopRules
from sam3dseg.slices.stack import SliceStack

COUNT, SIDE = 20, 24
RULES = StopRules(pixel_mm=(1.0, 1.0), step_mm=1.0)


def disk(radius, center=(12, 12)):
    rows, columns = np.indices((SIDE, SIDE))
    return (rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2


def link(index, mask, iou=0.9):
    return Link(index, mask, np.zeros((2, 2), np.float32), iou)


class Table:
    """Answers slices with their masks in `masks`, and remembers who was asked after whom."""

    def __init__(self, masks, iou=None):
        self.masks, self.iou, self.asked, self.coming = masks, iou or {}, [], []

    def __call__(self, last, index, coming):
        self.asked.append((last.index, index))
        self.coming.append(list(coming))
        return link(index, self.masks.get(index, np.zeros((SIDE, SIDE), bool)), self.iou.get(index, 0.9))


def make(table, *, keys, held=None, **others):
    stack = SliceStack(np.zeros((SIDE, SIDE, COUNT), bool), axis=2)
    for index, mask in (held or {}).items():
        stack[index] = mask
    return Propagation(
        stack,
        keys=frozenset(keys),
        rules=RULES,
        follow=table,
        path=lambda start, step: range(start + step, COUNT if step > 0 else -1, step),
        **others,
    )


def carry(propagation, starts, steps=(1, -1)):
    propagation.put(starts)
    propagation.run(starts, steps)
    return sorted(propagation.stack.filled)


def test_a_mask_is_carried_both_ways_until_it_is_empty():
    table = Table({n: disk(5) for n in range(4, 13)})
    propagation = make(table, keys=[8])
    assert carry(propagation, [link(8, disk(5))]) == list(range(4, 13))
    assert table.asked == [*((n, n + 1) for n in range(8, 13)), *((n, n - 1) for n in range(8, 3, -1))]
    assert propagation.stops == {}


@pytest.mark.parametrize(("steps", "slices"), [((1,), range(8, 13)), ((-1,), range(4, 9)), ((), [8])])
def test_a_direction_is_kept(steps, slices):
    propagation = make(Table({n: disk(5) for n in range(4, 13)}), keys=[8])
    assert carry(propagation, [link(8, disk(5))], steps) == list(slices)


def test_the_border_of_the_image_ends_it_without_a_word():
    propagation = make(Table({n: disk(5) for n in range(COUNT)}), keys=[8])
    assert carry(propagation, [link(8, disk(5))]) == list(range(COUNT))
    assert propagation.stops == {}


def test_the_next_slice_is_announced_and_none_beyond_the_way():
    table = Table({n: disk(5) for n in range(COUNT)})
    carry(make(table, keys=[16, 19]), [link(16, disk(5))], (1,))
    assert table.asked == [(16, 17), (17, 18)] and table.coming[0] == []  # half the way to 19 is 17; then the rest
    table = Table({n: disk(5) for n in range(COUNT)})
    carry(make(table, keys=[16]), [link(16, disk(5))], (1,))
    assert table.coming == [[18], [19], []]


@pytest.mark.parametrize(
    ("masks", "iou", "reason"),
    [
        ({10: disk(11)}, {}, "grow to 4.7 times"),
        ({10: disk(5, (12, 20))}, {}, "hardly overlap"),
        ({10: disk(5)}, {10: 0.3}, "IoU fell from 0.90 to 0.30"),
    ],
    ids=["leak", "jump", "doubt"],
)
def test_what_is_another_structure_is_not_taken_and_named(masks, iou, reason):
    table = Table({8: disk(5), 9: disk(5), 11: disk(5), **masks}, iou)
    propagation = make(table, keys=[8])
    assert carry(propagation, [link(8, disk(5))], (1,)) == [8, 9]
    assert list(propagation.stops) == [10] and reason in propagation.stops[10]


def test_a_thin_end_is_an_end_and_no_news():
    table = Table({9: disk(4), 10: disk(2), 11: disk(11)})
    propagation = make(table, keys=[8])
    assert carry(propagation, [link(8, disk(5))], (1,)) == [8, 9, 10]
    assert propagation.stops == {}


def test_a_tip_may_grow_quickly_and_a_surface_may_slope():
    radii = {8: 1, 9: 4, 10: 6, 11: 9, 12: 11}  # from the pole of a ball, growing up to 13 times in a slice
    propagation = make(Table({n: disk(r) for n, r in radii.items()}), keys=[8])
    assert carry(propagation, [link(8, disk(1))], (1,)) == list(radii)
    assert propagation.stops == {}


def test_between_two_key_slices_the_nearer_one_counts():
    small, large = disk(4), disk(6)

    def follow(last, index, coming):
        return link(index, last.mask)

    propagation = make(follow, keys=[4, 13])
    carry(propagation, [link(4, small), link(13, large)])
    areas = [int(propagation.stack[n].sum()) for n in range(COUNT)]
    assert areas[:9] == [small.sum()] * 9 and areas[9:] == [large.sum()] * 11


def test_a_correction_replaces_everything_away_from_other_key_slices_and_half_the_way_to_them():
    old = {n: disk(6) for n in range(2, 18)}

    def follow(last, index, coming):
        return link(index, last.mask)

    propagation = make(follow, keys=[4, 12], held=old)
    carry(propagation, [link(12, disk(3))])
    new = [n for n in range(COUNT) if propagation.stack[n].sum() == disk(3).sum()]
    assert new == list(range(8, COUNT))
    assert propagation.stack[7].sum() == disk(6).sum()


def test_towards_a_key_slice_a_correction_ends_where_it_changes_nothing():
    old = {n: disk(6) for n in range(2, 18)}
    table = Table({11: disk(3), 10: disk(6), 9: disk(3)})
    propagation = make(table, keys=[2, 12], held=old)
    carry(propagation, [link(12, disk(6))], (-1,))
    assert [index for _, index in table.asked] == [11, 10]
    assert propagation.stack[9].sum() == disk(6).sum()


def test_a_mask_that_ends_earlier_takes_away_what_lay_beyond_and_its_news():
    old = {n: disk(6) for n in range(4, 18)}
    propagation = make(Table({9: disk(5)}), keys=[8], held=old, stops={18: "of before"}, doubts={15: (3.0, 1.0, 1.0)})
    assert carry(propagation, [link(8, disk(5))], (1,)) == [4, 5, 6, 7, 8, 9]
    assert propagation.stops == {} and propagation.doubts == {}


def test_an_emptied_key_slice_takes_away_what_was_reached_through_it():
    old = {n: disk(6) for n in range(4, 18)}
    table = Table({})
    propagation = make(table, keys=[6, 12], held=old)
    assert carry(propagation, [link(12, np.zeros((SIDE, SIDE), bool))]) == list(range(4, 12))
    assert table.asked == []


def test_a_gap_beyond_the_nearer_half_is_filled():
    old = {n: disk(5) for n in range(2, 6)}  # 3 was prompted; its mask was not carried on beyond 5
    propagation = make(Table({n: disk(5) for n in range(COUNT)}), keys=[3, 15], held=old, stops={6: "of before"})
    assert carry(propagation, [link(15, disk(5))], (-1,)) == list(range(2, 16))
    assert propagation.stops == {}


def test_a_mask_to_start_from_stays_where_the_new_one_ends_or_agrees():
    old = {n: disk(6) for n in range(2, 18)}
    for masks in ({9: disk(3), 10: disk(6)}, {9: disk(3)}, {9: disk(3), 10: disk(11, (2, 2))}):
        propagation = make(Table(masks), keys=[8], held=old, untouched=set(old))
        assert carry(propagation, [link(8, disk(3))], (1,)) == sorted(old)
        assert [int(propagation.stack[n].sum()) for n in (7, 8, 9, 10, 11)] == [113, 29, 29, 113, 113]
        assert propagation.untouched == set(old) - {8, 9}


def test_doubts_are_those_of_the_masks():
    def follow(last, index, coming):
        return Link(index, last.mask, last.logits, 0.9, doubt=(2.0, index, 0) if index == 10 else None)

    propagation = make(follow, keys=[8], doubts={9: (9.0, 0.0, 0.0), 2: (1.0, 0.0, 0.0)})
    carry(propagation, [link(8, disk(5))], (1,))
    assert propagation.doubts == {10: (2.0, 10, 0), 2: (1.0, 0.0, 0.0)}


def test_distances_are_in_millimetres():
    leak = disk(5) | disk(5, (12, 19))
    assert StopRules((1.0, 1.0), 1.0, growth=1.5).reason(link(0, disk(5)), link(0, disk(5)), link(1, leak)) is None
    assert StopRules((9.0, 9.0), 1.0, growth=1.5, far_share=0.1).reason(
        link(0, disk(5)), link(0, disk(5)), link(1, leak)
    )
    assert not StopRules((9.0, 9.0), 20.0, growth=1.5, far_share=0.1).reason(
        link(0, disk(5)), link(0, disk(5)), link(1, leak)
    )


def test_two_models_may_draw_contours_a_little_differently():
    assert RULES.is_alike(disk(10), disk(9)) and RULES.is_alike(disk(4), disk(4, (12, 13)))
    leak = disk(7).copy()
    leak[10:14, 0:8] = True
    assert not RULES.is_alike(leak, disk(7)) and not RULES.is_alike(disk(7), leak)
    assert not RULES.is_alike(disk(10), disk(6))


def test_a_mask_the_model_is_much_less_sure_of_is_not_taken():
    def follow(last, index, coming):
        return Link(index, last.mask, np.full((2, 2), 3.0 if index < 10 else 1.5, np.float32), 0.9)

    propagation = make(follow, keys=[8])
    start = Link(8, disk(5), np.array([[3.0, 3.0], [-9.0, -9.0]], np.float32), 0.9)
    assert carry(propagation, [start], (1,)) == [8, 9]
    assert propagation.stops == {10: "the model is much less sure than on the prompted slice"}
