"""One case from its files to the cache, in any process: read, check, bring to canonical axes, write what is missing."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam3dseg.geometry import Orientation
from sam3dseg.imageio import Image, read_image
from sam3dseg.masks import bounding_box
from sam3dseg.surface import surface_of, write_surface
from sam3dseg.volumes import checked_volume

from .cache import CaseRecord, distance_path, entry_path
from .checks import Problem, problems_of_case
from .distance import read_distances, write_distances
from .entries import (
    CachedCase,
    DamagedEntryError,
    StructureBox,
    mask_of,
    read_entry,
    same_source,
    source_of,
    write_entry,
)
from .layouts import Structures
from .slices import write_slices
from .sources import UNTRAINED, CaseFiles

STORED_TYPES = ("uint8", "int8", "uint16", "int16", "float16", "float32")  # others become float32, as when clicking


@dataclass(frozen=True, slots=True)
class CaseOptions:
    """What is made of every case; each value changes the cache's content.

    surfaces: "stl", "obj", "ply" or "". slices: write 2D slices, of crop = (H, W), or () for as they are.
    small: objects of at most so many voxels are left out.
    """

    surfaces: str = ""
    sdf: bool = False
    slices: bool = False
    crop: tuple[int, ...] = ()
    small: int = 1


@dataclass(frozen=True)
class CaseJob:
    """One case to build into the cache `folder`; names: label names of its data set, empty when nothing says."""

    files: CaseFiles
    folder: Path
    names: Structures
    options: CaseOptions
    rebuild: bool = False

    @property
    def settings(self) -> str:
        """Digest of all that the entry follows from besides the files."""
        facts = {"names": self.names, "options": asdict(self.options)}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class CaseOutcome:
    """What became of a case: its record, or None when fatal problems stopped it; is_kept: it was there already."""

    record: CaseRecord | None
    problems: tuple[Problem, ...] = ()
    is_kept: bool = False


def build_case(job: CaseJob) -> CaseOutcome:
    """Write a case's files, the entry last, unless all are there, whole, and made from the same sources.

    Bad input comes back as problems. Raises OSError when the cache cannot be written.
    """
    key, path = job.files.key, entry_path(job.folder, job.files.key)
    known = None if job.rebuild else _intact(path, job)
    try:
        source = source_of(job.files.image, job.files.label, job.settings, known.source if known else None)
        if known and same_source(known.source, source):
            return CaseOutcome(_record(known), _warnings(known), is_kept=True)
        image, label = read_image(job.files.image), read_image(job.files.label)
    except (ValueError, OSError) as error:
        return CaseOutcome(None, (Problem(key, str(error)),))
    except MemoryError:
        text = "too large for the memory left: close other programs, give a smaller jobs=, or remove the case"
        return CaseOutcome(None, (Problem(key, text),))
    problems = problems_of_case(key, image, label, job.names, small=job.options.small)
    if any(problem.is_fatal for problem in problems):
        return CaseOutcome(None, tuple(problems))
    case = canonical_case(key, image, label, structures_of(label.array_ijk, job.names), small=job.options.small)
    if not case.structures:
        text = f"no object to train on: expected one of more than small={job.options.small} voxels"
        return CaseOutcome(None, (*problems, Problem(key, f"{text}; remove the case, or give a smaller small=")))
    case = replace(case, source=source, warnings=tuple(problem.text for problem in problems))
    extras = _write_extras(job, case)
    case = replace(case, source={**source, "extras": extras})
    write_entry(path, case)
    return CaseOutcome(_record(case), tuple(problems))


def structures_of(labels: NDArray, names: Structures) -> dict[str, tuple[int, ...]]:
    """The structures of a label map: the named ones, or one for each value."""
    if names:
        return {name: tuple(values) for name, values in names.items() if name.lower() not in UNTRAINED}
    return {f"label {int(value)}": (int(value),) for value in np.unique(labels) if value != 0}


def canonical_case(key: str, image: Image, label: Image, structures: Structures, *, small: int) -> CachedCase:
    """The case in canonical axes, with intensities that resample to the same bits as the file's own."""
    orientation = Orientation.from_direction(image.direction_ras)
    values = checked_volume(image.array_ijk)
    stored = values if values.dtype.name in STORED_TYPES else values.astype(np.float32)
    labels = label.array_ijk.astype(np.uint8 if label.array_ijk.max() < 256 else np.uint16)
    labels = np.ascontiguousarray(orientation.to_canonical(labels))
    corners = orientation.point_from_canonical([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], image.shape)
    corners_ras = image.ras_of(corners)
    affine = np.eye(4)
    affine[:3, 3] = corners_ras[0]
    affine[:3, :3] = (corners_ras[1:] - corners_ras[0]).T
    boxes = {name: _box(labels, tuple(members)) for name, members in structures.items()}
    return CachedCase(
        key=key,
        image=np.ascontiguousarray(orientation.to_canonical(stored)),
        labels=labels,
        spacing_mm=orientation.shape_to_canonical(image.spacing_mm),
        affine_ras=affine,
        structures={name: box for name, box in boxes.items() if box is not None and box.voxels > small},
        source={},
    )


def _box(labels: NDArray, values: tuple[int, ...]) -> StructureBox | None:
    mask = mask_of(labels, values)
    box = bounding_box(mask)
    if box is None:
        return None
    return StructureBox(
        values, tuple(s.start for s in box), tuple(s.stop - 1 for s in box), int(np.count_nonzero(mask))
    )


def _record(case: CachedCase) -> CaseRecord:
    return CaseRecord(
        key=case.key,
        shape=tuple(case.image.shape),
        spacing_mm=case.spacing_mm,
        structures={name: box.voxels for name, box in case.structures.items()},
        image=case.source["image"]["path"],
        label=case.source["label"]["path"],
        digest=hashlib.sha256((case.source["image"]["sha256"] + case.source["label"]["sha256"]).encode()).hexdigest(),
    )


def _warnings(case: CachedCase) -> tuple[Problem, ...]:
    return tuple(Problem(case.key, text, is_fatal=False) for text in case.warnings)


def _intact(path: Path, job: CaseJob) -> CachedCase | None:
    """The case as it is in the cache, when its entry and all that belongs to it can be read."""
    try:
        case = read_entry(path)
        if job.options.sdf:
            read_distances(distance_path(job.folder, job.files.key))
    except DamagedEntryError:
        return None
    extras = [job.folder / name for name in case.source.get("extras", ())]
    return case if all(extra.is_file() and extra.stat().st_size for extra in extras) else None


def _write_extras(job: CaseJob, case: CachedCase) -> list[str]:
    """Distances, surfaces and slices; gives the names of the latter two, relative to the cache."""
    key, options = job.files.key, job.options
    extras: list[Path] = []
    distances = distance_path(job.folder, key)
    if options.sdf:
        write_distances(distances, case)
    if options.surfaces:
        extras += _write_surfaces(job.folder / "surfaces" / key, case, options.surfaces)
    if options.slices:
        folder = job.folder / "slices" / key
        shown = distances.relative_to(job.folder).as_posix() if options.sdf else ""
        extras += [folder / name for name in write_slices(folder, case, crop=options.crop, distances=shown)]
    return [extra.relative_to(job.folder).as_posix() for extra in extras]


def _write_surfaces(folder: Path, case: CachedCase, kind: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in case.structures:
        path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.{kind}"
        write_surface(path, surface_of(case.mask(name), case.as_image()))
        paths.append(path)
    return paths
