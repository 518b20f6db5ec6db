"""The files that a segmentation leaves: checked before the work, written after it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .atomic import check_output
from .imageio import MASK_SUFFIXES, Image, write_mask
from .preview import PREVIEW_SUFFIXES, write_preview
from .promptfiles import requests_as_json, segment_metadata
from .prompts import Box, Click, Request
from .proposals.structures import StructureClass
from .segmentation_file import DEFAULT_COLOR, Segment, is_segmentation, segmentation_header
from .surface import SURFACE_SUFFIXES, surface_of, write_surface


@dataclass(frozen=True)
class Outputs:
    """Where masks, surfaces and pictures go, and the segment's name and colour (red, green, blue in 0 to 1)."""

    masks: tuple[Path, ...] = ()
    surfaces: tuple[Path, ...] = ()
    previews: tuple[Path, ...] = ()
    name: str = "Segment"
    color: tuple[float, float, float] = DEFAULT_COLOR

    def check(self, *, inputs: Sequence[Path] = ()) -> None:
        """Raise ValueError or OSError now for what could not be written later, or would overwrite one of `inputs`."""
        _check(self, inputs)

    def write(
        self,
        image: Image,
        mask: NDArray[np.bool_],
        *,
        requests: Sequence[Request],
        initial: NDArray[np.bool_] | None = None,
        initial_name: str | None = None,
    ) -> list[Path]:
        """Write all files, each whole or not at all; gives their paths.

        requests: what was asked, kept in .seg.nrrd files, as is the mask `initial` that they started from.
        A file that cannot be written does not keep the others from being written; then the OSError of the first such
        file is raised, which names those. Raises ValueError for an empty mask.
        """
        if not mask.any():
            raise ValueError(
                "the mask is empty, nothing was written: expected the clicks to lie on a visible structure; "
                "move them inside it or add a box"
            )
        said = [prompt for request in requests for prompt in request.prompts]
        clicks, boxes = [p for p in said if isinstance(p, Click)], [p for p in said if isinstance(p, Box)]
        prompts = requests_as_json(requests, image, initial_mask=initial_name)
        metadata = segment_metadata(mask, name=self.name, prompts=prompts, initial=initial, color=self.color)
        title = f"{self.name} · {image.name}"
        surface = surface_of(mask, image) if self.surfaces else None
        writers: dict[Path, Callable[[Path], None]] = {}
        for path in self.masks:
            header = metadata if is_segmentation(path) else None
            writers[path] = partial(write_mask, mask=mask, image=image, metadata=header)
        if surface is not None:
            writers |= {path: partial(write_surface, surface=surface) for path in self.surfaces}
        picture = partial(write_preview, image=image, mask=mask, clicks=clicks, boxes=boxes, title=title)
        return _write_all({**writers, **dict.fromkeys(self.previews, picture)})


@dataclass(frozen=True)
class LabelOutputs:
    """Where proposals go. only: names of the structures to keep, all when empty; labels keep their numbers.

    Of several structures, each has a surface of its own, with -NAME before the suffix.
    """

    masks: tuple[Path, ...] = ()
    surfaces: tuple[Path, ...] = ()
    previews: tuple[Path, ...] = ()
    only: tuple[str, ...] = ()

    def check(self, *, inputs: Sequence[Path] = ()) -> None:
        """Raise ValueError or OSError now for what could not be written later, or would overwrite one of `inputs`."""
        _check(self, inputs)

    def kept(self, structures: Sequence[StructureClass]) -> dict[int, StructureClass]:
        """The wanted structures by their numbers; raises ValueError for a name that is none of them."""
        names = [structure.name for structure in structures]
        for name in self.only:
            if name not in names:
                raise ValueError(f"no structure {name!r} in this model: expected one of {', '.join(names)}")
        numbered = dict(enumerate(structures, start=1))
        return {n: structure for n, structure in numbered.items() if not self.only or structure.name in self.only}

    def write(self, image: Image, labels: NDArray[np.uint8], structures: Sequence[StructureClass]) -> list[Path]:
        """Write all files, each whole or not at all; gives their paths.

        labels (I, J, K): n is structures[n - 1]. Structures found nowhere have a segment, but no surface.
        A file that cannot be written does not keep the others from being written; then OSError as `Outputs` does.
        Raises ValueError when there is nothing of any structure.
        """
        kept = self.kept(structures)
        labels = np.where(np.isin(labels, list(kept)), labels, 0).astype(np.uint8)
        present = [n for n in kept if (labels == n).any()]
        if not present:
            raise ValueError(
                f"nothing was found, and nothing written: expected {', '.join(s.name for s in kept.values())} in "
                f"{image.name}; give an image like those that the model was trained on"
            )
        header = segmentation_header(labels, [Segment(s.name, s.color, label=n) for n, s in kept.items()])
        writers: dict[Path, Callable[[Path], None]] = {}
        for path in self.masks:
            metadata = header if is_segmentation(path) else None
            writers[path] = partial(write_mask, mask=labels, image=image, metadata=metadata)
        for number in present if self.surfaces else ():
            surface = surface_of(labels == number, image)
            for path in self.surfaces:
                place = path if len(kept) == 1 else _named(path, number, kept)
                writers[place] = partial(write_surface, surface=surface)
        picture = partial(write_preview, image=image, mask=labels, structures=structures, title=image.name)
        return _write_all({**writers, **dict.fromkeys(self.previews, picture)})


def _check(outputs: Outputs | LabelOutputs, inputs: Sequence[Path]) -> None:
    for paths, suffixes in (
        (outputs.masks, MASK_SUFFIXES),
        (outputs.surfaces, SURFACE_SUFFIXES),
        (outputs.previews, PREVIEW_SUFFIXES),
    ):
        for path in paths:
            check_output(path, suffixes)
            if path.exists() and any(other.exists() and path.samefile(other) for other in inputs):
                raise ValueError(f"{path} would overwrite an input: choose another name for the output")


def _write_all(writers: Mapping[Path, Callable[[Path], None]]) -> list[Path]:
    """Call each writer with its path; what fails is reported when all others are written."""
    written: list[Path] = []
    failed: list[OSError] = []
    for path, write in writers.items():
        try:
            write(path)
            written.append(path)
        except OSError as error:
            failed.append(error)
    if failed:
        others = f"; written: {', '.join(map(str, written))}" if written else ""
        raise type(failed[0])(f"{failed[0]}{others}") from failed[0]
    return written


def _named(path: Path, number: int, kept: Mapping[int, StructureClass]) -> Path:
    """The path with the structure's name, as file names can have it, before the suffix."""
    words = {n: re.sub(r"[^\w.]+", "_", structure.name).strip("_") for n, structure in kept.items()}
    word = words[number]
    unique = word and list(words.values()).count(word) == 1
    return path.with_name(f"{path.stem}-{word if unique else number}{path.suffix}")
