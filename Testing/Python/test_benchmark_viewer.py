"""The benchmark of the page: which pictures count, its table, its one-line errors."""

from __future__ import annotations

import json

import pytest

import viewer


def frame(at: float, differs: int, point: int = 0) -> dict[str, float]:
    """A picture `at` ms after the press, in which so many pixels differ, and `point` more about the press."""
    return {"at": at, "differs": differs, "all": differs + point}


def test_a_picture_with_the_point_alone_is_not_one_with_the_mask():
    slices = [frame(20, 0), frame(60, 3, point=80), frame(310, 900), frame(400, 950)]
    found = viewer.times({"view-red": slices, "view-3d": [frame(70, 0), frame(420, 2000)]})
    assert found == {"frame": 60, "mask": 310, "surface": 420}
    assert viewer.times({"view-red": [frame(60, 3, point=80)], "view-3d": []}) == {"frame": 60}


def test_table_and_figures(tmp_path, capsys):
    rows = [{"frame": 50.0, "mask": 300.0}, {"frame": 70.0, "mask": 340.0}]
    result = {"ms": {"frame": 60.0, "mask": 320.0}, "clicks": rows}
    path = tmp_path / "viewer.json"
    assert viewer.main(["--clicks", "2", "--json", str(path)], lambda size, diameter, clicks: result) == 0
    printed = capsys.readouterr().out
    assert "volume: 256³ int16; 2 clicks" in printed
    assert "| press → picture with the new mask | 320 ms | 400 ms | 80% |" in printed
    assert "new surface" not in printed
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["benchmark"] == "viewer" and kept["bars_ms"] == {"mask": 400} and kept["clicks"] == rows


@pytest.mark.parametrize("words", [["--clicks", "0"], ["--object", "4"], ["--size", "64", "--object", "65"]])
def test_bad_input_is_one_line(words, capsys):
    assert viewer.main(words, lambda *_: pytest.fail("measured")) == 2
    assert capsys.readouterr().err.startswith("viewer.py: expected at least 1 click")


def test_a_page_that_cannot_be_measured_is_one_line(capsys):
    def fails(size, diameter, clicks):
        raise RuntimeError("the viewer ended with status 2")

    assert viewer.main([], fails) == 2
    assert capsys.readouterr().err == "viewer.py: the viewer ended with status 2\n"


def test_the_volume_is_a_ball_in_its_middle(tmp_path):
    pytest.importorskip("SimpleITK")
    from sam3dseg.imageio import read_image

    image = read_image(viewer.write_volume(tmp_path / "ball.nrrd", 32, 12))
    assert image.shape == (32, 32, 32) and image.spacing_mm == (1.0, 1.0, 1.0)
    assert image.array_ijk[16, 16, 16] > 100 > image.array_ijk[2, 2, 2]
