"""`sam3dseg-train evaluate`: simulated prompts on held-out cases, and a report of what came of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..configs.evaluate import EvaluateConfig
from ..configs.resolve import as_words, save
from ..data.cache import Cache, CaseRecord, open_cache
from ..data.splits import Objects, evenly, objects_in, objects_of, split_cases
from ..progress import watched
from .answering import check_objects
from .models import Model, open_model
from .plots import write_curves
from .prompting import Prompting, prompting_of
from .report import write_page
from .results import BASELINE, MODEL, ObjectResult, read_results
from .running import Task, run_all
from .summary import object_summary, summary
from .tables import write_tables

log = logging.getLogger(__name__)

FORMAT = 1
CURVES, PAGE = "curves.png", "report.html"
RESULTS = "results"  # folder


@dataclass(frozen=True)
class Evaluation:
    """All results: role ("model", "baseline") -> one per object and case, in the same order for every role."""

    metrics: Mapping[str, Any]
    results: Mapping[str, Sequence[ObjectResult]]


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Judge every case that is not yet, and write metrics.json, tables, curves and the page.

    Raises ValueError for settings, data or models that cannot be used, before any case is judged, and for a damaged
    case; OSError when the folder cannot be written. What was judged until then is kept.
    """
    out = Path(config.out)
    cache = open_cache(config.data)
    objects = objects_of(cache, config.labels)
    records = _chosen(cache, config, objects)
    models = {role: open_model(name) for role, name in ((MODEL, config.model), (BASELINE, config.baseline)) if name}
    prompting = prompting_of(config, {model.name: model.checkpoint.architecture for model in models.values()})
    for model in models.values():
        check_objects(model.segmenter(config.device), objects)
    out.mkdir(parents=True, exist_ok=True)
    save(config, out)
    tasks = {
        (role, record.key): _task(config, cache, record, objects, model, prompting)
        for role, model in models.items()
        for record in records
    }
    missing = {task.path: task for task in tasks.values() if read_results(task.path, task.stamp) is None}
    judged = "all judged before" if not missing else f"{len(missing)} to judge"
    log.info("%d cases, %d models: %s", len(records), len(models), judged)
    for _ in watched(run_all(list(missing.values()), config.jobs), len(missing)):
        pass
    results = {role: _read(tasks[role, record.key] for record in records) for role in models}
    metrics = _metrics(config, records, models, results, prompting)
    evaluation = Evaluation(metrics, results)
    write_tables(out, metrics, results)
    write_curves(out / CURVES, metrics)
    write_page(out / PAGE, metrics, results, cache, curves=out / CURVES, pictures=config.pictures)
    _tell(metrics, out)
    return evaluation


def _chosen(cache: Cache, config: EvaluateConfig, objects: Objects) -> list[CaseRecord]:
    """The cases to judge that hold at least one of the objects."""
    records = list(cache.records)
    if config.cases != "all":
        training, held_out = split_cases(records, fold=config.fold, folds=config.folds)
        records = held_out if config.cases == "validation" else training
        if not records:
            raise ValueError(f"no case is held out with folds={config.folds}: give more folds, or cases=all")
    chosen = [record for record in records if objects_in(record, objects)]
    if not chosen:
        raise ValueError(f"none of {len(records)} cases holds {', '.join(objects)}: choose other labels, or cases=all")
    return evenly(chosen, config.limit or len(chosen))


def _task(
    config: EvaluateConfig, cache: Cache, record: CaseRecord, objects: Objects, model: Model, prompting: Prompting
) -> Task:
    present = {name: objects[name] for name in objects_in(record, objects)}
    stamp = {
        "format": FORMAT,
        "case": record.digest,
        "model": model.sha256,
        "objects": {name: list(members) for name, members in present.items()},
        "prompts": asdict(prompting),
        "slices": [config.orientation, config.modality],
        "tolerance_mm": config.tolerance_mm,
    }
    path = Path(config.out) / RESULTS / model.sha256[:12] / f"{record.key}.json"
    return Task(
        cache=cache.folder,
        key=record.key,
        objects=present,
        model=model.source,
        device=config.device,
        prompting=prompting,
        slices={"orientation": config.orientation, "modality": config.modality},
        tolerance_mm=config.tolerance_mm,
        path=path,
        stamp=stamp,
    )


def _read(tasks: Any) -> list[ObjectResult]:
    found: list[ObjectResult] = []
    for task in tasks:
        results = read_results(task.path, task.stamp)
        if results is None:
            raise ValueError(f"{task.path} has vanished or was damaged: give the same command again")
        found += results
    return found


def _metrics(
    config: EvaluateConfig,
    records: Sequence[CaseRecord],
    models: Mapping[str, Model],
    results: Mapping[str, Sequence[ObjectResult]],
    prompting: Prompting,
) -> dict[str, Any]:
    """What metrics.json holds."""
    labels = list(dict.fromkeys(result.label for result in results[MODEL]))
    seen = {role: _seen(model, records) for role, model in models.items()}
    for role, count in seen.items():
        if count:
            log.warning("%s was trained on %d of these cases: its figures are too good", models[role].name, count)
    return {
        "format": FORMAT,
        "command": as_words(config, "evaluate"),
        "settings": asdict(config),
        "prompts": prompting.kind,
        "data": _data(config, records, labels),
        "models": {role: {**model.facts(), "trained_on": seen[role]} for role, model in models.items()},
        "overall": {role: summary(found) for role, found in results.items()},
        "labels": {
            label: {role: summary([r for r in found if r.label == label]) for role, found in results.items()}
            for label in labels
        },
        "cases": [
            {
                "case": own.case,
                "label": own.label,
                "voxels": own.voxels,
                **{role: object_summary(found[index]) for role, found in results.items()},
            }
            for index, own in enumerate(results[MODEL])
        ],
    }


def _seen(model: Model, records: Sequence[CaseRecord]) -> int:
    return sum(record.digest in model.training_digests for record in records)


def _data(config: EvaluateConfig, records: Sequence[CaseRecord], labels: Sequence[str]) -> dict[str, Any]:
    datasets = [record.key.partition("/")[0] for record in records]
    spacings = [record.spacing_mm for record in records]
    return {
        "cache": config.data,
        "datasets": {name: datasets.count(name) for name in dict.fromkeys(datasets)},
        "cases": len(records),
        "split": config.cases if config.cases == "all" else f"{config.cases}, fold {config.fold} of {config.folds}",
        "labels": list(labels),
        "shape": {"least": [min(v) for v in zip(*(r.shape for r in records), strict=True)],
                  "most": [max(v) for v in zip(*(r.shape for r in records), strict=True)]},
        "spacing_mm": {"least": [min(v) for v in zip(*spacings, strict=True)],
                       "most": [max(v) for v in zip(*spacings, strict=True)]},
    }  # fmt: skip


def _tell(metrics: Mapping[str, Any], out: Path) -> None:
    prompting = Prompting.of(metrics)
    for role, found in metrics["overall"].items():
        dice = found["dice"]["mean"]
        after = f", {dice[-1]:.3f} after {len(dice)}" if len(dice) > 1 else ""
        name = metrics["models"][role]["name"]
        log.info("%s: Dice %.3f after %s%s (%d objects)", name, dice[0], prompting.words(1), after, found["objects"])
    log.info("the report is %s", out / PAGE)
