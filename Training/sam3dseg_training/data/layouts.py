"""The folder layouts of the field: which files are an image and its label map, and what the labels are called."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
PAIRS = (("imagesTr", "labelsTr"), ("images", "labels"))
CHANNEL = "_0000"  # nnU-Net ends every image's name in its channel
DESCRIPTION = "dataset.json"

Structures = Mapping[str, tuple[int, ...]]  # name -> the label values that make it up
Pairs = list[tuple[str, Path, Path]]  # name, image, label map


def pairs_of(root: Path, layout: str, description: Mapping[str, Any], *, channel: int) -> Pairs:
    """The cases of a folder; `layout` as in `find_cases`, `channel` of nnU-Net images. Files may be missing."""
    readers: dict[str, Callable[[Path, Mapping[str, Any]], Pairs]] = {
        "msd": _msd,
        "nnunet": lambda root, description: _nnunet(root, description, channel),
        "folders": _folders,
        "paired": _paired,
    }
    return readers[layout](root, description)


def stem_of(path: Path) -> str:
    """File name without its image ending."""
    ending = next((e for e in ENDINGS if path.name.lower().endswith(e)), path.suffix)
    return path.name[: -len(ending)] if ending else path.name


def read_description(root: Path) -> dict[str, Any]:
    """dataset.json, or {} when there is none."""
    path = root / DESCRIPTION
    if not path.is_file():
        return {}
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no valid JSON ({error}); repair it or remove it") from error
    if not isinstance(description, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(description).__name__}")
    return description


def layout_of(root: Path, description: Mapping[str, Any]) -> str:
    """The layout that a folder seems to have."""
    images, labels = ({stem_of(path) for path in _images(root / folder)} for folder in PAIRS[0])
    if "channel_names" in description or "file_ending" in description:
        return "nnunet"
    if images and not images & labels and all(stem[-5:-4] == "_" and stem[-4:].isdigit() for stem in images):
        return "nnunet"
    if "training" in description:
        return "msd"
    return "paired" if any((root / i).is_dir() for i, _ in PAIRS) else "folders"


def _images(folder: Path) -> list[Path]:
    """Image files of a folder, without the hidden ones that some archives bring along."""
    return [path for path in sorted(folder.iterdir()) if _is_image(path)] if folder.is_dir() else []


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and not path.name.startswith(".")


def _msd(root: Path, description: Mapping[str, Any]) -> Pairs:
    try:
        pairs = [(root / item["image"], root / item["label"]) for item in description["training"]]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'{root / DESCRIPTION} must list "training" as [{{"image": …, "label": …}}, …]; layout=paired does '
            "without it"
        ) from error
    return [(stem_of(image), image, label) for image, label in pairs]


def _nnunet(root: Path, description: Mapping[str, Any], channel: int) -> Pairs:
    suffix = f"_{channel:04d}"
    images, labels = (_images(root / folder) for folder in ("imagesTr", "labelsTr"))
    names = {stem_of(path)[: -len(CHANNEL)] for path in images} | {stem_of(path) for path in labels}
    ending = description.get("file_ending") or _ending(images or labels)
    return [
        (name, root / f"imagesTr/{name}{suffix}{ending}", root / f"labelsTr/{name}{ending}") for name in sorted(names)
    ]


def _folders(root: Path, description: Mapping[str, Any]) -> Pairs:
    found: dict[Path, dict[str, Path]] = {}
    for path in sorted(root.rglob("*")):
        stem = stem_of(path)
        for role in ("image", "label"):
            if (stem == role or stem.endswith(f"-{role}")) and _is_image(path):
                prefix = path.with_name(stem[: -len(role) - 1]) if stem != role else path.parent / ""
                found.setdefault(prefix, {})[role] = path
    own = Counter(prefix.name for prefix in found)
    pairs = []
    for prefix, files in found.items():
        known = next(iter(files.values()))
        image, label = (files.get(role, _sibling(known, role)) for role in ("image", "label"))
        is_own = own[prefix.name] == 1 or known.parent == root
        name = prefix.name if is_own else "-".join(known.parent.relative_to(root).parts)
        pairs.append((name, image, label))
    return pairs


def _sibling(path: Path, role: str) -> Path:
    """`…-image.nii.gz` -> `…-label.nii.gz`, or the other way round."""
    stem = stem_of(path)
    return path.with_name(f"{stem[: -len('image')]}{role}{path.name[len(stem) :]}")


def _paired(root: Path, description: Mapping[str, Any]) -> Pairs:
    image_folder, label_folder = next((pair for pair in PAIRS if (root / pair[0]).is_dir()), PAIRS[-1])
    images, labels = _images(root / image_folder), _images(root / label_folder)
    ending = _ending([*images, *labels])
    label_of = {stem_of(path): path for path in labels}
    pairs = [
        (name, path, label_of.get(name, root / label_folder / f"{name}{ending}"))
        for name, path in ((stem_of(path), path) for path in images)  # equal names are for the checks to report
    ]
    alone = sorted(label_of.keys() - {name for name, _, _ in pairs})
    return pairs + [(name, root / image_folder / f"{name}{ending}", label_of[name]) for name in alone]


def _ending(paths: Iterable[Path]) -> str:
    """Ending of the first file, for the names of those that are missing."""
    return next((path.name[len(stem_of(path)) :] for path in paths), ENDINGS[0])


def label_names_of(description: Mapping[str, Any], root: Path) -> Structures:
    """Name -> values from "labels": {"1": "liver"} (MSD) or {"liver": 1, "whole": [1, 2]} (nnU-Net)."""
    labels = description.get("labels", {})
    try:
        if all(str(key).isdigit() for key in labels):
            names: dict[str, tuple[int, ...]] = {}
            for value, name in labels.items():  # values of one name are one structure
                names[str(name)] = (*names.get(str(name), ()), int(value))
            return names
        return {
            str(name): tuple(int(v) for v in (values if isinstance(values, list) else [values]))
            for name, values in labels.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f'{root / DESCRIPTION}: "labels" must be {{"1": "name"}} (MSD) or {{"name": 1}} (nnU-Net), not {labels!r}'
        ) from error
