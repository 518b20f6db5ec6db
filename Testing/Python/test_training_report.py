"""The page that one sends to a colleague, and the curves."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("monai")
pytest.importorskip("SimpleITK")

import evaluation_toys
import training_cases

from sam3dseg_training.configs.evaluate import EvaluateConfig
from sam3dseg_training.evaluation.page import counted, listed
from sam3dseg_training.evaluation.plots import MOST_LABELS, write_curves
from sam3dseg_training.evaluation.report import extremes, write_page
from sam3dseg_training.evaluation.summary import object_summary, summary

NAME = "<b>mine & $x$"


def metrics_of(results, *, clicks=2, **facts):
    """What `evaluate` would write for these results of each role."""
    labels = list(dict.fromkeys(result.label for result in results["model"]))
    known = {
        "name": NAME,
        "source": "mine.safetensors",
        "architecture": "compact",
        "parameters": 5_000_000,
        "sha256": "abc",
        "training_cases": 5,
        "trained_on": 0,
        "card": {"data": [{"dataset": "toy", "training": 5}], "steps": [10], "licence": "CC-BY <4.0>"},
    }
    return {
        "command": "sam3dseg-train evaluate data='<x>'",
        "settings": asdict(EvaluateConfig(clicks=clicks)),
        "data": {
            "datasets": {"toy": 3},
            "cases": 3,
            "split": "validation, fold 0 of 5",
            "labels": labels,
            "shape": {"least": [22, 18, 14], "most": [22, 18, 14]},
            "spacing_mm": {"least": [1.0, 1.2, 2.5], "most": [1.0, 1.2, 3.0]},
        },
        "models": {role: {**known, **facts, "name": known["name"] if role == "model" else "plain"} for role in results},
        "overall": {role: summary(found) for role, found in results.items()},
        "labels": {
            label: {role: summary([r for r in found if r.label == label]) for role, found in results.items()}
            for label in labels
        },
        "cases": [
            {
                "case": own.case,
                "label": own.label,
                "voxels": own.voxels,
                **{role: object_summary(found[index]) for role, found in results.items()},
            }
            for index, own in enumerate(results["model"])
        ],
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return training_cases.cached(tmp_path_factory.mktemp("data"))


@pytest.fixture
def results(cache):
    mask = cache.read("toy/case_000").mask("Front")
    own = [
        evaluation_toys.result(f"toy/case_00{n}", label, 0.3, dice, mask=mask)
        for n, label, dice in ((0, "Front", 0.9), (0, "Back", 0.5), (1, "Front", 0.7), (2, "Back", 0.8))
    ]
    return {"model": own, "baseline": [replace(result, mask=own[0].mask) for result in own]}


def page_of(tmp_path, cache, results, *, pictures=1, **options):
    metrics = metrics_of(results, **options)
    write_curves(tmp_path / "curves.png", metrics)
    write_page(tmp_path / "report.html", metrics, results, cache, curves=tmp_path / "curves.png", pictures=pictures)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Tags that are open at the end, all attributes that could load something, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.loads, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_loads_nothing(tmp_path, cache, results):
    page = page_of(tmp_path, cache, results)
    reader = Reader(page)
    assert reader.open == []
    assert len(reader.loads) == 1 + 2  # the curves, the worst and the best result
    assert all(source.startswith("data:image/png;base64,") for source in reader.loads)
    assert not re.search(r"<script|@import|url\(", page)


def test_names_are_text_wherever_they_stand(tmp_path, cache, results):
    page = page_of(tmp_path, cache, results)
    assert NAME in Reader(page).text
    assert "<b>mine" not in page and "CC-BY <4.0>" not in page


def test_it_says_what_was_measured_on_what(tmp_path, cache, results):
    text = " ".join(Reader(page_of(tmp_path, cache, results)).text.split())
    for expected in (
        "Segmentation of Front, Back from 1 to 2 clicks, compared with plain, on 3 cases of toy",
        "0.725",  # mean Dice after two clicks
        "5.0 million parameters",
        "toy (5 training cases)",
        "1.00 × 1.20 × 2.50 to 1.00 × 1.20 × 3.00",
        "sam3dseg-train evaluate data='<x>'",
        "The tolerance of Surface Dice is 1 mm",
    ):
        assert expected in text


def test_the_worst_comes_first_and_nothing_is_shown_twice(tmp_path, cache, results):
    assert extremes(results["model"], 3) == ([1, 2], [0, 3])
    assert extremes(results["model"], 1) == ([1], [0])
    assert extremes(results["model"][:1], 3) == ([0], [])
    assert extremes(results["model"], 0) == ([], [])
    text = page_of(tmp_path, cache, results)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert [caption.split(" · ")[:2] for caption in captions[1:]] == [
        ["toy/case_000", "Back"],
        ["toy/case_000", "Front"],
    ]


def test_one_model_one_label_one_click(tmp_path, cache, results):
    alone = {"model": [replace(results["model"][0], scores={k: v[:1] for k, v in results["model"][0].scores.items()})]}
    text = Reader(page_of(tmp_path, cache, alone, clicks=1)).text
    assert "from 1 click on" in text and "Each label" not in text and "baseline" not in text


def test_cases_that_were_trained_on_are_pointed_out(tmp_path, cache, results):
    assert "was trained on 2 of these 3 cases" in Reader(page_of(tmp_path, cache, results, trained_on=2)).text
    assert "was trained on" not in Reader(page_of(tmp_path, cache, results)).text


def test_pictures_can_be_left_out(tmp_path, cache, results):
    assert len(Reader(page_of(tmp_path, cache, results, pictures=0)).loads) == 1


def test_curves_have_a_row_per_label_up_to_a_limit(tmp_path, results):
    from PIL import Image

    def height(count):
        many = {
            role: [replace(result, label=f"L{n}") for n in range(count) for result in found]
            for role, found in results.items()
        }
        write_curves(tmp_path / "curves.png", metrics_of(many))
        return Image.open(tmp_path / "curves.png").size[1]

    one = height(1)
    assert height(2) == pytest.approx(3 * one, abs=5)
    assert height(MOST_LABELS + 1) == one


def test_words_and_numbers():
    assert (counted(1, "case"), counted(1200, "case")) == ("1 case", "1,200 cases")
    assert listed("abcdefgh") == "a, b, c, d, e, f and 2 more"


def test_an_empty_result_is_drawn_too(tmp_path, cache, results):
    none = np.zeros(training_cases.SHAPE, bool)
    empty = {"model": [evaluation_toys.result("toy/case_000", "Front", 0.0, 0.0, mask=none)]}
    assert "0.000" in Reader(page_of(tmp_path, cache, empty)).text
