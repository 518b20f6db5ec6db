"""The latency benchmark: its rows, its shares of the limit, what is skipped or fails."""

from __future__ import annotations

import json

import numpy as np
import pytest

import latency
import latency_points
from durations import duration
from sam3dseg.session import Timing

COUNTED = {"encode_gflop": 50.0, "click_gflop": 10.0}
TIMED = {
    "weights": "random",
    "encode_s": 0.25,
    "click_s": 0.05,
    "first_click_s": 0.4,
    "first_click_encodes": 1,
    "later_click_s": 0.06,
    "later_clicks": 18,
    "peak_gb": 0.7,
    "matrix_gflops": 250.0,
    "device": "CPU",
}


def apart(*words):
    """Stands in for a process: SAM's dies, int8 is unknown."""
    if len(words) == 1:
        return COUNTED
    if words[1] == "sam_vit_b":
        return {"failed": "MemoryError"}
    return {"skipped": "unknown precision 'int8'"} if words[3] == "int8" else TIMED


def test_rows_that_fail_or_are_skipped_do_not_cost_the_others(tmp_path, capsys):
    assert latency.main(["--json", str(tmp_path / "latency.json")], apart) == 1
    printed = capsys.readouterr().out
    line = "| embedded | float32 | 128x128x128 | 250 ms | 80% | 50 ms | 80% | 400 ms (1 encodes) | 60 ms (n=18) |"
    assert line in printed
    assert "sam_vit_b float32, 1024x1024: failed: MemoryError" in printed
    assert "sam_med3d int8, 128x128x128: skipped: unknown precision 'int8'" in printed
    result = json.loads((tmp_path / "latency.json").read_text(encoding="utf-8"))
    assert result["benchmark"] == "latency" and len(result["rows"]) == len(latency.ROWS["cpu"])
    assert result["rows"][0]["bars"] == {"encode_s": 0.25, "later_click_s": 0.04}
    assert result["rows"][0]["encode_share"] == pytest.approx(0.8)


def test_models_and_precisions_are_chosen(tmp_path, capsys):
    words = ["--models", "embedded", "--precisions", "float32", "--json", str(tmp_path / "latency.json")]
    assert latency.main(words, apart) == 0
    rows = json.loads((tmp_path / "latency.json").read_text(encoding="utf-8"))["rows"]
    assert [(row["model"], row["precision"], row["volume"]) for row in rows] == [
        ("embedded", "float32", latency.SMALL),
        ("embedded", "float32", latency.LARGE),
    ]


def test_without_a_gpu_its_rows_are_skipped_with_a_word(tmp_path, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert latency.main(["--device", "cuda", "--json", str(tmp_path / "gpu.json")], apart) == 0
    assert capsys.readouterr().out == "skipped: PyTorch sees no CUDA device here\n"
    result = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert (result["benchmark"], result["rows"], "skipped" in result) == ("gpu", [], True)


def test_a_precision_that_a_model_does_not_know_is_skipped_with_its_words():
    found = latency_points.work("cpu", "embedded", "64x64x64", "float12", 1)
    assert found.keys() == {"skipped"} and "unknown precision 'float12'" in found["skipped"]


def test_a_process_that_dies_is_a_row_with_its_last_words(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho Traceback >&2\necho 'MemoryError: 906 MB' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(latency.sys, "executable", str(python))
    assert latency.run_apart("embedded") == {"failed": "MemoryError: 906 MB"}


def test_clicks_that_need_an_encoding_are_not_later_clicks(monkeypatch):
    import sam3dseg

    class Encoding:
        """Encodes at the first click and at every third one."""

        clicks = 0

        def __init__(self, segmenter):
            pass

        def set_image(self, volume, *, spacing_mm):
            assert volume.shape == (64, 64, 64)

        def add(self, click):
            self.last_timing = Timing(encodes=int(self.clicks % 3 == 0))
            self.clicks += 1

    monkeypatch.setitem(vars(sam3dseg), "Session", Encoding)
    found = latency_points.measure_session(None, (64, 64, 64), 3)
    assert (found["first_click_encodes"], found["later_clicks"]) == (1, 4)
    assert found["first_click_s"] > 0 and found["later_click_s"] > 0


def test_operations_of_a_linear_layer_are_counted():
    import torch

    layer, x = torch.nn.Linear(30, 20), torch.randn(10, 30)
    assert latency_points.counted_gflop(lambda: layer(x)) == pytest.approx(2 * 30 * 20 * 10 / 1e9)


def test_durations_keep_two_or_three_digits():
    seconds = (12.34, 1.25, 0.9996, 0.9994, 0.125, 0.01, 0.00996, 0.0042)
    words = ["12.3 s", "1.2 s", "1.0 s", "999 ms", "125 ms", "10 ms", "10 ms", "4.2 ms"]
    assert [duration(value) for value in seconds] == words


def test_medians_are_of_timed_calls_only():
    calls = []
    assert latency_points.median_seconds(lambda: calls.append(np.zeros(1)), 3) >= 0
    assert len(calls) == 4


@pytest.mark.gpu
def test_a_row_on_the_gpu():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    row = latency_points.work("cuda", "embedded", "64x64x64", "bfloat16", 2)
    assert min(row[key] for key in ("encode_s", "click_s", "first_click_s", "peak_gb", "matrix_gflops")) > 0
    assert "cuda" in row["device"]
