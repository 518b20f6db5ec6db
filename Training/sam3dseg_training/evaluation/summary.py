"""From the results of many objects to the numbers of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .clicking import area_under, clicks_to, largest_drop
from .metrics import MEASURES
from .results import ObjectResult

BARS = (80, 90)  # NoC@80 is the number of clicks until Dice reaches 0.80
AREAS = ("dice", "surface_dice")


def summary(results: Sequence[ObjectResult]) -> dict[str, Any]:
    """Means over objects, at least one: every measure after every click with its standard deviation, NoC, AUC, seconds.

    An object that never reaches the bar of a NoC counts with all clicks; `reached` is the share that does.
    """
    found: dict[str, Any] = {"objects": len(results), "cases": len({result.case for result in results})}
    for measure in MEASURES:
        values = np.array([result.scores[measure.key] for result in results])  # (objects, clicks)
        found[measure.key] = {"mean": _rounded(values.mean(axis=0)), "sd": _rounded(values.std(axis=0))}
    for bar in BARS:
        needed = [clicks_to(result.dice, bar / 100) for result in results]
        counts = [n or len(result.dice) for n, result in zip(needed, results, strict=True)]
        reached = float(np.mean([n is not None for n in needed]))
        found[f"noc{bar}"] = {"mean": round(float(np.mean(counts)), 4), "reached": round(reached, 4)}
    for key in AREAS:
        found[f"auc_{key}"] = round(float(np.mean([area_under(result.scores[key]) for result in results])), 6)
    found["largest_drop"] = round(max(largest_drop(result.dice) for result in results), 6)
    found["first_click_seconds"] = _median([result.seconds[0] for result in results if result.seconds])
    found["next_click_seconds"] = _median([second for result in results for second in result.seconds[1:]])
    return found


def object_summary(result: ObjectResult) -> dict[str, Any]:
    """The numbers of one object."""
    return {
        **{key: list(values) for key, values in result.scores.items()},
        **{f"noc{bar}": clicks_to(result.dice, bar / 100) for bar in BARS},
        **{f"auc_{key}": round(area_under(result.scores[key]), 6) for key in AREAS},
        "seconds": list(result.seconds),
        "clicks": [[*click.ijk, click.is_foreground] for click in result.clicks],
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in values]


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 4) if values else None
