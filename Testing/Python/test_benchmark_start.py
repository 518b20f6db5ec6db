"""The benchmark of a start: its parts, its medians, its table."""

from __future__ import annotations

import json
import time

import pytest

import start


def row(factor: float) -> dict[str, float]:
    """A start that took `factor` times ten seconds."""
    parts = {"python_s": 1.0, "import_s": 4.0, "load_s": 2.0, "image_s": 1.0, "click_s": 2.0}
    return {**{key: factor * value for key, value in parts.items()}, "total_s": 10 * factor, "read_mb": 7 * factor}


@pytest.fixture
def apart(monkeypatch):
    """Starts that take longer and longer, after nothing was forgotten."""
    monkeypatch.setattr(start, "forget_files", lambda: None)
    factors = iter((3.0, 0.1, 0.5, 0.2))
    return lambda size: row(next(factors))


def test_the_first_start_stands_apart_from_the_medians(apart, tmp_path, capsys):
    assert start.main(["--repeats", "3", "--json", str(tmp_path / "start.json")], apart) == 0
    printed = capsys.readouterr().out
    assert "| part | disk cache warm, median of 3 | first start, 21 MB read |" in printed
    assert "| import | 0.80 s | 12.00 s |" in printed
    assert "| start → first mask | 2.00 s | 30.00 s |" in printed and "of the bar of 4 s: 50%" in printed
    result = json.loads((tmp_path / "start.json").read_text(encoding="utf-8"))
    assert result["benchmark"] == "start" and len(result["warm"]) == 3
    assert result["median"]["total_s"] == pytest.approx(2.0) and result["first"]["total_s"] == 30.0


def test_parts_add_up_and_the_clock_starts_before_python(make_segmenter, monkeypatch):
    import sam3dseg

    monkeypatch.setitem(vars(sam3dseg), "load_segmenter", lambda name, device: make_segmenter())
    found = start.work(64, time.time() - 5)
    assert found["total_s"] == pytest.approx(sum(found[key] for key in start.PARTS if key != "total_s"))
    assert 5 <= found["python_s"] < 60 and found["click_s"] > 0


def test_only_files_that_a_start_reads_are_forgotten(monkeypatch):
    forgotten = []
    monkeypatch.setattr(start, "PACKAGES", ("sam3dseg", "no_such_package"))
    monkeypatch.setattr(start, "_forget", forgotten.append)
    start.forget_files()
    names = {path.name for path in forgotten}
    assert "session.py" in names and all("sam3dseg" in str(path) or path.suffix == ".safetensors" for path in forgotten)


def test_forgetting_leaves_a_file_as_it_is(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"12345")
    start._forget(path)
    assert path.read_bytes() == b"12345"


def test_bad_input_and_a_failed_start_are_one_line(monkeypatch, capsys):
    assert start.main(["--repeats", "0"]) == 2
    monkeypatch.setattr(start, "forget_files", lambda: None)
    monkeypatch.setattr(start.sys, "executable", "/bin/false")
    assert start.main([]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("start.py: expected --repeats from 1")
    assert errors[1] == "start.py: the start failed: exit status 1"
