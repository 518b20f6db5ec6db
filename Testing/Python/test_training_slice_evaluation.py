"""`sam3dseg-train evaluate` of models of slices: a box per slice, clicks, and who takes what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("monai")
pytest.importorskip("SimpleITK")

import evaluation_toys
import training_cases
from slice_toys import ThresholdSliceSegmenter
from tiny_networks import SMALL_SAM, tiny_sam

from sam3dseg.checkpoint import save_checkpoint
from sam3dseg.prompts import Box
from sam3dseg_training import cli
from sam3dseg_training.configs.evaluate import EvaluateConfig
from sam3dseg_training.evaluation.answering import slice_boxes
from sam3dseg_training.evaluation.evaluate import evaluate
from sam3dseg_training.evaluation.prompting import SLICE_BOXES, Prompting
from sam3dseg_training.evaluation.results import judge
from sam3dseg_training.evaluation.tables import read_metrics

BOXES = Prompting(SLICE_BOXES)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return training_cases.cached(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    network = tiny_sam()
    file = folder / "flat.safetensors"
    save_checkpoint(file, architecture="sam", config=SMALL_SAM, weights=network.state_dict(), provenance={})
    return {"flat": file, "deep": evaluation_toys.model_file(folder / "deep.safetensors")}


def config(cache, models, out, name="flat", **settings):
    return EvaluateConfig(
        data=str(cache.folder), out=str(out), model=str(models[name]), cases="all", limit=2, pictures=1, **settings
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_boxes_are_the_smallest_of_every_slice_that_shows_something(axis):
    reference = np.zeros((7, 8, 9), bool)
    reference[2:4, 3:6, 4:8] = True
    reference[5, 1, 2] = True
    boxes = slice_boxes(reference, axis)
    assert [box.lower_ijk[axis] for box in boxes] == [box.upper_ijk[axis] for box in boxes]
    covered = np.zeros_like(reference)
    for box in boxes:
        region = tuple(slice(a, b + 1) for a, b in zip(box.lower_ijk, box.upper_ijk, strict=True))
        assert reference[region].any()
        covered[region] = True
    assert (covered == reference).all()
    assert len(boxes) == np.count_nonzero(reference.any(axis=tuple(a for a in range(3) if a != axis)))
    assert isinstance(boxes[0], Box)


def test_every_slice_of_an_object_is_answered_from_its_own_box_alone(cache):
    case = cache.read("toy/case_000")
    segmenter = ThresholdSliceSegmenter()
    objects = {"Front": ("Front",), "Front+Back": ("Front", "Back")}
    front, both = judge(segmenter, case, objects, prompting=BOXES, tolerance_mm=1.0)
    assert len(segmenter.decoded) == 6 + 6 and len(segmenter.encoded) == 6  # slices 3 to 8, encoded once
    assert all(not len(asked["points"]) and asked["previous"] is None for asked in segmenter.decoded)
    assert (front.clicks, len(front.seconds), len(front.dice)) == ((), 1, 1)
    mask = front.mask.within(tuple(slice(0, side) for side in case.image.shape))
    reference = case.mask("Front")
    assert front.dice[0] == pytest.approx(2 * (mask & reference).sum() / (mask.sum() + reference.sum()), abs=1e-5)
    assert front.dice[0] > 0.8 and both.voxels == 2 * front.voxels * 6 / 7


def test_the_slices_lie_as_asked(cache):
    case, segmenter = cache.read("toy/case_000"), ThresholdSliceSegmenter()
    judge(segmenter, case, {"Front": ("Front",)}, prompting=BOXES, tolerance_mm=1, slices={"orientation": "sagittal"})
    assert len(segmenter.encoded) == 7


def test_a_report_of_boxes_says_so(cache, models, tmp_path):
    metrics = evaluate(config(cache, models, tmp_path, prompts=SLICE_BOXES)).metrics
    assert metrics["prompts"] == SLICE_BOXES and len(metrics["overall"]["model"]["dice"]["mean"]) == 1
    assert read_metrics(tmp_path)["settings"]["prompts"] == SLICE_BOXES
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Dice after a box per slice" in page and "Every slice that shows an object is prompted with" in page
    assert "NoC@80" not in page and "1 click" not in page
    assert len((tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 2


def test_slice_models_are_clicked_too(cache, models, tmp_path):
    metrics = evaluate(config(cache, models, tmp_path, baseline=str(models["deep"]), clicks=2)).metrics
    assert metrics["prompts"] == "clicks"
    assert all(len(found["dice"]["mean"]) == 2 for found in metrics["overall"].values())
    assert "NoC@80" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_results_of_other_prompts_are_not_taken_for_these(cache, models, tmp_path):
    clicked = evaluate(config(cache, models, tmp_path, clicks=1)).results["model"]
    boxed = evaluate(config(cache, models, tmp_path, prompts=SLICE_BOXES)).results["model"]
    assert clicked[0].clicks and not boxed[0].clicks


@pytest.mark.parametrize(
    ("name", "words", "line"),
    [
        ("deep", ["prompts=slice_boxes"], "prompts=slice_boxes needs a model for clicks in slices: deep is for clicks"),
        ("flat", ["prompts=slice_boxes", "baseline=DEEP"], "needs a model for clicks in slices: deep is for clicks"),
        ("flat", ["prompts=slice_boxes", "clicks=2"], "clicks=2 has no effect on flat, which is given slice boxes"),
        ("deep", ["orientation=axial"], "orientation=axial has no effect on deep, a model for clicks in 3D"),
        ("flat", ["prompts=boxes"], "prompts must be one of clicks, slice_boxes, not 'boxes'"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_2(cache, models, tmp_path, capsys, name, words, line):
    words = [word.replace("DEEP", str(models["deep"])) for word in words]
    out = tmp_path / "report"
    assert (
        cli.main(["evaluate", f"data={cache.folder}", f"model={models[name]}", f"out={out}", "cases=all", *words]) == 2
    )
    error = capsys.readouterr().err
    assert line in error and error.count("sam3dseg-train:") == 1
    assert not out.exists()


def test_reports_of_different_prompts_are_not_drawn_together(cache, models, tmp_path, capsys, caplog, monkeypatch):
    from sam3dseg_training.evaluation import fewshot

    kinds = {"a": "clicks", "b": SLICE_BOXES}
    monkeypatch.setattr(fewshot, "read_point", lambda folder, label: fewshot.Point(3, (0.5,), (), kinds[folder]))
    assert cli.main(["fewshot", "a", "b", f"out={tmp_path / 'few.png'}"]) == 2
    assert "expected reports of the same prompts, received clicks and slice_boxes" in capsys.readouterr().err
    with caplog.at_level("INFO"):
        assert cli.main(["fewshot", "b", f"out={tmp_path / 'few.png'}"]) == 0
    assert "3 training cases: Dice 0.500 after a box per slice" in caplog.text
