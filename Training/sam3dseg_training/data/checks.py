"""All that can be wrong with cases, said at once: one line per problem with what was expected and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3dseg.imageio import Image
from sam3dseg.volumes import checked_volume

from .layouts import Structures
from .sources import UNTRAINED, CaseFiles

GRID_TOLERANCE = 0.1  # of a voxel: headers round differently, and less than this shifts no label visibly
LARGEST_LABEL = np.iinfo(np.uint16).max
SHOWN_VALUES = 8
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a case; one that is not fatal is worth a warning only."""

    case: str
    text: str
    is_fatal: bool = True


def problems_of_files(cases: Sequence[CaseFiles]) -> list[Problem]:
    """Missing images and labels, and names that occur twice in a data set."""
    problems = []
    for case in cases:
        for role, path in (("image", case.image), ("label map", case.label)):
            if not path.is_file():
                problems.append(Problem(case.key, f"missing {role}: expected {path}; add it or remove the case"))
    for key, count in Counter(case.key for case in cases).items():
        if count > 1:
            images = ", ".join(str(case.image) for case in cases if case.key == key)
            problems.append(Problem(key, f"duplicate name: {count} cases have it ({images}); rename all but one"))
    return problems


def problems_of_case(key: str, image: Image, label: Image, names: Structures, *, small: int) -> list[Problem]:
    """What is wrong inside one case.

    names: name -> values that may occur, besides 0; empty when any may. small: objects of at most so many voxels are
    worth a warning.
    """
    texts = [*_image_problems(image), *_grid_problems(image, label)]
    values = np.asarray(label.array_ijk)
    if not np.isfinite(values).all():
        return [Problem(key, text) for text in (*texts, "the label map holds NaN or infinite values; export it again")]
    present, counts = np.unique(values, return_counts=True)
    wrong = _label_problems(present, names)
    problems = [Problem(key, text) for text in (*texts, *wrong)]
    holes = int(np.size(image.array_ijk) - np.count_nonzero(np.isfinite(image.array_ijk)))
    if holes == np.size(image.array_ijk):
        problems.append(Problem(key, "all voxels of the image are NaN or infinite; export it again"))
    elif holes:
        text = f"{holes} NaN or infinite voxels in the image are filled, as when clicking"
        problems.append(Problem(key, text, is_fatal=False))
    for value, count in zip(present, counts, strict=True):
        if value != 0 and count <= small and not wrong:
            text = f"label {value:g} has only {count} voxel{'s' if count > 1 else ''}: too small to train on, left out"
            problems.append(Problem(key, text, is_fatal=False))
    return problems


def report(problems: Sequence[Problem], *, case_count: int) -> str:
    """The fatal problems as text for people, a line each under a heading."""
    problems = [problem for problem in problems if problem.is_fatal]
    bad = len({problem.case for problem in problems})
    lines = [f"{bad} of {case_count} cases cannot be used:"]
    lines += [f"  {problem.case}: {problem.text}" for problem in problems]
    return "\n".join([*lines, "repair them, or leave them out with skip_bad=true"])


def _image_problems(image: Image) -> list[str]:
    values = np.asarray(image.array_ijk)
    finite = np.isfinite(values)
    if not finite.all():  # as when clicking, and worth a warning only
        values = np.where(finite, values, values.min(where=finite, initial=np.inf) if finite.any() else 0)
    try:
        checked_volume(values)
    except ValueError as error:
        return [str(error)]
    return []


def _grid_problems(image: Image, label: Image) -> list[str]:
    if image.shape != label.shape:
        return [
            f"geometry mismatch: expected a label map of the image's shape {image.shape}, received {label.shape}; "
            "resample it to the image"
        ]
    corners = CORNERS * (np.array(image.shape) - 1)
    apart_mm = float(np.abs(image.ras_of(corners) - label.ras_of(corners)).max())
    if apart_mm > GRID_TOLERANCE * min(image.spacing_mm):
        return [
            f"geometry mismatch: image and label map have the same shape, but lie up to {apart_mm:.3g} mm apart; "
            "resample the label map to the image, or copy the image's header if only the header is wrong"
        ]
    return []


def _label_problems(present: NDArray, names: Structures) -> list[str]:
    if not (present == np.round(present)).all() or present.min() < 0 or present.max() > LARGEST_LABEL:
        return [f"labels must be whole numbers from 0 to {LARGEST_LABEL}, received {_listed(present)}; export it again"]
    objects = present[present != 0]
    if objects.size == 0:
        return ["the label map is empty: expected at least one voxel above 0; label it or remove the case"]
    known = {value for values in names.values() for value in values}
    unknown = [value for value in objects if names and int(value) not in known]
    if unknown:
        return [
            f"unknown label {_listed(unknown)}: expected {_listed(sorted(known))}; name it in dataset.json or with "
            "labels=…, or correct the label map"
        ]
    trained = {v for name, values in names.items() if name.lower() not in UNTRAINED for v in values}
    if names and not any(int(value) in trained for value in objects):
        return [f"the label map holds no structure: expected one of {_listed(sorted(trained))}; remove the case"]
    return []


def _listed(values: Sequence | NDArray) -> str:
    shown = ", ".join(f"{float(value):g}" for value in values[:SHOWN_VALUES])
    return f"{shown}, …" if len(values) > SHOWN_VALUES else shown
