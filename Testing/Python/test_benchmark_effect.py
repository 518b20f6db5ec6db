"""The effect's benchmark on a tiny volume: every part is measured, and what is reported adds up."""

from __future__ import annotations

import json
import time

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs Qt")

from slicer_host.rendering import skipWithoutRendering

import effect

TINY = ["--size", "40", "--object", "16", "--clicks", "2", "--activations", "1"]


@pytest.fixture(autouse=True)
def needs_rendering():
    skipWithoutRendering()


def test_prints_every_part_beside_its_bar_and_writes_every_click(make_segmenter, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(effect, "measure_activation", lambda times: [30.0] * times)
    out = tmp_path / "effect.json"
    segmenter = make_segmenter()
    assert effect.main([*TINY, "--json", str(out)], load=lambda name, device: segmenter) == 0
    printed = capsys.readouterr().out
    assert all(f"| {title} | " in printed for _, title, _ in effect.ROWS)
    assert "| activation, without PyTorch loaded | 30.0 ms | 100 ms | 30% |" in printed
    assert "40³ int16" in printed and "2 clicks" in printed

    kept = json.loads(out.read_text(encoding="utf-8"))
    assert kept["bars_ms"] == {"total": 250, "write_and_surface": 100, "main": 50, "activation": 100}
    assert len(kept["clicks"]) == 2 and kept["voxels"] > 0
    for spent, _ in kept["clicks"]:
        assert min(spent[name] for name in ("engine", "surface", "press", "undo", "tag", "change", "refresh")) > 0
        assert spent["total"] >= spent["engine"] + spent["write_and_surface"]


def test_parts_add_up():
    times = {"total": 200, "engine": 80, "apply": 60, "press": 5, "answer": 75, "surface": 50, "tag": 1}
    found = effect.parts(times)
    assert (found["write_and_surface"], found["write"], found["main"]) == (60, 10, 30)
    assert (found["tag"], found["undo"]) == (1, 0)


def test_stopwatch_adds_up_calls_on_the_clock_and_at_work():
    class Sleeper:
        def nap(self, seconds: float) -> str:
            time.sleep(seconds)
            return "rested"

    watch, sleeper = effect.Stopwatch(), Sleeper()
    watch.watch("nap", sleeper, "nap")
    assert [sleeper.nap(0.01), sleeper.nap(0.02)] == ["rested", "rested"]
    assert watch.spent["nap"] >= 30 > watch.busy["nap"]
    watch.clear()
    assert not watch.spent and not watch.busy


def test_activation_in_a_fresh_process_without_torch():
    (spent,) = effect.measure_activation(1)
    assert spent > 0


def test_an_activation_that_finds_torch_loaded_is_refused():
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="expected an activation without PyTorch"):
        effect.activate_once()


def test_bad_input_is_one_line(capsys):
    assert effect.main(["--clicks", "0"]) == 2
    assert effect.main(["--size", "20", "--object", "30"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and all(line.startswith("effect.py: expected at least 1 click") for line in errors)
