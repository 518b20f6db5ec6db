"""The throughput benchmark measures what it says, on small made-up cases."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

pytest.importorskip("torch")
pytest.importorskip("monai")
pytest.importorskip("nibabel")

import training_cases

import throughput


def test_a_run_on_made_up_cases(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(throughput, "CASES", 5)
    words = [
        "--data",
        str(tmp_path),
        "--window",
        "32",
        "--workers",
        "0",
        "--jobs",
        "1",
        "--batches",
        "2",
        "--steps",
        "2",
    ]
    assert throughput.main([*words, "--json", str(tmp_path / "out.json")]) == 0
    result = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert result["cases"] == 5 and result["data"] == "cases"
    assert all(result[key] > 0 for key in ("ours", "monai", "monai_cached", "step_s"))
    assert 0 < result["waiting_share"] < 1
    printed = capsys.readouterr().out
    assert all(name in printed for name in throughput.RUNS.values()) and "waiting for data" in printed


def test_samples_per_second_leave_out_the_warm_up():
    class Clock:
        now = 0.0

        def __next__(self):
            self.now += 100.0 if self.now < 200 else 0.5
            return {"image": [0, 0]}

    clock = Clock()
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(throughput.time, "perf_counter", lambda: clock.now)
        assert throughput.rate(clock, 4) == pytest.approx(8 / 2.0)


def test_monai_makes_windows_of_the_same_size(tmp_path):
    training_cases.cached(tmp_path)
    args = Namespace(window=32, batch=2, workers=0)
    batch = next(throughput.monai_batches(tmp_path / "cache", args, cached=False))
    assert batch["image"].shape == batch["label"].shape == (2, 1, 32, 32, 32)
    assert (batch["label"] > 0).any()


def test_bad_input_is_one_line(tmp_path, capsys):
    (tmp_path / "hippocampus").mkdir()
    assert throughput.main(["--data", str(tmp_path)]) == 2
    assert "no cases in" in capsys.readouterr().err
