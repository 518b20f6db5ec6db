"""Precisions compared by the same clicks: pairs of masks, corrections, what is measured."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from slice_toys import ThresholdSliceSegmenter  # noqa: E402

from sam3dseg.agreement import Case, Structure, measured_by_clicks, measured_by_proposals  # noqa: E402
from sam3dseg.check_cases import case_of, phantom, thick_places  # noqa: E402
from sam3dseg.imageio import Image  # noqa: E402
from sam3dseg.prompts import Click  # noqa: E402
from sam3dseg.session import Session  # noqa: E402


@pytest.fixture
def balls(make_ellipsoid):
    return [make_ellipsoid((40, 40, 40), centre, (7, 7, 7)) for centre in ((12, 12, 12), (28, 28, 26))]


@pytest.fixture
def case(balls):
    array = (100.0 * balls[0] + 60 * balls[1]).astype(np.float32)
    array += np.random.default_rng(0).normal(0, 2, array.shape).astype(np.float32)
    image = Image(array, (1.0, 1.0, 1.0), np.eye(3), np.zeros(3), "balls")
    return Case(image, (Structure(Click((12, 12, 12)), balls[0]), Structure(Click((28, 28, 26)), balls[1])))


def test_equal_models_agree_wholly(case, make_segmenter):
    models = {"float32": make_segmenter(), "bfloat16": make_segmenter()}
    reference, other = measured_by_clicks(models, [case], clicks=2)
    assert (reference.precision, other.precision) == ("float32", "bfloat16")
    assert other.dice_smallest == other.dice_median == 1
    assert other.masks >= 3 and other.encode_s > 0 and other.click_s > 0


def test_every_precision_gets_the_same_prompts(case, make_segmenter):
    models = {name: make_segmenter() for name in ("float32", "bfloat16", "int8")}
    measured_by_clicks(models, [case], clicks=3)
    first, *others = (model.decoded for model in models.values())
    assert len(first) >= 4
    for other in others:
        assert [d["points"].tolist() for d in other] == [d["points"].tolist() for d in first]


def test_another_answer_lowers_the_smallest_dice(case, make_segmenter):
    models = {"float32": make_segmenter(), "bfloat16": make_segmenter(tolerance=0.9)}
    _, other = measured_by_clicks(models, [case], clicks=1)
    assert 0 < other.dice_smallest < 0.9
    assert other.dice_smallest <= other.dice_median


def test_two_empty_masks_tell_nothing(case):
    class Silent:
        name, architecture, device_line = "silent", "threshold", "CPU"
        classes = ("a",)

        def propose(self, array, **_):
            return np.zeros(array.shape, np.uint8)

    _, other = measured_by_proposals({"float32": Silent(), "int8": Silent()}, [case])
    assert (other.masks, other.dice_smallest) == (0, 0)


def test_proposals_are_compared_by_structure(case, balls):
    class Proposing:
        classes = ("a", "b")

        def __init__(self, *masks):
            self.masks = masks

        def propose(self, array, *, spacing_mm, direction):
            return sum(value * mask.astype(np.uint8) for value, mask in enumerate(self.masks, 1))

    models = {"float32": Proposing(*balls), "int8": Proposing(balls[0], np.roll(balls[1], 7, axis=0))}
    _, other = measured_by_proposals(models, [case])
    assert other.masks == 2 and 0.2 < other.dice_smallest < 0.5
    assert other.dice_median == pytest.approx((1 + other.dice_smallest) / 2)


def test_a_model_of_slices_answers_the_clicked_slice_only(case):
    models = {"float32": ThresholdSliceSegmenter(), "int8": ThresholdSliceSegmenter()}
    _, other = measured_by_clicks(models, [case], clicks=1)
    assert other.dice_smallest == 1
    assert len(models["int8"].encoded) == 2  # one for each structure


def test_without_a_truth_the_doubt_is_clicked(case, make_segmenter, monkeypatch):
    asked = []
    monkeypatch.setattr(Session, "uncertain_voxel", property(lambda session: asked.append(session) or (30, 10, 10)))
    model = make_segmenter()
    unknown = Case(case.image, (Structure(Click((12, 12, 12))),))
    measured_by_clicks({"float32": model}, [unknown], clicks=2)
    assert len(asked[0].clicks) == 2
    assert asked[0].clicks[1] == Click((30, 10, 10), is_foreground=True)  # it was outside the mask


def test_places_are_in_bright_regions_and_apart(case, balls):
    first, second = thick_places(case.image.array_ijk, 2)
    assert {next(n for n, ball in enumerate(balls) if ball[place]) for place in (first, second)} == {0, 1}
    assert len(case_of(case.image).structures) == 4
    assert thick_places(np.zeros((4, 4, 4)), 9)  # an even image has places as well


def test_the_phantom_is_always_the_same_and_clicked_inside():
    first, second = phantom(), phantom()
    assert np.array_equal(first.image.array_ijk, second.image.array_ijk)
    assert len(first.structures) == 3
    assert all(s.truth[s.start.ijk] for s in first.structures)
