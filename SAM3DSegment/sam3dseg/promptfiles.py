"""Clicks and boxes in files: Slicer markups, our own JSON, and the metadata of .seg.nrrd files.

Our JSON (see promptjson) keeps positions in RAS mm, so that they fit any image of the same patient position; box
corners are the centres of opposite corner voxels.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .imageio import Image
from .masks import CroppedMask
from .promptjson import INITIAL_TAG, PROMPTS_TAG, VERSION, Asked, as_line, content_of, requests_in
from .prompts import Box, Click, Request
from .segmentation_file import DEFAULT_COLOR, Segment, segmentation_header, segments_of

NEGATIVE_WORDS = ("negative", "background")  # labels of markups that mean a background click, as a trailing "-" does
DECIMALS = 4  # of a millimetre


@dataclass(frozen=True)
class Recording:
    """The requests of a file, in order.

    initial: the mask (I, J, K) that they started from, where the file holds it; initial_name: where it came from.
    """

    requests: tuple[Request, ...]
    initial: NDArray[np.bool_] | None = None
    initial_name: str = ""


def click_at_ras(ras: ArrayLike, image: Image, *, is_foreground: bool = True) -> Click:
    """The click on the voxel that holds a point in RAS mm; it may lie outside the image."""
    return Click(_nearest_voxel(ras, image), is_foreground)


def box_at_ras(first: ArrayLike, second: ArrayLike, image: Image) -> Box:
    """The box whose opposite corner voxels hold two points in RAS mm."""
    corners = np.array([_nearest_voxel(first, image), _nearest_voxel(second, image)])
    return Box(_triple(corners.min(axis=0)), _triple(corners.max(axis=0)))


def read_recording(path: str | os.PathLike[str], image: Image) -> Recording:
    """The prompts of a file, in voxels of `image`.

    Slicer markups (.mrk.json): points are foreground clicks, or background ones when their label or description ends in
    "-" or is "negative" or "background"; regions of interest are boxes. Our own .json. A .seg.nrrd written by this
    software or its Slicer extension replays its prompts. Raises OSError for no such file, ValueError for content that
    is none of these.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file of clicks: {path}; check the path")
    tags = _tags_of_segmentation(path) if path.name.lower().endswith(".nrrd") else {}
    content = _json_of(tags[PROMPTS_TAG].encode() if tags else path.read_bytes(), path)
    try:
        requests = _from_markups(content, image) if "markups" in content else _from_own(content, image)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{path.name} does not hold clicks as expected ({type(error).__name__}: {error}); "
            "save the markups from Slicer, or see `sam3dseg segment --help` for the JSON format"
        ) from error
    if not requests:
        raise ValueError(f"expected at least one placed click or box, received none: {path.name}")
    initial = _initial_mask(tags[INITIAL_TAG], image, path) if INITIAL_TAG in tags else None
    return Recording(tuple(requests), initial, str(content.get("initial_mask", "")))


def requests_as_json(requests: Sequence[Request], image: Image, *, initial_mask: str | None = None) -> str:
    """Requests as one line of our own JSON, in RAS mm; `initial_mask` names the file they started from."""
    asked = [Asked(tuple(_entry(p, image) for p in request.prompts), request.chosen) for request in requests]
    content = content_of(asked, space="ras")
    return as_line(content if initial_mask is None else {**content, "initial_mask": initial_mask})


def segment_metadata(
    mask: NDArray[np.bool_],
    *,
    name: str,
    prompts: str,
    initial: NDArray[np.bool_] | None = None,
    color: tuple[float, float, float] = DEFAULT_COLOR,
) -> dict[str, str]:
    """Header keys by which Slicer recognises a .seg.nrrd of one segment.

    Its prompts, and the mask (I, J, K) that they started from, are kept in segment tags.
    """
    tags = {PROMPTS_TAG: prompts}
    if initial is not None:
        tags[INITIAL_TAG] = CroppedMask.from_crop(initial, (0, 0, 0)).as_text()
    return segmentation_header(mask, [Segment(name, color, tags=tags)])


def _tags_of_segmentation(path: Path) -> Mapping[str, str]:
    """The tags of the first segment that keeps prompts. Raises ValueError when none does."""
    for segment in segments_of(path):
        if PROMPTS_TAG in segment.tags:
            return segment.tags
    raise ValueError(f"{path.name} keeps no clicks: expected a .seg.nrrd written by this software")


def _initial_mask(text: str, image: Image, path: Path) -> NDArray[np.bool_]:
    mask = CroppedMask.from_text(text)
    if any(o + n > size for o, n, size in zip(mask.offset, mask.shape, image.shape, strict=True)):
        raise ValueError(f"{path.name} started from a mask that does not fit {image.name}, shape {image.shape}")
    full = np.zeros(image.shape, dtype=bool)
    mask.paste_into(full)
    return full


