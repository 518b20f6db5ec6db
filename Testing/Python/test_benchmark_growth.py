"""The growth benchmark: what it measures on a stand-in, how its ends are compared, its tables and its figure."""

from __future__ import annotations

import json

import numpy as np
import pytest

import growth
import growth_points
import growth_report
from phantom import CONTRAST, balls_in_noise, correction


@pytest.fixture
def segmenter(make_segmenter):
    return make_segmenter()


def test_balls_have_their_size_in_millimetres_and_may_cross_the_border():
    spacing_mm = (0.5, 1.0, 2.0)
    volume = balls_in_noise((40, 24, 12), np.array([[20, 12, 6], [0, 0, 0]]), 8.0, spacing_mm)
    assert volume.dtype == np.int16
    bright = volume > CONTRAST / 2
    assert [bright[:, 12, 6].sum(), bright[20, :, 6].sum(), bright[20, 12, :].sum()] == pytest.approx(
        [31, 15, 7], abs=1
    )
    assert bright[:4, :4, :2].all()


def test_corrections_lie_in_turn_inside_and_outside():
    center, spacing_mm, rng = np.array([50, 50, 50]), (0.5, 1.0, 2.0), np.random.default_rng(0)
    for number in range(6):
        click = correction(number, center, 20.0, spacing_mm, rng)
        distance = np.linalg.norm((np.array(click.ijk) - center) * spacing_mm)
        assert click.is_foreground == (number % 2 == 0) == (distance < 20)


def test_a_volume_is_clicked_in_several_sessions_and_its_memory_is_of_the_first(segmenter):
    found = growth_points.by_volume(segmenter, 64, 2)
    assert found["volume_bytes"] == 64**3 * 2
    assert len(found["first_s"]) == 2
    assert len(found["later_s"]) == len(found["later_encodes"]) == 2 * growth_points.CORRECTIONS
    assert 0 < found["resident"]["model"] <= found["peak"]["first"]
    assert min(found["first_s"] + found["later_s"]) > 0


def test_every_click_is_a_row(segmenter):
    rows = growth_points.by_clicks(segmenter, 64, 4, 0)
    assert len(rows) == 4 and rows[0]["encodes"] > 0 == rows[-1]["encodes"]
    assert all(0 < row["resident"] <= row["peak"] and row["seconds"] > 0 for row in rows)


def test_segments_share_the_volume_but_not_their_steps(segmenter, monkeypatch):
    asked = []
    add = growth_points.Session.add
    monkeypatch.setattr(growth_points.Session, "add", lambda s, click: (asked.append((s, s.clicks)), add(s, click))[1])
    rows = growth_points.by_segments(segmenter, 96, 2, 0)
    per_segment = 1 + growth_points.CORRECTIONS_PER_SEGMENT
    assert len({id(session) for session, _ in asked}) == 1
    assert [len(clicks) for _, clicks in asked] == [*range(per_segment), *range(per_segment), per_segment]
    assert asked[-1][1] == (*asked[per_segment - 1][1], asked[-1][1][-1])  # gone back to the first segment
    assert "back_s" not in rows[0] and rows[1]["back_s"] > 0


def test_as_many_histories_are_kept_as_in_the_effect():
    tracks = pytest.importorskip("SAM3DSegmentLib.Editor.SegmentTrack", exc_type=ImportError)
    assert tracks.TRACKS == growth_points.KEPT


def test_balls_lie_apart_and_too_many_are_refused():
    centers = growth_points.ball_centers(256, 40)
    spaced = (centers[:, None] - centers[None]) * growth_points.SPACING_MM
    distances = np.linalg.norm(spaced, axis=-1)[~np.eye(40, dtype=bool)]
    assert distances.min() > 2.5 * growth_points.RADIUS_MM
    assert (centers > 0).all() and (centers < 256).all()
    with pytest.raises(ValueError, match="expected at most 2 segments in a volume of 96³, received 3"):
        growth_points.ball_centers(96, 3)


def test_ends_are_medians_of_either_end_of_a_long_series():
    assert growth.ends([1, 9, 1, 1, 1, 5, 5, 2, 2, 2, 9, 2]) == 2
    assert growth.ends([2.0, 3.0]) == 1.5


def test_points_are_medians_of_repetitions_and_the_most_of_bytes():
    rows = [{"seconds": s, "encodes": n, "peak": b} for s, n, b in ((1, 0, 5), (9, 1, 7), (2, 0, 6))]
    assert growth.at_point(rows) == {"seconds": 2, "encodes": 1, "peak": 7}


