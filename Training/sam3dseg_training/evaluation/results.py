"""What a model made of the objects of a case, and the file that keeps it: `results/MODEL/DATASET/CASE.json`."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam3dseg.atomic import replacing
from sam3dseg.masks import CroppedMask
from sam3dseg.prompts import Click
from sam3dseg.proposals.proposer import Proposer
from sam3dseg.protocol import Segmenter, SliceSegmenter

from ..data.entries import CachedCase
from ..data.splits import Objects
from ..data.targets import object_mask
from .answering import answers_of
from .metrics import MEASURES, Scores, scores_of
from .prompting import Prompting

MODEL, BASELINE = "model", "baseline"  # roles
WHOLE = (slice(None),) * 3
DECIMALS = 6


@dataclass(frozen=True)
class ObjectResult:
    """One object of one case as a model segments it; canonical voxels.

    scores: measure -> its value after every click, or one value where there were none; where nothing was left to
    correct, there are fewer clicks and seconds than scores. mask: after the last click.
    """

    case: str
    label: str
    voxels: int
    clicks: tuple[Click, ...]
    seconds: tuple[float, ...]
    scores: Mapping[str, tuple[float, ...]]
    mask: CroppedMask

    @property
    def dice(self) -> tuple[float, ...]:
        return self.scores["dice"]


def judge(
    segmenter: Segmenter | SliceSegmenter | Proposer,
    case: CachedCase,
    objects: Objects,
    *,
    prompting: Prompting,
    tolerance_mm: float,
    slices: Mapping[str, str] | None = None,
) -> list[ObjectResult]:
    """Segment each of the objects, all of them present in the case, on one session.

    slices: orientation and modality, for models of slices.
    """
    answers = answers_of(segmenter, case, prompting=prompting, slices=slices)
    results = []
    for name, members in objects.items():
        reference = object_mask(case, members, WHOLE)
        turns = list(answers.turns(reference, members))
        scores: list[Scores] = []
        for turn in turns:
            scores.append(
                scores[-1]
                if turn.is_same
                else scores_of(turn.mask, reference, spacing_mm=case.spacing_mm, tolerance_mm=tolerance_mm)
            )
        results.append(
            ObjectResult(
                case=case.key,
                label=name,
                voxels=int(reference.sum()),
                clicks=tuple(turn.click for turn in turns if turn.click),
                seconds=tuple(round(turn.seconds, DECIMALS) for turn in turns if turn.seconds is not None),
                scores={m.key: tuple(round(getattr(score, m.key), DECIMALS) for score in scores) for m in MEASURES},
                mask=CroppedMask.from_crop(turns[-1].mask, (0, 0, 0)),
            )
        )
    return results


def write_results(path: Path, results: list[ObjectResult], stamp: Mapping[str, Any]) -> None:
    """Write the results of a case in one step; stamp: what they follow from."""
    content = {"stamp": stamp, "objects": [_as_json(result) for result in results]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def read_results(path: Path, stamp: Mapping[str, Any]) -> list[ObjectResult] | None:
    """The results in a file, or None where there are none, they are damaged, or they follow from something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["stamp"] != json.loads(json.dumps(stamp)):
            return None
        return [_from_json(entry) for entry in content["objects"]]
    except (OSError, ValueError, KeyError, TypeError, zlib.error):
        return None


def _as_json(result: ObjectResult) -> dict[str, Any]:
    bits = base64.b64encode(zlib.compress(result.mask.bits)).decode()
    return {
        "case": result.case,
        "label": result.label,
        "voxels": result.voxels,
        "clicks": [[*click.ijk, click.is_foreground] for click in result.clicks],
        "seconds": result.seconds,
        "scores": result.scores,
        "mask": {"offset": result.mask.offset, "shape": result.mask.shape, "bits": bits},
    }


def _from_json(entry: Mapping[str, Any]) -> ObjectResult:
    mask = entry["mask"]
    bits = zlib.decompress(base64.b64decode(mask["bits"]))
    return ObjectResult(
        case=entry["case"],
        label=entry["label"],
        voxels=entry["voxels"],
        clicks=tuple(Click((i, j, k), sign) for i, j, k, sign in entry["clicks"]),
        seconds=tuple(entry["seconds"]),
        scores={measure.key: tuple(entry["scores"][measure.key]) for measure in MEASURES},
        mask=CroppedMask(tuple(mask["offset"]), tuple(mask["shape"]), bits),
    )
