"""`sam3dseg-train fewshot`: Dice over the number of training cases."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("monai")

from sam3dseg_training import cli
from sam3dseg_training.configs.evaluate import FewShotConfig
from sam3dseg_training.evaluation.fewshot import fewshot


def report(root, cases, *dice, before=(), label="Front"):
    """The metrics.json of a model that was trained on so many cases."""
    own = {"dice": {"mean": list(dice)}}
    found = {"model": own} | ({"baseline": {"dice": {"mean": list(before)}}} if before else {})
    models = {"model": {"name": "m", "training_cases": cases}, "baseline": {"name": "b", "training_cases": None}}
    folder = root / f"report-{cases}"
    folder.mkdir()
    metrics = {"models": models, "overall": found, "labels": {label: found}}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return str(folder)


def test_points_come_in_order_of_their_cases(tmp_path):
    reports = [
        report(tmp_path, 50, 0.8, 0.85, before=(0.3, 0.4)),
        report(tmp_path, 1, 0.5, 0.6, before=(0.3, 0.4)),
        report(tmp_path, 160, 0.84, 0.88, 0.9),
    ]
    out = tmp_path / "few-shot.png"
    points = fewshot(FewShotConfig(reports=reports, out=str(out), lines=["nnU-Net=0.90"]))
    assert [(point.cases, point.dice) for point in points] == [
        (1, (0.5, 0.6)),
        (50, (0.8, 0.85)),
        (160, (0.84, 0.88, 0.9)),
    ]
    assert points[0].before == (0.3, 0.4) and points[2].before == ()
    assert out.read_bytes().startswith(b"\x89PNG")


def test_what_is_drawn(tmp_path):
    from sam3dseg_training.evaluation.fewshot import _picture, read_point

    points = [read_point(report(tmp_path, n, 0.5, 0.6 + n / 100, before=(0.3, 0.4)), "Front") for n in (1, 5, 10)]
    figure = _picture(points, [1, 2], [("nnU-Net", 0.9)], "Front")
    (axes,) = figure.axes
    curves = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert [list(curve.get_xdata()) for curve in curves] == [[1, 5, 10]] * 2
    assert list(curves[1].get_ydata()) == pytest.approx([0.61, 0.65, 0.7])
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "5", "10"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "2 clicks, not fine-tuned: 0.40" in legend and "nnU-Net: 0.9" in legend


def test_bad_input_is_one_line(tmp_path, capsys):
    good = report(tmp_path, 5, 0.5, 0.6)
    blank = report(tmp_path, None, 0.5)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "metrics.json").write_text("{}", encoding="utf-8")
    out = f"out={tmp_path / 'x.png'}"
    cases = {
        "no metrics.json in": [str(tmp_path), out],
        "does not tell on how many cases": [blank, out],
        "is damaged (entries are missing): evaluate again": [str(broken), out],
        "has no label 'Liver': expected one of Front": [good, out, "label=Liver"],
        "clicks must be 1 to 2": [good, out, "clicks=[1,7]"],
        "lines must be like [nnU-Net=0.90]": [good, out, "lines=[nnU-Net]"],
        "expected a name ending in .png": [good, "out=x.gif"],
        "reports is needed": [out],
    }
    for expected, words in cases.items():
        assert cli.main(["fewshot", *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        assert expected in line
    assert not (tmp_path / "x.png").exists()
