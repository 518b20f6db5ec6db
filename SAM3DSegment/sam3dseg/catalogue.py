"""Models that can be downloaded, and where they lie on this computer. Nothing here touches the network."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .families import CLICKS_2D, CLICKS_3D

FOLDER_VARIABLE = "SAM3DSEG_MODELS"
EMBEDDED = "embedded"  # the model that is part of the software


@dataclass(frozen=True, slots=True)
class Entry:
    """One downloadable model. size_mb is for people; sha256 is None where its publisher states none."""

    name: str
    purpose: str
    url: str
    size_mb: int | None
    licence: str
    citation: str
    sha256: str | None = None
    family: str = CLICKS_3D

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


SAM_MED3D_CITATION = (
    "Wang et al., SAM-Med3D: Towards General-purpose Segmentation Models for Volumetric Medical Images, "
    "arXiv 2310.15161, doi 10.1109/TNNLS.2025.3586694"
)
SAM_CITATION = "Kirillov et al., Segment Anything, ICCV 2023, arXiv 2304.02643"
SAM_ADDRESS = "https://dl.fbaipublicfiles.com/segment_anything/"
ENTRIES = (
    Entry(
        name="sam-med3d-turbo",
        purpose="organs and lesions in CT, MR and more; SAM-Med3D fine-tuned on 44 data sets",
        url="https://huggingface.co/blueyo0/SAM-Med3D/resolve/main/sam_med3d_turbo.pth",
        size_mb=402,
        licence="Apache-2.0",
        citation=SAM_MED3D_CITATION,
    ),
    Entry(
        name="sam-med3d-turbo-cvpr",
        purpose="the variant of the CVPR 2025 challenge on interactive 3D segmentation, trained with boxes too",
        url="https://huggingface.co/blueyo0/SAM-Med3D/resolve/main/sam_med3d_turbo_bbox_cvpr.pth",
        size_mb=None,
        licence="Apache-2.0",
        citation=SAM_MED3D_CITATION,
    ),
    Entry(
        name="medsam",
        purpose="a box on a slice, in many kinds of medical images; SAM ViT-B fine-tuned on 1.5 million of them",
        url="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        size_mb=375,
        licence="Apache-2.0",
        citation="Ma et al., Segment anything in medical images, Nature Communications 2024, "
        "doi 10.1038/s41467-024-44824-z",
        family=CLICKS_2D,
    ),
    Entry(
        name="sam-vit-b",
        purpose="clicks and boxes on slices; trained on photographs, the smallest SAM",
        url=SAM_ADDRESS + "sam_vit_b_01ec64.pth",
        size_mb=375,
        licence="Apache-2.0",
        citation=SAM_CITATION,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        family=CLICKS_2D,
    ),
    Entry(
        name="sam-vit-l",
        purpose="clicks and boxes on slices; trained on photographs, larger and slower",
        url=SAM_ADDRESS + "sam_vit_l_0b3195.pth",
        size_mb=1250,
        licence="Apache-2.0",
        citation=SAM_CITATION,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        family=CLICKS_2D,
    ),
    Entry(
        name="sam-vit-h",
        purpose="clicks and boxes on slices; trained on photographs, the largest SAM, best with a GPU",
        url=SAM_ADDRESS + "sam_vit_h_4b8939.pth",
        size_mb=2565,
        licence="Apache-2.0",
        citation=SAM_CITATION,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        family=CLICKS_2D,
    ),
)


def models_folder() -> Path:
    """Folder of downloaded models: the variable SAM3DSEG_MODELS, or the user's cache folder of this platform."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "sam3dseg" / "models"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "sam3dseg" / "models"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "sam3dseg" / "models"


def entry_of(name: str) -> Entry:
    """The catalogue's entry, or ValueError naming all models."""
    if name == EMBEDDED:
        raise ValueError(
            f"the model {EMBEDDED!r} is part of the software: expected the name of a model to download, verify or "
            "remove; reinstall the software if it is damaged"
        )
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    names = ", ".join([EMBEDDED, *(entry.name for entry in ENTRIES)])
    raise ValueError(f"no model named {name!r}: expected one of {names}, or the path of a weights file")


def place_of(entry: Entry) -> Path:
    """Where the model's file belongs, there or not."""
    return models_folder() / entry.file_name


def note_of(entry: Entry) -> Path:
    """Where the size and checksum of the downloaded file are kept."""
    return place_of(entry).with_name(entry.file_name + ".json")


def is_installed(entry: Entry) -> bool:
    return place_of(entry).is_file()


def recorded(entry: Entry) -> dict[str, Any]:
    """What is known of the file since its download: url, sha256, bytes; empty for a file placed by hand."""
    try:
        content = json.loads(note_of(entry).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def local_path(name: str) -> Path:
    """The file of an installed model. Raises ValueError, with the remedy, when it is unknown, missing or incomplete."""
    entry = entry_of(name)
    path = place_of(entry)
    if not path.is_file():
        raise ValueError(
            f"model {name!r} is not installed: run `sam3dseg models download {name}`, or save {entry.url} as {path}"
        )
    expected, size = recorded(entry).get("bytes"), path.stat().st_size
    if expected is not None and size != expected:
        raise ValueError(
            f"{path} has changed since its download: expected {expected} bytes, received {size}; "
            f"run `sam3dseg models remove {name}` and download it again"
        )
    return path


def remove(name: str) -> list[Path]:
    """Delete a downloaded model, finished or not, and what is recorded of it; gives the deleted files.

    Raises ValueError for an unknown model or when there is nothing to delete.
    """
    entry = entry_of(name)
    path = place_of(entry)
    candidates = (path, note_of(entry), *(path.with_name(path.name + end) for end in (".part", ".part.json")))
    deleted = [candidate for candidate in candidates if candidate.is_file()]
    if not deleted:
        raise ValueError(f"model {name!r} is not installed: nothing to remove in {models_folder()}")
    for candidate in deleted:
        candidate.unlink()
    return deleted
