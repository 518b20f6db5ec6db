"""The files that a segmentation leaves: checked before the work, written after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .atomic import check_output
from .imageio import MASK_SUFFIXES, Image, write_mask
from .preview import PREVIEW_SUFFIXES, write_preview
from .promptfiles import DEFAULT_COLOR, requests_as_json, segment_metadata
from .prompts import Box, Click, Request
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
        kinds = ((self.masks, MASK_SUFFIXES), (self.surfaces, SURFACE_SUFFIXES), (self.previews, PREVIEW_SUFFIXES))
        for paths, suffixes in kinds:
            for path in paths:
                check_output(path, suffixes)
                if path.exists() and any(other.exists() and path.samefile(other) for other in inputs):
                    raise ValueError(f"{path} would overwrite an input: choose another name for the output")

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
        written: list[Path] = []
        failed: list[OSError] = []
        for path in (*self.masks, *self.surfaces, *self.previews):
            try:
                if path in self.previews:
                    write_preview(path, image, mask, clicks=clicks, boxes=boxes, title=title)
                elif surface is not None and path in self.surfaces:
                    write_surface(path, surface)
                else:
                    is_segmentation = path.name.lower().endswith(".seg.nrrd")
                    write_mask(path, mask, image, metadata=metadata if is_segmentation else None)
                written.append(path)
            except OSError as error:
                failed.append(error)
        if failed:
            others = f"; written: {', '.join(map(str, written))}" if written else ""
            raise type(failed[0])(f"{failed[0]}{others}") from failed[0]
        return written
