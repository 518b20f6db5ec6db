"""Whether a scene file stays within itself: Slicer's reader would follow it to any file of the machine, and beyond."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from .image_file import is_inside

PLACE = re.compile(r"(file(name|listmember\d*)|uri(listmember\d*)?)", re.IGNORECASE)  # attributes that name a file
SCENE = ".mrml"
LARGEST_RATIO = 1000  # of what is unpacked to the file's size; images are far below


def check_scene(path: Path) -> None:
    """Raise ValueError for a file that is no packed scene, or that names files outside itself."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > LARGEST_RATIO * path.stat().st_size:
                raise ValueError(f"{path.name} unpacks to too much: expected a scene of images and segments")
            if archive.testzip() is not None:
                raise ValueError(f"cannot read {path.name}: the file is damaged; save it again")
            names = [entry.filename for entry in entries]
            scenes = [ElementTree.fromstring(archive.read(name)) for name in names if name.endswith(SCENE)]
    except (zipfile.BadZipFile, ElementTree.ParseError, NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"cannot read {path.name}: expected a scene that 3D Slicer or this software saved ({error})"
        ) from error
    if not scenes:
        raise ValueError(f"{path.name} holds no scene: expected a .mrb that 3D Slicer or this software saved")
    named = [value for scene in scenes for node in scene.iter() for key, value in node.items() if PLACE.fullmatch(key)]
    for name in (*names, *named):
        if not is_inside(unquote(name)):
            raise ValueError(f"{path.name} names a file outside itself, {name!r}: save it again with its data packed")
