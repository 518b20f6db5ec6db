"""Images that the page may open: their headers name no voxels in files elsewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from sam3dseg.imageio import Image, read_image

NRRD, META = (".nrrd", ".nhdr"), (".mha", ".mhd")
FIELDS = {
    NRRD: re.compile(r"data ?file:(.*)", re.IGNORECASE),
    META: re.compile(r"ElementDataFile\s*=(.*)", re.IGNORECASE),
}
LOCAL, LIST = "local", "list"
LARGEST_HEADER = 2**20  # bytes


def read_image_file(path: str | os.PathLike[str]) -> Image:
    """The image as `read_image` reads it. Raises ValueError as that does, and as `check_header` does."""
    check_header(Path(path))
    return read_image(path)


def check_header(path: Path) -> None:
    """Raise ValueError for a NRRD or MetaImage file whose header names voxels outside its own folder."""
    field = next((field for suffixes, field in FIELDS.items() if path.name.lower().endswith(suffixes)), None)
    if field is None or not path.is_file():
        return
    for name in _data_files(_header(path), field):
        if not is_inside(name):
            raise ValueError(f"{path.name} has its voxels in another folder, {name!r}: put both files into one folder")


def is_inside(name: str) -> bool:
    """Whether a relative path leads to no place outside of where it starts, on any system."""
    paths = PurePosixPath(name), PureWindowsPath(name)
    is_rooted = any(path.is_absolute() or path.drive or path.root for path in paths)
    return not is_rooted and "://" not in name and not any(".." in path.parts for path in paths)


def _header(path: Path) -> list[str]:
    with path.open("rb") as file:
        return file.read(LARGEST_HEADER).decode("latin-1").splitlines()


def _data_files(lines: list[str], field: re.Pattern[str]) -> list[str]:
    """What the header names; after LIST, each further line is a file."""
    for number, line in enumerate(lines):
        found = field.match(line.strip())
        if found:
            name = found[1].strip()
            if name.lower() == LOCAL:
                return []
            return [line.strip() for line in lines[number + 1 :]] if name.lower().startswith(LIST) else [name]
        if not line.strip():
            break
    return []