def _json_of(content: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} is not JSON: expected Slicer markups or a file of clicks ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds a JSON {type(value).__name__}: expected an object with clicks or markups")
    return value


def _from_own(content: dict[str, Any], image: Image) -> list[Request]:
    space, version = str(content.get("space", "ras")).lower(), content.get("version", VERSION)
    if space not in ("ras", "ijk"):
        raise ValueError(f"expected the space of clicks to be 'ras' or 'ijk', received {space!r}")
    if version != VERSION:
        raise ValueError(f"expected version {VERSION} of the clicks' format, received {version!r}; update the software")
    at_ras = space == "ras"
    return [
        Request(tuple(_prompt(entry, image, at_ras=at_ras) for entry in asked.entries), asked.chosen)
        for asked in requests_in(content)
    ]


def _prompt(entry: dict[str, Any], image: Image, *, at_ras: bool) -> Click | Box:
    if "lower" not in entry:
        return Click(_voxel(entry["position"], image, at_ras=at_ras), bool(entry.get("foreground", True)))
    if at_ras:
        return box_at_ras(_point(entry["lower"]), _point(entry["upper"]), image)
    return Box(_voxel(entry["lower"], image, at_ras=False), _voxel(entry["upper"], image, at_ras=False))


def _entry(prompt: Click | Box, image: Image) -> dict[str, Any]:
    if isinstance(prompt, Click):
        return {"position": _ras(prompt.ijk, image), "foreground": bool(prompt.is_foreground)}
    return {"lower": _ras(prompt.lower_ijk, image), "upper": _ras(prompt.upper_ijk, image)}


def _from_markups(content: dict[str, Any], image: Image) -> list[Request]:
    """One request for each box, then for each point."""
    clicks: list[Click | Box] = []
    boxes: list[Click | Box] = []
    for markup in content["markups"]:
        space = str(markup.get("coordinateSystem", "LPS")).upper()
        if space not in ("LPS", "RAS", "0", "1"):
            raise ValueError(f"expected markups in LPS or RAS, received coordinate system {space!r}")
        to_ras = np.array([-1, -1, 1]) if space in ("LPS", "1") else np.ones(3)
        if markup["type"] == "ROI":
            boxes.append(_box_of_roi(markup, to_ras, image))
            continue
        for point in markup["controlPoints"]:
            if point.get("positionStatus", "defined") == "defined":
                clicks.append(
                    click_at_ras(_point(point["position"]) * to_ras, image, is_foreground=not _negative(point))
                )
    return [Request((prompt,)) for prompt in boxes + clicks]


def _negative(point: dict[str, Any]) -> bool:
    words = [str(point.get(key, "")).strip().lower() for key in ("label", "description")]
    return any(word.endswith("-") or word.startswith(NEGATIVE_WORDS) for word in words)


def _box_of_roi(markup: dict[str, Any], to_ras: NDArray, image: Image) -> Box:
    """The voxel box around a region of interest; an oblique region is enclosed."""
    axes = np.array(markup.get("orientation", np.eye(3).ravel()), dtype=np.float64).reshape(3, 3)
    half = axes * (_point(markup["size"]) / 2)  # columns: half edges
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners = image.ijk_of((_point(markup["center"]) + signs @ half.T) * to_ras)
    last = np.array(image.shape) - 1
    low, high = np.clip(np.ceil(corners.min(axis=0)), 0, last), np.clip(np.floor(corners.max(axis=0)), 0, last)
    return Box(_triple(low), _triple(high))


def _point(values: ArrayLike) -> NDArray[np.float64]:
    try:
        point = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        point = np.empty(0)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise ValueError(f"expected a position of three finite numbers, received {values!r}")
    return point


def _voxel(values: ArrayLike, image: Image, *, at_ras: bool) -> tuple[int, int, int]:
    point = _point(values)
    if at_ras:
        return _nearest_voxel(point, image)
    if (point != np.round(point)).any():
        raise ValueError(f"expected integer voxel indices (i, j, k), received {values!r}; round them first")
    return _triple(point)


def _nearest_voxel(ras: ArrayLike, image: Image) -> tuple[int, int, int]:
    return _triple(np.floor(image.ijk_of(_point(ras)) + 0.5 + 1e-6))  # ties go up, whatever the rounding error


def _triple(values: ArrayLike) -> tuple[int, int, int]:
    i, j, k = (int(value) for value in np.asarray(values))
    return i, j, k


def _ras(ijk: tuple[int, int, int], image: Image) -> list[float]:
    finer = math.ceil(-math.log10(min(image.spacing_mm)))  # microscopes have voxels of less than 0.001 mm
    return [round(float(value), DECIMALS + max(finer, 0)) for value in image.ras_of(ijk)]