def test_later_clicks_of_a_volume_are_those_without_an_encoding():
    found = {
        "first_s": [3.0, 1.0, 2.0],
        "later_s": [0.1, 7.0, 0.3],
        "later_encodes": [0, 2, 0],
        "volume_bytes": 10,
        "resident": {"volume": 100, "later": 140},
        "peak": {"first": 150, "later": 145},
    }
    point = growth.of_volume(found)
    assert (point["first_s"], point["later_s"], point["encodes"]) == (2.0, pytest.approx(0.2), 2)
    assert (point["peak"], point["beyond"], point["resident"]) == (150, 50, 140)


@pytest.fixture
def apart(make_segmenter):
    """Measures in this process, with the stand-in."""

    def measure(series, size, count, seed):
        if series == "volume":
            return growth_points.by_volume(make_segmenter(), size, count)
        return getattr(growth_points, f"by_{series}")(make_segmenter(), size, count, seed)

    return measure


def test_a_run_gives_tables_json_and_pictures(apart, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(growth_points, "CORRECTIONS", 2)
    words = ["--sizes", "64", "72", "--clicks", "3", "--segments", "2", "--base", "96", "--repeats", "1"]
    pictures = [tmp_path / "growth.png", tmp_path / "new" / "growth.webp"]
    words += ["--json", str(tmp_path / "growth.json"), "--plot", *map(str, pictures)]
    assert growth.main(words, apart) == 0
    printed = capsys.readouterr().out
    assert "| size of the volume | first click | later click | peak memory |" in printed
    assert (
        "72³ over 64³: first click × " in printed and "the last over the first of 3 clicks: later click × " in printed
    )
    result = json.loads((tmp_path / "growth.json").read_text(encoding="utf-8"))
    assert {"benchmark", "date", "machine", "threads", "versions"} <= result.keys()
    assert {name: series["x"] for name, series in result["series"].items()} == {
        "volume": [64, 72],
        "clicks": [1, 2, 3],
        "segments": [1, 2],
    }
    assert all(len(values) == len(series["x"]) for series in result["series"].values() for values in series.values())
    assert result["ratios"].keys() == result["series"].keys()
    assert pictures[0].read_bytes()[:4] == b"\x89PNG"
    assert pictures[1].read_bytes()[8:12] == b"WEBP"


def test_every_panel_of_the_figure_is_named_and_starts_at_zero(monkeypatch, tmp_path):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: drawn.append(figure))
    columns = {"first_s": [0.3, 0.4], "later_s": [0.1, 0.1], "seconds": [0.3, 0.1], "back_s": [None, 0.2]}
    sizes = {"peak": [6e8, 7e8], "beyond": [1e8, 1e8], "volume_bytes": [5e5, 4e6], "resident": [5e8, 6e8]}
    series = {
        name: {"x": [64, 128] if name == "volume" else [1, 2], **columns, **sizes} for name in growth_report.PANELS
    }
    growth_report.draw({"base": 256, "series": series}, tmp_path / "growth.png")
    above, below = np.array(drawn[0].axes).reshape(2, 3)
    assert [axes.get_title() for axes in above] == [
        "size of the volume",
        "clicks on one object, 256³",
        "segments of one volume, 256³",
    ]
    assert [axes.get_xlabel() for axes in below] == ["voxels", "clicks", "segments"]
    assert (above[0].get_ylabel(), below[0].get_ylabel()) == ("milliseconds", "MiB")
    assert below[0].get_xscale() == "log" and above[0].get_ylim()[0] == below[0].get_ylim()[0] == 0
    assert above[0].get_ylim()[1] >= 400 and below[0].get_ylim()[1] >= 7e8 / 2**20
    assert all(len(axes.get_lines()) for axes in (*above, *below))


def test_bad_input_and_a_failed_process_are_one_line(capsys):
    assert growth.main(["--clicks", "1"]) == 2
    assert growth.main(["--sizes", "32"]) == 2

    def broken(*_):
        raise ValueError("volume at 64³ failed: MemoryError")

    assert growth.main([], broken) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3 and errors[2] == "growth.py: volume at 64³ failed: MemoryError"


def test_a_process_that_dies_says_why(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho Traceback >&2\necho 'MemoryError: 906 MB' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(growth.sys, "executable", str(python))
    with pytest.raises(ValueError, match=r"segments at 64³ failed: MemoryError: 906 MB"):
        growth.run_apart("segments", 64, 9, 0)


def test_memory_that_was_given_back_meanwhile_makes_no_ratio_fail():
    later = {"first_s": [1.0], "later_s": [1.0], "later_encodes": [0], "volume_bytes": 1}
    found = {**later, "resident": {"volume": 200, "later": 90}, "peak": {"first": 100, "later": 90}}
    assert growth.of_volume(found)["beyond"] == 1
