"""The README's tables from made-up results: what is filled, what stays, and where the figures come from."""

from __future__ import annotations

import json
from pathlib import Path

import benchmark_results
import pytest

import readme_tables
from readme_blocks import BLOCKS

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "<sub>`{}.py`, 2031-05-06: Z80, 1 cores, 1 thread; Python 3.12.1, torch 9.9</sub>"


@pytest.fixture
def folder(tmp_path):
    """A README with a block for clicks, latency and growth, and a folder for results."""
    blocks = "\n".join(
        f"before {name}\n<!-- benchmarks: {name} -->\nold {name}, 2026-01-01\n<!-- /benchmarks: {name} -->"
        for name in ("clicks", "latency", "growth")
    )
    (tmp_path / "README.md").write_text(f"# Title\n\n| not | ours |\n\n{blocks}\n", encoding="utf-8")
    (tmp_path / "results").mkdir()
    return tmp_path


def fill(folder, capsys, **results):
    """The README after filling, and what was printed."""
    for name, result in results.items():
        (folder / "results" / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")
    words = ["--folder", str(folder / "results"), "--readme", str(folder / "README.md")]
    assert readme_tables.main(words) == 0, capsys.readouterr().err
    return (folder / "README.md").read_text(encoding="utf-8"), capsys.readouterr().out


def test_a_made_up_result_gives_its_table_date_and_machine(folder, capsys):
    text, printed = fill(folder, capsys, clicks=benchmark_results.clicks())
    block = text.split("<!-- benchmarks: clicks -->\n")[1].split("<!-- /benchmarks")[0]
    assert [line for line in block.splitlines() if line.startswith("|")] == [
        "| data | method | 1 click | 3 | 5 | 10 | NoC@80 | NoC@90 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| hippocampus, MR, 1 cases | embedded | 0.50 | 0.80 | – | – | 3.0 (100%) | 3.0 (0%) |",
        "|  | Grow from seeds | 0.10 | 0.10 | – | – | 3.0 (0%) | 3.0 (0%) |",
        "| a lesion, FLAIR MR | embedded | 0.30 | 0.60 | – | – | 3.0 (0%) | 3.0 (0%) |",
        "|  | Grow from seeds | 0.10 | 0.20 | – | – | 3.0 (0%) | 3.0 (0%) |",
        "| all 2 structures | embedded | 0.40 | 0.70 | – | – | 3.0 (50%) | 3.0 (0%) |",
        "|  | Grow from seeds | 0.10 | 0.15 | – | – | 3.0 (0%) | 3.0 (0%) |",
    ]
    assert "Dice fell by up to 0.05 after a single correcting click (Grow from seeds: 0.10)." in block
    assert block.endswith(SOURCE.format("clicks") + "\n")
    assert printed == "filled: clicks; as before: latency, growth\n"


def test_only_what_stands_between_the_marks_of_a_result_changes(folder, capsys):
    before = (folder / "README.md").read_text(encoding="utf-8")
    after, _ = fill(folder, capsys, latency=benchmark_results.latency())
    start, end = "<!-- benchmarks: latency -->\n", "<!-- /benchmarks: latency -->"
    for side in (0, 1):
        mark = (start, end)[side]
        assert before.split(mark)[side] == after.split(mark)[side]
    assert "old clicks, 2026-01-01" in after and "old latency" not in after
    assert fill(folder, capsys)[0] == after


def test_latency_rows_leave_out_what_was_not_measured(folder, capsys):
    text, _ = fill(folder, capsys, latency=benchmark_results.latency())
    assert "| embedded | float32 | 128×128×128 | 125 ms | 90% | 50 ms | 1.2 s | 60 ms | 0.73 GB |" in text
    assert "| SAM or MedSAM ViT-B | float32 | a slice, 1024² | 4.2 s |  | 32 ms |  |  | 1.25 GB |" in text
    assert "int8" not in text and "(250–270 GFLOP/s in float32):" in text


def test_a_missing_or_skipped_result_leaves_the_table_with_its_old_date(folder, capsys):
    before = (folder / "README.md").read_text(encoding="utf-8")
    skipped = {**benchmark_results.latency(), "skipped": "no CUDA device", "rows": []}
    after, printed = fill(folder, capsys, latency=skipped)
    assert after == before
    assert printed == "filled: nothing; as before: clicks, latency, growth\n"


def test_a_drawn_figure_goes_where_the_readme_shows_it(folder, capsys):
    (folder / "results" / "growth.webp").write_bytes(b"picture")
    text, _ = fill(folder, capsys, growth=benchmark_results.growth())
    assert (folder / "docs" / "benchmarks" / "growth.webp").read_bytes() == b"picture"
    assert "(docs/benchmarks/growth.webp)" in text
    assert "| volume | 64³ | 128³ |" in text and "| later click | 50 ms | 60 ms |" in text
    assert "| peak memory, volume included | 600 MiB | 1,200 MiB |" in text
    assert "- the last over the first of 3 clicks: later click × 1.00" in text


def test_a_figure_that_is_missing_leaves_the_readme_and_is_one_line(folder, capsys):
    before = (folder / "README.md").read_text(encoding="utf-8")
    (folder / "results" / "growth.json").write_text(json.dumps(benchmark_results.growth()), encoding="utf-8")
    words = ["--folder", str(folder / "results"), "--readme", str(folder / "README.md")]
    assert readme_tables.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "growth.webp" in line and "make bench ONLY=growth" in line
    assert (folder / "README.md").read_text(encoding="utf-8") == before


def test_the_other_blocks_say_their_figures():
    assert "**2.0 s** (1.00 s import, 0.50 s load, 0.50 s first click" in BLOCKS["start"](benchmark_results.start())
    precision = BLOCKS["precision"](benchmark_results.precision())
    assert "| embedded | ct | float32 | 900 ms | 100 ms |  |  |  |" in precision
    assert "| embedded | mr | bfloat16 | 400 ms | 100 ms | 0.9700 | 0.9990 | 6 |" in precision
    effect = BLOCKS["effect"](benchmark_results.effect())
    assert "| mouse press → segment and surface | 200 ms | 96 ms |" in effect and "80 × 80 × 79 voxels" in effect
    browser = BLOCKS["viewer"](benchmark_results.viewer())
    assert "a 256³ int16 volume, medians of 15 clicks" in browser
    assert "| press → picture with the new mask | 300 ms |" in browser
    assert "N^1.00 and N^2.00" in BLOCKS["decoders"](benchmark_results.decoders())


def test_a_gpu_is_named():
    result = {**benchmark_results.latency("gpu"), "device": "NVIDIA H100"}
    assert "`latency.py --device cuda`, 2031-05-06: NVIDIA H100, Z80, 1 cores" in readme_tables.source(result)


def test_every_block_of_the_readme_has_its_benchmark():
    found = readme_tables.MARK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert {name for _, name, _, _ in found} == BLOCKS.keys()
