"""The cache folder: `index.json`, one `.npz` per case, and what else was asked for.

index.json                             options, data sets, cases
cases/DATASET/CASE.npz                 entries.py
sdf/DATASET/CASE.npz                   signed distances (distance.py)
surfaces/DATASET/CASE/STRUCTURE.stl    marching cubes
slices/DATASET/CASE/R_0012.npz         slices.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3dseg.atomic import replacing

from .distance import read_distances
from .entries import CachedCase, read_entry

FORMAT = 1
INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """What the index says of a case; structures: name -> voxel count, digest: SHA-256 over its two files' own."""

    key: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    structures: Mapping[str, int]
    image: str
    label: str
    digest: str


@dataclass(frozen=True)
class Cache:
    """A complete cache. structures: name -> values per data set, empty where the labels have no names."""

    folder: Path
    options: Mapping[str, Any]
    records: tuple[CaseRecord, ...]
    structures: Mapping[str, Mapping[str, tuple[int, ...]]]

    @property
    def keys(self) -> tuple[str, ...]:
        """Cases in order of their names."""
        return tuple(record.key for record in self.records)

    @property
    def structure_names(self) -> tuple[str, ...]:
        """All structures that occur in a case, in order of their first appearance."""
        return tuple(dict.fromkeys(name for record in self.records for name in record.structures))

    def distances(self, key: str) -> dict[str, NDArray[np.float16]]:
        """Signed distances (R, A, S) in mm of a case's structures; DamagedEntryError when they cannot be read."""
        return read_distances(distance_path(self.folder, key))

    def read(self, key: str, *, mapped: bool = False) -> CachedCase:
        """One case; raises DamagedEntryError when its file cannot be read."""
        return read_entry(entry_path(self.folder, key), mapped=mapped)


def entry_path(folder: Path, key: str) -> Path:
    return folder / "cases" / f"{key}.npz"


def distance_path(folder: Path, key: str) -> Path:
    return folder / "sdf" / f"{key}.npz"


def open_cache(folder: str | Path) -> Cache:
    """The cache in `folder`; raises ValueError where there is none, or one that is not complete."""
    folder = Path(folder)
    index = read_index(folder)
    if index is None:
        raise ValueError(f"no prepared data at {folder}; run sam3dseg-train prepare data=FOLDER out={folder} first")
    if not index["complete"]:
        raise ValueError(f"the cache {folder} is not complete; run its sam3dseg-train prepare again, which goes on")
    records = tuple(
        CaseRecord(**{**case, "shape": tuple(case["shape"]), "spacing_mm": tuple(case["spacing_mm"])})
        for case in index["cases"]
    )
    structures = {
        dataset: {name: tuple(values) for name, values in named.items()}
        for dataset, named in index["structures"].items()
    }
    return Cache(folder, index["options"], records, structures)


def read_index(folder: Path) -> dict[str, Any] | None:
    """The index as it is, or None; raises ValueError for one of another format or a damaged one."""
    path = folder / INDEX
    if not path.is_file():
        return None
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        version = index["format"]
        complete = {"options", "complete", "cases", "structures"} <= index.keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: remove this file and run prepare again; entries are kept") from error
    if version != FORMAT or not complete:
        raise ValueError(f"{path} has format {version}, expected {FORMAT}: prepare the data again in a new folder")
    return index


def write_index(
    folder: Path,
    *,
    options: Mapping[str, Any],
    structures: Mapping[str, Mapping[str, tuple[int, ...]]],
    records: list[CaseRecord],
    complete: bool,
) -> None:
    """Write index.json in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {
        "format": FORMAT,
        "complete": complete,
        "options": options,
        "structures": structures,
        "cases": [{name: getattr(record, name) for name in CaseRecord.__slots__} for record in records],
    }
    with replacing(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def check_same_options(folder: Path, known: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise ValueError naming the first option in which a cache differs from what is asked of it now."""
    asked = json.loads(json.dumps(asked))  # as the index would say it
    for name, value in asked.items():
        if known.get(name) != value:
            raise ValueError(
                f"the cache {folder} was prepared with {name}={json.dumps(known.get(name))}, received "
                f"{name}={json.dumps(value)}; give another out=, the same {name}, or rebuild=true"
            )
