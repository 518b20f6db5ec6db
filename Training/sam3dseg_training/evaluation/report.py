"""One page with everything that a colleague needs to judge a model: it holds its pictures, and loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3dseg.atomic import replacing

from ..data.cache import Cache
from ..data.entries import CachedCase
from ..data.splits import objects_of
from ..data.targets import object_mask
from .metrics import MEASURES
from .page import counted, facts, image, listed, number, page, row, table
from .pictures import BASELINE_COLOR, MODEL_COLOR, REFERENCE_COLOR, Layer, planes_picture, png
from .prompting import Prompting
from .results import BASELINE, MODEL, WHOLE, ObjectResult
from .summary import BARS

Metrics = Mapping[str, Any]  # what metrics.json holds
MOST_ROWS = 500  # of the table of cases
SHOWN_CLICKS = (1, 2, 3, 5, 10)
CARD = ("base", "tune", "labels", "licence", "command", "commit", "steps", "minutes")
METHOD = """
<p>{method} All scores are
computed in the image's own grid; surfaces are the voxels with a neighbour outside. The tolerance of Surface Dice is
{tolerance:g} mm. An empty result counts with Dice 0 and a distance as long as the image.</p>
<ul>{measures}{curves}</ul>
"""
CURVES = """
<li><b>NoC@80</b>: number of clicks until Dice reaches 0.80.</li>
<li><b>AUC</b>: area under the curve over the clicks, divided by its width.</li>
<li><b>Largest drop</b>: the most Dice that one click cost in any object.</li>
"""
IN_BRACKETS = " In brackets: the share of objects that reach this Dice; those that do not count with all clicks."
COLORS = {MODEL: MODEL_COLOR, BASELINE: BASELINE_COLOR}


def write_page(
    path: Path,
    metrics: Metrics,
    results: Mapping[str, Sequence[ObjectResult]],
    cache: Cache,
    *,
    curves: Path,
    pictures: int,
) -> None:
    """Write the page.  curves: a PNG.  pictures: so many of the worst and of the best results are shown.

    Raises OSError when it cannot be written, ValueError for a damaged case.
    """
    names = {role: known["name"] for role, known in metrics["models"].items()}
    parts = [
        _head(metrics, names),
        _tiles(metrics, names),
        "<h2>Results</h2>",
        _results(metrics, names),
        image(curves.read_bytes(), Prompting.of(metrics).curve_title),
        _labels(metrics, names),
        *_extremes(metrics, results, cache, names, pictures),
        _cases(metrics, names),
        _models(metrics),
        _data(metrics),
        _method(metrics),
    ]
    with replacing(path) as temporary:
        title = f"{names[MODEL]}: segmentation from {Prompting.of(metrics).noun}"
        temporary.write_text(page(title, parts), encoding="utf-8")


def extremes(results: Sequence[ObjectResult], count: int) -> tuple[list[int], list[int]]:
    """Indices of the worst and of the best results by their last Dice, at most `count` each and none in both."""
    order = sorted(range(len(results)), key=lambda index: results[index].dice[-1])
    worst = order[: min(count, (len(order) + 1) // 2)]
    best = order[len(worst) :][::-1][:count]
    return worst, best


def _head(metrics: Metrics, names: Mapping[str, str]) -> str:
    data = metrics["data"]
    against = f", compared with {names[BASELINE]}," if BASELINE in names else ""
    text = (
        f"Segmentation of {listed(data['labels'])} from {Prompting.of(metrics).all_words}{against} on "
        f"{counted(data['cases'], 'case')} of {listed(data['datasets'])} ({data['split']}). {date.today():%d %B %Y}."
    )
    warnings = "".join(
        f'<p class="warning"><b>{escape(names[role])}</b> was trained on {known["trained_on"]} of these '
        f"{data['cases']} cases: its figures say how well it remembers, not how well it will do on new images.</p>"
        for role, known in metrics["models"].items()
        if known["trained_on"]
    )
    return f"<header><h1>{escape(names[MODEL])}</h1><p>{escape(text)}</p></header>{warnings}"


def _tiles(metrics: Metrics, names: Mapping[str, str]) -> str:
    """The four figures that matter most."""
    overall, prompting = metrics["overall"], Prompting.of(metrics)
    shown = {role: _tile_values(found, prompting) for role, found in overall.items()}
    tiles = []
    for title, value in shown[MODEL].items():
        before = f"<small>{escape(names[BASELINE])}: {shown[BASELINE][title]}</small>" if BASELINE in names else ""
        tiles.append(f"<div><span>{title}</span><strong>{value}</strong>{before}</div>")
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _tile_values(found: Mapping[str, Any], prompting: Prompting) -> dict[str, str]:
    """Title -> figure."""
    dice, last = found["dice"]["mean"], prompting.answers
    values = {f"Dice after {prompting.words(n)}": number(dice[n - 1]) for n in sorted({1, last})}
    if prompting.is_clicks:
        values["Clicks to Dice 0.80"] = _noc(found, 80) if found["noc80"]["reached"] else "–"
    values[f"HD95 after {prompting.words(last)}"] = f"{found['hd95_mm']['mean'][-1]:.1f} mm"
    return values


def _results(metrics: Metrics, names: Mapping[str, str]) -> str:
    """All measures after some of the clicks, and what the whole curve says; all objects together."""
    overall, prompting = metrics["overall"], Prompting.of(metrics)
    last = prompting.answers
    clicks = sorted({click for click in (*SHOWN_CLICKS, last) if click <= last})
    by_click = []
    for role, found in overall.items():
        for place, click in enumerate(clicks):
            cells = [_spread(found[m.key], click, m.is_distance) for m in MEASURES]
            given = str(click) if prompting.is_clicks else prompting.words(click)
            name = "" if place else names[role]
            by_click.append(row([given, *cells], name=name, span=len(clicks), kind=role))
    head = "clicks" if prompting.is_clicks else "prompts"
    objects = counted(overall[MODEL]["objects"], "object")
    return (
        table(["", head, *(measure.title for measure in MEASURES)], by_click)
        + (_whole_curves(overall, names) if prompting.is_clicks else "")
        + f"<p class='note'>Means ± standard deviations over {objects}.{IN_BRACKETS * prompting.is_clicks}</p>"
    )


def _whole_curves(overall: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """How soon the bars are reached, areas under the curves, drops, and seconds."""
    by_curve = []
    for role, found in overall.items():
        cells = [f"{_noc(found, bar)} <small>({found[f'noc{bar}']['reached']:.0%})</small>" for bar in BARS]
        cells += [number(found[key]) for key in ("auc_dice", "auc_surface_dice", "largest_drop")]
        cells += [_seconds(found[key]) for key in ("first_click_seconds", "next_click_seconds")]
        by_curve.append(row(cells, name=names[role], kind=role))
    heads = [*(f"NoC@{bar}" for bar in BARS), "AUC of Dice", "AUC of Surface Dice", "largest drop of Dice"]
    heads += ["first click", "later clicks"]
    return table(["", *heads], by_curve)


def _labels(metrics: Metrics, names: Mapping[str, str]) -> str:
    if len(metrics["labels"]) < 2:
        return ""
    prompting = Prompting.of(metrics)
    last = prompting.answers
    ends = sorted({1, last})
    heads = [f"Dice, {prompting.words(n)}" for n in ends]
    heads += [f"{measure.title}, {prompting.words(last)}" for measure in MEASURES[2:]]
    rows = []
    for label, roles in metrics["labels"].items():
        for place, (role, found) in enumerate(roles.items()):
            cells = [escape(names[role]), str(found["objects"]), *(number(found["dice"]["mean"][n - 1]) for n in ends)]
            cells += [number(found[m.key]["mean"][-1], m.is_distance) for m in MEASURES[2:]]
            name = "" if place else label
            cells += [_noc(found, 80)] * prompting.is_clicks
            rows.append(row(cells, name=name, span=len(roles), kind=role))
    heads += ["NoC@80"] * prompting.is_clicks
    return f"<h2>Each label</h2>{table(['', 'model', 'objects', *heads], rows)}"


def _extremes(
    metrics: Metrics,
    results: Mapping[str, Sequence[ObjectResult]],
    cache: Cache,
    names: Mapping[str, str],
    count: int,
) -> Iterator[str]:
    """Pictures of the worst and of the best results."""
    objects = objects_of(cache, metrics["data"]["labels"])
    for title, chosen in zip(("Worst results", "Best results"), extremes(results[MODEL], count), strict=True):
        if chosen:
            yield f"<h2>{title}</h2>"
        for index in chosen:
            pair = {role: found[index] for role, found in results.items()}
            own = pair[MODEL]
            case = cache.read(own.case)
            reference = object_mask(case, objects[own.label], WHOLE)
            dice = ", ".join(f"{names[role]} {number(result.dice[-1])}" for role, result in pair.items())
            given = Prompting.of(metrics).words(len(own.dice))
            text = f"{own.case} · {own.label} · {own.voxels:,} voxels · Dice after {given}: {dice}"
            yield image(_picture(case, reference, pair, names), text)


def _picture(
    case: CachedCase, reference: NDArray[np.bool_], pair: Mapping[str, ObjectResult], names: Mapping[str, str]
) -> bytes:
    whole = tuple(slice(0, side) for side in case.image.shape)
    layers = [Layer(names[role], pair[role].mask.within(whole), COLORS[role]) for role in reversed(list(pair))]
    reference_layer = Layer("reference", reference, REFERENCE_COLOR)
    return png(planes_picture(case, [reference_layer, *layers], clicks=pair[MODEL].clicks))


def _cases(metrics: Metrics, names: Mapping[str, str]) -> str:
    prompting = Prompting.of(metrics)
    ends = sorted({1, prompting.answers})
    entries = sorted(metrics["cases"], key=lambda entry: entry[MODEL]["dice"][-1])
    heads = [
        f"{name}: {title}"
        for name in names.values()
        for title in (*(f"Dice, {prompting.words(n)}" for n in ends), "HD95 (mm)")
    ]
    rows = []
    for entry in entries[:MOST_ROWS]:
        cells = [escape(entry["case"]), escape(entry["label"]), f"{entry['voxels']:,}"]
        for role in names:
            cells += [number(entry[role]["dice"][n - 1]) for n in ends]
            cells.append(number(entry[role]["hd95_mm"][-1], True))
        rows.append(row(cells))
    more = f"<p class='note'>cases.csv lists all {len(entries)}.</p>" if len(entries) > len(rows) else ""
    summary = f"<summary>All {len(entries)} results, the worst first</summary>"
    return f"<details>{summary}{table(['case', 'label', 'voxels', *heads], rows)}{more}</details>"


def _models(metrics: Metrics) -> str:
    parts = ["<h2>Models</h2>"]
    for role, known in metrics["models"].items():
        card = known["card"]
        lines = {
            "loaded from": known["source"],
            "architecture": f"{known['architecture']}, {known['parameters'] / 1e6:.1f} million parameters",
            "SHA-256 of the weights": known["sha256"],
            "fine-tuned on": counted(known["training_cases"], "case") if known["training_cases"] else "",
            "data": "; ".join(_source(source) for source in card["data"]),
            **{name: _text(card.get(name, "")) for name in CARD},
        }
        title = known["name"] + (" (baseline)" if role == BASELINE else "")
        parts.append(f"<h3>{escape(title)}</h3>{facts(lines)}")
    return "".join(parts)


def _data(metrics: Metrics) -> str:
    data = metrics["data"]
    lines = {
        "data sets": ", ".join(f"{name} ({counted(count, 'case')})" for name, count in data["datasets"].items()),
        "cases": f"{data['cases']} ({data['split']})",
        "labels": listed(data["labels"], most=150),
        "size in voxels": _span(data["shape"], "d"),
        "spacing in mm": _span(data["spacing_mm"], ".2f"),
    }
    return f"<h2>Data</h2>{facts(lines)}"


def _method(metrics: Metrics) -> str:
    measures = "".join(f"<li><b>{measure.title}</b>: {measure.explanation}.</li>" for measure in MEASURES)
    prompting = Prompting.of(metrics)
    text = METHOD.format(
        method=prompting.method,
        tolerance=metrics["settings"]["tolerance_mm"],
        measures=measures,
        curves=CURVES if prompting.is_clicks else "",
    )
    return f"<h2>How it was measured</h2>{text}<pre>{escape(metrics['command'])}</pre>"


def _spread(values: Mapping[str, Sequence[float]], click: int, is_distance: bool) -> str:
    mean, sd = (number(values[part][click - 1], is_distance) for part in ("mean", "sd"))
    return f"{mean} <small>± {sd}</small>"


def _noc(found: Mapping[str, Any], bar: int) -> str:
    return f"{found[f'noc{bar}']['mean']:.1f}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


def _span(bounds: Mapping[str, Sequence[float]], form: str) -> str:
    least, most = (" × ".join(format(value, form) for value in bounds[end]) for end in ("least", "most"))
    return least if least == most else f"{least} to {most}"


def _source(source: Mapping[str, Any]) -> str:
    name = str(source.get("name") or source.get("dataset") or source.get("cache") or "")
    notes = [f"{source[kind]} {kind} cases" for kind in ("training", "validation") if source.get(kind)]
    notes += [str(source[key]) for key in ("used", "licence") if source.get(key)]
    return f"{name} ({', '.join(notes)})" if notes else name


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)
