"""The closing summary from made-up results."""

from __future__ import annotations

import json

import benchmark_results
import pytest

from summary import DONE, FAILED, SKIPPED, Outcome, summary

NAMES = [*benchmark_results.ALL, "gpu"]


@pytest.fixture
def folder(tmp_path):
    """A folder with a result of every benchmark, and a GPU's that was skipped."""
    for name, make in benchmark_results.ALL.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(make()), encoding="utf-8")
    skipped = {**benchmark_results.head("gpu"), "skipped": "no CUDA", "rows": []}
    (tmp_path / "gpu.json").write_text(json.dumps(skipped), encoding="utf-8")
    return tmp_path


def test_every_figure_stands_beside_what_it_is_compared_with(folder):
    lines = summary(folder, NAMES, []).splitlines()
    for line in (
        "| Dice after 1 click, 2 structures | 0.40 | Grow from seeds 0.10 | × 4.00 |",
        "| – lowest data set, flair_lesion | 0.30 |  |  |",
        "| Dice after 3 clicks, 2 structures | 0.70 | bar 0.80 | 87% |",
        "| clicks until Dice 0.80 | 3.0 | bar 3.5 | 86% |",
        "| largest drop of Dice by one click | 0.05 | bar 0.05 | 100% |",
        "| embedded, float32, 128x128x128: encode | 125 ms | limit 250 GFLOP/s | 90% |",
        "| embedded, float32, 128x128x128: later click, end to end | 60 ms | bar 40 ms | 150% |",
        "| 128³ over 64³: later click |  |  | × 1.20 |",
        "| start → first mask, disk cache warm | 2.00 s | bar 4 s | 50% |",
        "| effect, total | 200 ms | bar 250 ms | 80% |",
        "| browser, press → mask | 300 ms | bar 400 ms | 75% |",
        "| training samples per second | 20.0 | MONAI from files 10.0 | × 2.0 |",
        "| embedded in bfloat16, embedded: encode and click | 0.50 s | float32 1.00 s | × 0.50 |",
        "| embedded in bfloat16, embedded: smallest Dice | 0.9700 |  |  |",
        "| SAM-3D's decoder, 2,000 voxels | 1 s, N^1.00 | self-attention 2 s, N^2.00 | × 0.50 |",
    ):
        assert line in lines


def test_states_come_with_reason_machine_versions_and_date(folder):
    (folder / "start.json").unlink()
    outcomes = [
        Outcome("clicks", DONE, 120),
        Outcome("gpu", SKIPPED, 6, "no CUDA"),
        Outcome("start", FAILED, 3, "exit status 1: boom"),
    ]
    lines = summary(folder, NAMES, outcomes, quick=True).splitlines()
    where = "Z80, 1 cores, 1 threads, load 0.1; Python 3.12.1, torch 9.9; 2031-05-06"
    assert f"| clicks | done | 2.0 | {where} |" in lines
    assert f"| gpu | skipped: no CUDA | 0.1 | {where} |" in lines
    assert "| start | failed: exit status 1: boom | 0.1 |  |" in lines
    assert f"| growth | not run now |  | {where} |" in lines
    assert any("its figures mean nothing" in line for line in lines)
    assert not any("start → first mask" in line for line in lines)


def test_an_empty_folder_is_a_summary_without_figures(tmp_path):
    assert "| clicks | not run now |  |  |" in summary(tmp_path, NAMES, [])
