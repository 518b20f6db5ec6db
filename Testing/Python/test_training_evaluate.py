"""`sam3dseg-train evaluate`: clicks, figures, files, going on where it stopped, and bad input."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("monai")
pytest.importorskip("SimpleITK")

import evaluation_toys
import training_cases

from sam3dseg_training import cli
from sam3dseg_training.configs.evaluate import EvaluateConfig
from sam3dseg_training.evaluation import running
from sam3dseg_training.evaluation.clicking import play
from sam3dseg_training.evaluation.evaluate import evaluate
from sam3dseg_training.evaluation.metrics import MEASURES
from sam3dseg_training.evaluation.models import open_model
from sam3dseg_training.evaluation.prompting import Prompting
from sam3dseg_training.evaluation.results import judge, read_results, write_results
from sam3dseg_training.evaluation.summary import object_summary, summary

KEYS = [measure.key for measure in MEASURES]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return training_cases.cached(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return evaluation_toys.model_file(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture
def config(cache, model, tmp_path):
    return EvaluateConfig(
        data=str(cache.folder),
        out=str(tmp_path / "report"),
        model=str(model),
        cases="all",
        limit=2,
        clicks=2,
        pictures=1,
    )


class TestClicking:
    def test_each_click_goes_where_the_mask_before_is_wrong(self, make_ellipsoid):
        reference = make_ellipsoid((20, 18, 16), (10, 9, 8), (6, 5, 4))
        half = reference.copy()
        half[10:] = False
        spilled = reference.copy()
        spilled[:4, :4, :4] = True
        answers = iter([half, spilled, reference])
        turns = list(play(reference, lambda click: next(answers), clicks=5))
        signs = [turn.click and turn.click.is_foreground for turn in turns]
        assert signs == [True, True, False, None, None]
        assert reference[turns[1].click.ijk] and not half[turns[1].click.ijk]
        assert spilled[turns[2].click.ijk] and not reference[turns[2].click.ijk]
        assert [turn.seconds is None for turn in turns] == [False, False, False, True, True]
        assert (turns[-1].mask == reference).all()


class TestJudging:
    def test_an_object_is_scored_after_every_click_in_the_images_own_grid(self, cache, segmenter):
        case = cache.read("toy/case_000")
        (front, both) = judge(
            segmenter,
            case,
            {"Front": ("Front",), "Front+Back": ("Front", "Back")},
            prompting=Prompting(answers=3),
            tolerance_mm=1,
        )
        assert (front.label, front.voxels, both.voxels) == ("Front", 7 * 7 * 6, 12 * 7 * 6)
        assert [len(front.scores[key]) for key in KEYS] == [3] * len(KEYS)
        reference = case.mask("Front")
        mask = front.mask.within(tuple(slice(0, side) for side in reference.shape))
        overlap = 2 * (mask & reference).sum() / (mask.sum() + reference.sum())
        assert front.dice[-1] == pytest.approx(overlap, abs=1e-5)
        assert front.clicks[0].is_foreground and reference[front.clicks[0].ijk]

    def test_objects_do_not_see_each_others_clicks(self, cache, make_segmenter):
        case = cache.read("toy/case_000")
        objects = {"Front": ("Front",), "Back": ("Back",)}
        together = judge(make_segmenter(), case, objects, prompting=Prompting(answers=2), tolerance_mm=1.0)
        alone = judge(make_segmenter(), case, {"Back": ("Back",)}, prompting=Prompting(answers=2), tolerance_mm=1.0)
        assert together[1].scores == alone[0].scores

    def test_results_survive_the_disk_and_other_settings_are_not_taken_for_them(self, tmp_path):
        mask = np.zeros((6, 6, 6), bool)
        mask[1:3, 2:5, 3] = True
        made = evaluation_toys.result("toy/a", "Front", 0.5, 0.75, mask=mask)
        path = tmp_path / "toy" / "a.json"
        write_results(path, [made], {"clicks": 2})
        assert read_results(path, {"clicks": 2}) == [made]
        assert read_results(path, {"clicks": 3}) is None
        assert read_results(tmp_path / "none.json", {"clicks": 2}) is None
        path.write_bytes(path.read_bytes()[:-40])
        assert read_results(path, {"clicks": 2}) is None


class TestSummary:
    def test_figures_by_hand(self):
        results = [
            evaluation_toys.result("a", "x", 0.4, 0.8, 0.9, hd95_mm=(4.0, 2.0, 0.0)),
            evaluation_toys.result("b", "x", 0.6, 0.5, 0.7, hd95_mm=(2.0, 2.0, 2.0)),
        ]
        found = summary(results)
        assert found["objects"] == found["cases"] == 2
        assert found["dice"]["mean"] == pytest.approx([0.5, 0.65, 0.8])
        assert found["dice"]["sd"] == pytest.approx([0.1, 0.15, 0.1])
        assert found["hd95_mm"]["mean"] == pytest.approx([3, 2, 1])
        assert found["noc80"] == {"mean": pytest.approx((2 + 3) / 2), "reached": 0.5}
        assert found["noc90"] == {"mean": 3.0, "reached": 0.5}
        areas = ((0.6 + 0.85) / 2, (0.55 + 0.6) / 2)
        assert found["auc_dice"] == pytest.approx(np.mean(areas))
        assert found["largest_drop"] == pytest.approx(0.1)
        assert (found["first_click_seconds"], found["next_click_seconds"]) == (0.5, 0.1)

    def test_one_object_says_when_it_never_gets_there(self):
        found = object_summary(evaluation_toys.result("a", "x", 0.85))
        assert (found["noc80"], found["noc90"], found["auc_dice"]) == (1, None, 0.85)
        assert found["clicks"] == [[2, 2, 2, True], [1, 1, 1, False]]
        json.dumps(found, allow_nan=False)


class TestCommand:
    def test_files_agree_with_each_other(self, config):
        found = evaluate(replace(config, baseline=config.model))
        out = Path(config.out)
        metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        assert metrics == json.loads(json.dumps(found.metrics))
        with (out / "cases.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 2 * 2 * 2 * 2  # roles, cases, labels, clicks
        last = [float(row["hd95_mm"]) for row in rows if row["click"] == "2" and row["role"] == "model"]
        assert np.mean(last) == pytest.approx(metrics["overall"]["model"]["hd95_mm"]["mean"][1], abs=1e-5)
        with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
            table = {(row["label"], row["role"], row["click"]): row for row in csv.DictReader(file)}
        assert set(table) == {
            (label, role, click)
            for label in ("all", "Front", "Back")
            for role in ("model", "baseline")
            for click in ("1", "2")
        }
        assert float(table["Back", "model", "1"]["dice_mean"]) == metrics["labels"]["Back"]["model"]["dice"]["mean"][0]
        assert metrics["data"]["datasets"] == {"toy": 2}
        assert metrics["models"]["model"]["training_cases"] is None
        for name in ("curves.png", "report.html", "config.yaml"):
            assert (out / name).stat().st_size

    def test_it_goes_on_where_it_stopped(self, config, monkeypatch):
        judged = []
        whole = running.run

        def run(task):
            judged.append(task.key)
            if len(judged) == 2:
                raise KeyboardInterrupt
            whole(task)

        monkeypatch.setattr(running, "run", run)
        with pytest.raises(KeyboardInterrupt):
            evaluate(config)
        evaluate(config)
        assert judged == ["toy/case_000", "toy/case_001", "toy/case_001"]
        damaged = next(Path(config.out).glob("results/*/toy/case_000.json"))
        damaged.write_text("{}", encoding="utf-8")
        evaluate(config)
        assert judged[3:] == ["toy/case_000"]
        evaluate(replace(config, clicks=1))
        assert judged[4:] == ["toy/case_000", "toy/case_001"]

    def test_several_processes_give_the_same_figures(self, config, tmp_path):
        alone = evaluate(config).metrics
        spread = evaluate(replace(config, out=str(tmp_path / "other"), jobs=2)).metrics
        for label in ("Front", "Back"):
            assert alone["labels"][label]["model"]["dice"] == spread["labels"][label]["model"]["dice"]

    def test_which_cases_and_labels(self, config, monkeypatch):
        def keys(**settings):
            chosen = []
            monkeypatch.setattr(running, "run", lambda task: chosen.append((task.key, list(task.objects))))
            with pytest.raises(ValueError, match="vanished"):
                evaluate(replace(config, **settings))
            return chosen

        assert [key for key, _ in keys(limit=0)] == [f"toy/case_00{n}" for n in range(3)]
        assert [key for key, _ in keys(limit=0, cases="validation", folds=3, fold=1)] == ["toy/case_001"]
        assert [key for key, _ in keys(limit=0, cases="training", folds=3)] == ["toy/case_001", "toy/case_002"]
        assert keys(limit=1, labels=["front+back"]) == [("toy/case_000", ["Front+Back"])]

    def test_a_model_that_was_trained_on_these_cases_is_told_apart(self, config, cache, tmp_path, caplog):
        training = [{"case": record.key, "digest": record.digest} for record in cache.records[:1]]
        path = evaluation_toys.model_file(
            tmp_path / "seen.safetensors", data=[{"dataset": "toy", "training": training}]
        )
        metrics = evaluate(replace(config, model=str(path), clicks=1)).metrics
        assert metrics["models"]["model"]["trained_on"] == 1
        assert metrics["models"]["model"]["training_cases"] == 1
        assert metrics["models"]["model"]["card"]["data"] == [{"dataset": "toy", "training": 1}]
        assert "seen was trained on 1 of these cases" in caplog.text
        assert "was trained on 1 of these" in (Path(config.out) / "report.html").read_text(encoding="utf-8")

    def test_a_run_folder_is_a_model_that_knows_all_cases_it_was_trained_on(self, tmp_path, model):
        first, second = (["a", "b"], ["c"])
        trained_run(tmp_path / "general", first, model=str(model))
        trained_run(tmp_path / "special", second, init=str(tmp_path / "general"))
        found = open_model(str(tmp_path / "special"))
        assert found.name == "special"
        assert found.training_digests == {"a", "b", "c"}
        assert found.facts()["card"]["command"].count("sam3dseg-train fit") == 2
        assert found.sha256 != open_model(str(tmp_path / "general")).sha256

    def test_a_run_and_its_export_are_the_same_model(self, tmp_path, model):
        from sam3dseg_training.configs.export import ExportConfig
        from sam3dseg_training.tuning.export import export

        trained_run(tmp_path / "run", ["a"], model=str(model))
        path = export(ExportConfig(runs=[str(tmp_path / "run")], out=str(tmp_path / "run.safetensors"), form="merged"))
        weights = open_model(str(tmp_path / "run")).checkpoint.weights
        exported = open_model(str(path))
        assert exported.training_digests == {"a"}
        for name, value in exported.checkpoint.weights.items():
            assert value.float().numpy() == pytest.approx(weights[name].float().numpy(), abs=2e-3)


def trained_run(folder, digests, **settings):
    """A run folder as `fit` leaves it, its weights all moved a little."""
    import torch

    from sam3dseg_training.configs.fit import DataConfig, FitConfig
    from sam3dseg_training.configs.resolve import save
    from sam3dseg_training.run_state import write_state
    from sam3dseg_training.tuning.runs import starting_checkpoint

    config = FitConfig(out=str(folder), tune="full", data=DataConfig(path="cache"), **settings)
    start = starting_checkpoint(config).weights
    weights = {name: value + 0.01 if torch.is_floating_point(value) else value for name, value in start.items()}
    folder.mkdir()
    save(config, folder)
    write_state(folder / "last.pt", {"average": weights, "step": 3, "seconds": 90.0})
    cases = [{"case": digest, "digest": digest} for digest in digests]
    (folder / "data.json").write_text(json.dumps({"dataset": "toy", "training": cases}), encoding="utf-8")


class TestBadInput:
    def failure(self, capsys, *words) -> str:
        assert cli.main(["evaluate", *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        assert line.startswith("sam3dseg-train: ")
        return line

    def test_one_line_each(self, cache, model, tmp_path, capsys):
        data, out, mine = f"data={cache.folder}", f"out={tmp_path / 'r'}", f"model={model}"
        cases = {
            "no prepared data at": [f"data={tmp_path}", out, mine],
            "unknown label 'Frnt'": [data, out, mine, "labels=Frnt", "cases=all"],
            "no weights at": [data, out, "model=none.safetensors", "cases=all"],
            "expected at least folds=5 cases, received 3": [data, out, mine],
            "no case is held out with folds=1": [data, out, mine, "folds=1"],
            "clicks must be at least 1": [data, out, mine, "clicks=0"],
            "unknown device 'tpu'": [data, out, mine, "cases=all", "device=tpu"],
            "did you mean baseline?": [data, out, mine, "basline=embedded"],
        }
        for expected, words in cases.items():
            assert expected in self.failure(capsys, *words)
        assert not (tmp_path / "r").exists()

    def test_a_damaged_case_names_its_file(self, model, tmp_path, capsys):
        cache = training_cases.cached(tmp_path)
        entry = cache.folder / "cases" / "toy" / "case_001.npz"
        entry.write_bytes(entry.read_bytes()[:-500])
        line = self.failure(
            capsys, f"data={cache.folder}", f"out={tmp_path / 'r'}", f"model={model}", "cases=all", "clicks=1"
        )
        assert f"cache entry {entry} is damaged" in line
        assert list((tmp_path / "r" / "results").glob("*/toy/case_000.json"))

    def test_a_killed_process_is_one_readable_line(self):
        with pytest.raises(ValueError, match="a process was killed.*fewer than jobs=2; the same command goes on"):
            list(running.run_all([Deadly(), Deadly()], jobs=2))

    def test_running_out_of_memory_names_the_case(self, cache, tmp_path, monkeypatch):
        def full(*arguments, **options):
            raise MemoryError

        monkeypatch.setattr(running, "judge", full)
        monkeypatch.setattr(running, "_segmenter", lambda *arguments: None)
        task = running.Task(cache.folder, "toy/case_000", {}, "m", "cpu", Prompting(), {}, 1.0, tmp_path / "x.json", {})
        with pytest.raises(ValueError, match="toy/case_000: out of memory; fewer jobs= need less"):
            running.run(task)


class Deadly:
    """Kills the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_clicks_of_the_embedded_model_on_real_data(shared_dir, tmp_path):
    """One whole hippocampus."""
    from sam3dseg_training.configs.prepare import PrepareConfig
    from sam3dseg_training.data.prepare import prepare

    source = shared_dir / "data" / "hippocampus"
    few = tmp_path / "few"
    for folder in ("imagesTr", "labelsTr"):
        (few / folder).mkdir(parents=True)
        name = "hippocampus_001.nii.gz"
        (few / folder / name).symlink_to(source / folder / name)
    prepare(PrepareConfig(data=[str(few)], out=str(tmp_path / "cache"), labels=["Anterior", "Posterior"], jobs=1))
    config = EvaluateConfig(
        data=str(tmp_path / "cache"),
        out=str(tmp_path / "report"),
        labels=["Anterior+Posterior"],
        cases="all",
        clicks=3,
        pictures=0,
    )
    dice = evaluate(config).metrics["overall"]["model"]["dice"]["mean"]
    assert dice[2] > 0.4
