"""All benchmarks in one command: order, what is kept, and what a failure costs."""

from __future__ import annotations

import json
from pathlib import Path

import benchmark_results
import pytest

import bench

ROOT = Path(__file__).resolve().parents[2]
WRITES = (
    "import json, sys, pathlib; print('figures of ' + sys.argv[1]);"
    "pathlib.Path(sys.argv[sys.argv.index('--json') + 1]).write_text(sys.argv[2])"
)


def writing(name: str, **options) -> bench.Benchmark:
    """A benchmark that leaves a made-up result."""
    return bench.Benchmark(
        name,
        ("-c", WRITES, name, json.dumps(benchmark_results.ALL[name]()).replace("{", "{{").replace("}", "}}")),
        **options,
    )


DIES = bench.Benchmark("latency", ("-c", "import sys; print('half a table'); sys.exit('MemoryError: too large')"))


def run(tmp_path, benchmarks, *words):
    """The exit status of a run into tmp_path / "out"."""
    return bench.main(["--out", str(tmp_path / "out"), *words], benchmarks)


def test_a_failure_costs_neither_the_others_nor_the_summary(tmp_path, capsys):
    assert run(tmp_path, [writing("clicks"), DIES, writing("start")]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == ["failed: latency: exit status 1: MemoryError: too large"]
    assert out.index("figures of clicks") < out.index("half a table") < out.index("figures of start")
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.glob("*.json")) == ["clicks.json", "start.json"]
    assert "half a table\nMemoryError: too large" in (folder / "latency.txt").read_text(encoding="utf-8")
    text = (folder / "summary.md").read_text(encoding="utf-8")
    assert "| latency | failed: exit status 1: MemoryError: too large |" in text
    assert "start → first mask" in text and "Dice after 1 click" in text and text in out


def test_all_well_is_status_0(tmp_path):
    assert run(tmp_path, [writing("clicks"), writing("start")]) == 0


def test_old_figures_of_a_benchmark_that_fails_are_gone_and_those_of_others_stay(tmp_path):
    assert run(tmp_path, [writing("clicks"), writing("latency")]) == 0
    assert run(tmp_path, [writing("clicks"), DIES], "--only", "latency") == 1
    assert [path.name for path in (tmp_path / "out").glob("*.json")] == ["clicks.json"]
    text = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert "| clicks | not run now |" in text and "Dice after 1 click" in text


def test_a_benchmark_without_its_data_is_skipped_with_a_word(tmp_path, capsys):
    benchmarks = [writing("clicks", needs="{data}/hippocampus"), writing("start")]
    assert run(tmp_path, benchmarks, "--data", str(tmp_path / "none")) == 0
    assert f"skipped: {tmp_path}/none/hippocampus does not exist" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").glob("*.json")] == ["start.json"]


def test_what_a_benchmark_skips_itself_is_said(tmp_path, capsys):
    skips = bench.Benchmark(
        "start", ("-c", WRITES.replace("figures of", "skipped: no"), "device", '{{"skipped": "x"}}')
    )
    outcome = bench.run(skips, bench.parser([skips]).parse_args(["--out", str(make_folder(tmp_path))]))
    assert (outcome.state, outcome.reason) == ("skipped", "no device")


def make_folder(tmp_path):
    """The folder of results."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_leaving_no_figures_is_a_failure(tmp_path, capsys):
    assert run(tmp_path, [bench.Benchmark("start", ("-c", "print('done')"))]) == 1
    assert capsys.readouterr().err == "failed: start: it left no JSON file\n"


def test_quick_figures_go_to_a_folder_of_their_own(tmp_path):
    assert run(tmp_path, [writing("start", quick=("--quickly",))], "--quick") == 0
    assert (tmp_path / "out" / "quick" / "start.json").exists() and not (tmp_path / "out" / "start.json").exists()
    assert "its figures mean nothing" in (tmp_path / "out" / "quick" / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("quick", [False, True])
def test_every_benchmark_takes_the_words_it_is_given(quick, tmp_path):
    args = bench.parser(bench.BENCHMARKS).parse_args(["--out", str(tmp_path), *(["--quick"] if quick else [])])
    for benchmark in bench.BENCHMARKS:
        script, *words = benchmark.command(args)[1:]
        module = __import__(Path(script).stem)
        if hasattr(module, "parser"):
            parsed = module.parser().parse_args(words)
            assert parsed.json == tmp_path / f"{benchmark.name}.json"
            assert not benchmark.draws or [path.suffix for path in parsed.plot] == [".png", ".webp"]


def test_make_bench_runs_all_of_them():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\nbench:")[1].split("\n\n")[0]
    assert "Testing/Benchmarks/bench.py" in recipe and "--quick" in recipe and "--only" in recipe
    names = {benchmark.name for benchmark in bench.BENCHMARKS}
    assert names >= {"clicks", "latency", "gpu", "growth", "start", "effect", "viewer", "throughput", "decoders"}


@pytest.mark.slow
def test_a_quick_run_of_the_embedded_model(tmp_path):
    assert bench.main(["--quick", "--only", "growth", "start", "--out", str(tmp_path)]) == 0
    folder = tmp_path / "quick"
    assert {path.name for path in folder.iterdir()} == {
        *("growth.json", "growth.png", "growth.txt", "growth.webp", "start.json", "start.txt", "summary.md")
    }
    text = (folder / "summary.md").read_text(encoding="utf-8")
    assert "96³ over 64³: later click" in text and "start → first mask" in text
