"""`sam3dseg-train visualize`: pictures and meshes of references and results, case by case.

OUT/DATASET/CASE/overlay.png                      all labels on three planes: reference, before, after
OUT/DATASET/CASE/LABEL-slices.png                 slice by slice: image, reference, before, after
OUT/DATASET/CASE/LABEL-reference.stl …            surfaces, "before" and "after" too
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sam3dseg.atomic import replacing
from sam3dseg.proposals.proposer import Proposer
from sam3dseg.protocol import Segmenter, SliceSegmenter
from sam3dseg.surface import surface_of, write_surface

from ..configs.evaluate import VisualizeConfig
from ..configs.resolve import save
from ..data.cache import Cache, CaseRecord, open_cache
from ..data.entries import CachedCase
from ..data.splits import Objects, objects_in, objects_of, split_cases
from ..data.targets import object_mask
from ..progress import watched
from .answering import check_objects
from .models import open_model
from .page import counted
from .pictures import (
    BASELINE_COLOR,
    LABEL_COLORS,
    MODEL_COLOR,
    REFERENCE_COLOR,
    Layer,
    labels_picture,
    png,
    slices_picture,
)
from .prompting import Prompting, pictured_prompting
from .results import WHOLE, ObjectResult, judge

log = logging.getLogger(__name__)

REFERENCE, BEFORE, AFTER = "reference", "before", "after"
DPI = 110

Masks = Mapping[str, Mapping[str, NDArray[np.bool_]]]  # REFERENCE, BEFORE, AFTER -> label -> (R, A, S)


def visualize(config: VisualizeConfig) -> list[Path]:
    """Segment the cases, by simulated clicks where the model takes any, and write pictures and meshes -> the files.

    Raises ValueError for settings, data or models that cannot be used, OSError when a file cannot be written.
    """
    out = Path(config.out)
    cache = open_cache(config.data)
    objects = objects_of(cache, config.labels)
    records = _chosen(cache, config, objects)
    sources = {BEFORE: config.baseline, AFTER: config.model}
    models = {role: open_model(name) for role, name in sources.items() if name}
    prompting = pictured_prompting(config, {m.name: m.checkpoint.architecture for m in models.values()})
    segmenters = {role: model.segmenter(config.device) for role, model in models.items()}
    for segmenter in segmenters.values():
        check_objects(segmenter, objects)
    out.mkdir(parents=True, exist_ok=True)
    save(config, out)
    drawn = (_draw(cache, record, objects, segmenters, prompting, config) for record in records)
    files = [file for case in watched(drawn, len(records)) for file in case]
    log.info("%s of %s in %s", counted(len(files), "file"), counted(len(records), "case"), out)
    return files


def _chosen(cache: Cache, config: VisualizeConfig, objects: Objects) -> list[CaseRecord]:
    if config.cases:
        return [_named(cache, name) for name in config.cases]
    training, held_out = split_cases(cache.records, fold=config.fold, folds=config.folds)
    fitting = [record for record in held_out or training if objects_in(record, objects)]
    if not fitting:
        raise ValueError(f"no held-out case holds {', '.join(objects)}: name some with cases=[…]")
    return fitting[:1]


def _named(cache: Cache, name: str) -> CaseRecord:
    """The case of this name, with or without its data set; raises ValueError with the nearest one."""
    found = [record for record in cache.records if name in (record.key, record.key.partition("/")[2])]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{len(found)} cases are named {name!r}: expected one of {', '.join(r.key for r in found)}")
    names = [*cache.keys, *(key.partition("/")[2] for key in cache.keys)]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the first one is {cache.keys[0]}"
    raise ValueError(f"no case {name!r} among the {len(cache.keys)} of {cache.folder}: {hint}")


def _draw(
    cache: Cache,
    record: CaseRecord,
    objects: Objects,
    segmenters: Mapping[str, Segmenter | SliceSegmenter | Proposer],
    prompting: Prompting,
    config: VisualizeConfig,
) -> list[Path]:
    """Everything of one case."""
    case = cache.read(record.key)
    present = {name: objects[name] for name in objects_in(record, objects)}
    if not present:
        raise ValueError(f"{record.key} holds none of {', '.join(objects)}: choose other labels or cases")
    results = {
        role: {r.label: r for r in judge(segmenter, case, present, prompting=prompting, tolerance_mm=1.0)}
        for role, segmenter in segmenters.items()
    }
    folder = Path(config.out) / record.key
    folder.mkdir(parents=True, exist_ok=True)
    files = list(_pictures(case, present, results, folder, prompting, config))
    if config.meshes != "none":
        files += _meshes(case, present, results, folder, config.meshes)
    return files


def _pictures(
    case: CachedCase,
    objects: Objects,
    results: Mapping[str, Mapping[str, ObjectResult]],
    folder: Path,
    prompting: Prompting,
    config: VisualizeConfig,
) -> Iterator[Path]:
    masks = _masks(case, objects, results)
    colors = {name: LABEL_COLORS[index % len(LABEL_COLORS)] for index, name in enumerate(objects)}
    rows = [(role, [Layer(name, mask, colors[name]) for name, mask in found.items()]) for role, found in masks.items()]
    title = f"{case.key}, {prompting.words(prompting.answers)} per object"
    yield _write(folder / "overlay.png", labels_picture(case, rows, title=title))
    for name in objects:
        columns = [Layer(REFERENCE, masks[REFERENCE][name], REFERENCE_COLOR)]
        for role, color in ((BEFORE, BASELINE_COLOR), (AFTER, MODEL_COLOR)):
            if role in results:
                dice = results[role][name].dice[-1]
                columns.append(Layer(f"{role}, Dice {dice:.3f}", masks[role][name], color))
        picture = slices_picture(case, masks[REFERENCE][name], columns, slices=config.slices, title=f"{title}: {name}")
        yield _write(folder / f"{file_name(name)}-slices.png", picture)


def _meshes(
    case: CachedCase,
    objects: Objects,
    results: Mapping[str, Mapping[str, ObjectResult]],
    folder: Path,
    kind: str,
) -> Iterator[Path]:
    """Surfaces in the place of the patient; none of an empty result."""
    image = case.as_image()
    for role, found in _masks(case, objects, results).items():
        for name, mask in found.items():
            path = folder / f"{file_name(name)}-{role}.{kind}"
            if mask.any():
                write_surface(path, surface_of(mask, image))
                yield path
            else:
                path.unlink(missing_ok=True)  # of an earlier run
                log.warning("%s: the %s of %s is empty, so there is no surface of it", case.key, role, name)


def _masks(case: CachedCase, objects: Objects, results: Mapping[str, Mapping[str, ObjectResult]]) -> Masks:
    whole = tuple(slice(0, side) for side in case.image.shape)
    return {
        REFERENCE: {name: object_mask(case, members, WHOLE) for name, members in objects.items()},
        **{role: {name: r.mask.within(whole) for name, r in found.items()} for role, found in results.items()},
    }


def file_name(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^\w+.-]+", "-", label).strip("-.") or "label"


def _write(path: Path, figure: Figure) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(png(figure, dpi=DPI))
    return path
