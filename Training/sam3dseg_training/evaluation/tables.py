"""metrics.json, and the same figures as tables: cases.csv and summary.csv."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sam3dseg.atomic import replacing

from .metrics import MEASURES
from .prompting import Prompting
from .results import ObjectResult

METRICS, CASES, SUMMARY = "metrics.json", "cases.csv", "summary.csv"
KEYS = tuple(measure.key for measure in MEASURES)


def write_tables(folder: Path, metrics: Mapping[str, Any], results: Mapping[str, Sequence[ObjectResult]]) -> None:
    """Write the three files, each in one step."""
    names = {role: facts["name"] for role, facts in metrics["models"].items()}
    with replacing(folder / METRICS) as temporary:
        temporary.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    first = Prompting.of(metrics).first_click
    heads = ("case", "label", "voxels", "role", "model", "click", *KEYS)
    _write(folder / CASES, heads, _case_rows(results, names, first))
    heads = (
        "label",
        "role",
        "model",
        "objects",
        "click",
        *(f"{key}_{part}" for key in KEYS for part in ("mean", "sd")),
    )
    _write(folder / SUMMARY, heads, _summary_rows(metrics, names, first))


def read_metrics(folder: str | Path) -> dict[str, Any]:
    """metrics.json of a folder that `evaluate` wrote.  Raises ValueError where there is none or it cannot be read."""
    path = Path(folder) / METRICS
    if not path.is_file():
        raise ValueError(f"no {METRICS} in {folder}: expected a folder that sam3dseg-train evaluate wrote")
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if not {"models", "overall", "labels"} <= metrics.keys():
            raise ValueError("entries are missing")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}): evaluate again") from error
    return metrics


def _case_rows(
    results: Mapping[str, Sequence[ObjectResult]], names: Mapping[str, str], first: int
) -> Iterable[list[Any]]:
    for role, found in results.items():
        for result in found:
            for click, values in enumerate(zip(*(result.scores[key] for key in KEYS), strict=True), start=first):
                yield [result.case, result.label, result.voxels, role, names[role], click, *values]


def _summary_rows(metrics: Mapping[str, Any], names: Mapping[str, str], first: int) -> Iterable[list[Any]]:
    for label, roles in {"": metrics["overall"], **metrics["labels"]}.items():
        for role, found in roles.items():
            for click in range(len(found["dice"]["mean"])):
                values = [found[key][part][click] for key in KEYS for part in ("mean", "sd")]
                yield [label or "all", role, names[role], found["objects"], click + first, *values]


def _write(path: Path, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(rows)
