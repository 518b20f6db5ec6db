"""Find cases: which image belongs to which label map, in the folder layouts that the field uses."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..configs.prepare import LAYOUTS
from .layouts import DESCRIPTION, Structures, label_names_of, layout_of, pairs_of, read_description

UNTRAINED = ("background", "ignore")  # named values that are no structures


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """One case: its name within its data set, and where its image and its label map are, or should be."""

    name: str
    image: Path
    label: Path
    dataset: str

    @property
    def key(self) -> str:
        """Unique name in a union of data sets."""
        return f"{self.dataset}/{self.name}"


@dataclass(frozen=True)
class Found:
    """Cases sorted by key, and for each data set what its label values are called; empty where nothing says."""

    cases: tuple[CaseFiles, ...]
    label_names: Mapping[str, Structures]


def find_cases(data: str | Path | Sequence[str | Path], *, layout: str = "auto", channel: int = 0) -> Found:
    """Find all cases of one data set or of a union of several.

    data: folders (or their dataset.json), glob patterns of folders, or .txt files that list such lines (relative to
    the file; # comments).
    layout of every folder: "msd" (dataset.json of the Medical Segmentation Decathlon), "nnunet" (raw), "folders"
    (`*-image.nii.gz` with `*-label.nii.gz`, usually a folder per case), "paired" (images/ and labels/, or imagesTr/
    and labelsTr/, with equal names) or "auto". channel: which one of an nnU-Net image.
    Files that are missing do not raise here: the checks report them with all other problems.
    Raises ValueError for an unknown layout, a folder that is none, and a folder without cases.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}: expected one of {', '.join(LAYOUTS)}")
    entries = [data] if isinstance(data, (str, Path)) else list(data)
    roots = list(dict.fromkeys(root.resolve() for entry in entries for root in _expand(str(entry), Path())))
    if not roots:
        raise ValueError("expected at least one folder of cases, received none; give data=FOLDER")
    cases: list[CaseFiles] = []
    label_names: dict[str, Structures] = {}
    for root, name in zip(roots, dataset_names(roots), strict=True):
        description = read_description(root)
        kind = layout_of(root, description) if layout == "auto" else layout
        pairs = pairs_of(root, kind, description, channel=channel)
        if not pairs:
            raise ValueError(f"no cases in {root}, read as layout {kind!r}; {_expectation()}")
        cases += [CaseFiles(case, image, label, name) for case, image, label in pairs]
        label_names[name] = label_names_of(description, root)
    return Found(tuple(sorted(cases, key=lambda c: c.key)), label_names)


def dataset_names(roots: Sequence[Path]) -> list[str]:
    """A name for each folder: its own, with as many parents before it as tell equal ones apart."""
    depth = dict.fromkeys(roots, 1)

    def name(root: Path) -> str:
        return "-".join(part for part in root.parts[-depth[root] :] if part != root.anchor)

    while True:
        names = [name(root) for root in roots]
        clashing = [r for r, n in zip(roots, names, strict=True) if names.count(n) > 1 and depth[r] < len(r.parts)]
        if not clashing:
            return names
        for root in clashing:
            depth[root] += 1


def _expand(entry: str, base: Path) -> list[Path]:
    path = base / Path(entry).expanduser()
    if path.suffix == ".txt" and path.is_file():
        lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
        return [root for line in lines if line for root in _expand(line, path.parent)]
    if path.is_dir():
        return [path]
    if path.name == DESCRIPTION and path.is_file():
        return [path.parent]
    if not glob.has_magic(entry):
        raise ValueError(f"no folder of cases at {path}; {_expectation()}")
    found = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if Path(match).is_dir())
    if not found:
        raise ValueError(f"no folder fits the pattern {path}; put it in quotes and check it with ls")
    return found


def _expectation() -> str:
    return (
        "expected dataset.json (MSD, nnU-Net), NAME-image.nii.gz with NAME-label.nii.gz, or images/ and labels/ "
        "(imagesTr/ and labelsTr/) with equal file names; for several data sets give a pattern such as 'ROOT/*'"
    )
