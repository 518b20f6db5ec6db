"""The slices of one volume as a slice model takes them: pictures in, prompts in its pixels, logits back as pictures."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..geometry import Grid
from ..protocol import SliceSegmenter
from .preprocessing import (
    SliceInput,
    logits_to_picture,
    mask_to_logits,
    slice_input,
    to_8_bit,
    volume_window,
)
from .view import SliceView


class SlicePictures:
    """Slices across one axis of a canonical volume; picture coordinates are those of `SliceView`.

    Raises ValueError for slices of a single row or column.
    """

    def __init__(
        self, segmenter: SliceSegmenter, image: NDArray, grid: Grid, *, axis: int, modality: str = "auto"
    ) -> None:
        view = SliceView(axis, 0)
        self.axis, self.grid, self.count = axis, grid, grid.shape[axis]
        self.shape = view.shape(grid.shape)
        self.pixel_mm = view.pixel_mm(grid.spacing_mm)
        if min(self.shape) < 2:
            raise ValueError(
                f"expected {view.orientation} slices of at least two rows and columns, received {self.shape[0]} x "
                f"{self.shape[1]} pixels; choose another orientation"
            )
        self._segmenter, self._image, self._modality = segmenter, image, modality

    @cached_property
    def window(self) -> tuple[float, float]:
        """Lowest and highest intensity of the volume's 8 bit version."""
        return volume_window(self._image, self._modality)

    @cached_property
    def _frame(self) -> SliceInput:
        """How every slice of the volume lies in the model's square."""
        return self._input(np.zeros(self.shape, np.uint8))

    def encode(self, index: int) -> Any:
        """The embedding of slice `index`."""
        picture = SliceView(self.axis, index).picture(self._image)
        return self._segmenter.encode(self._input(to_8_bit(picture, self.window)).values)

    def points(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Pixels (N, 2) of a picture -> the same places, their centres, in pixels of the model's square."""
        places = np.asarray(xy, np.float64).reshape(-1, 2)
        return self._frame.to_input(places + 0.5) - 0.5

    def box(self, corners: ArrayLike, *, margin: float = 0.0) -> NDArray[np.float64]:
        """Pixels (x0, y0, x1, y1), included -> that box, its outer edges, in pixels of the model's square.

        margin: by which it is widened on every side, within the picture, as a share of the square's side.
        """
        edges = self._frame.box_to_input(corners)
        pixels = margin * self._segmenter.image_size
        rows, columns = self._frame.filled
        return np.clip(edges + np.array([-1, -1, 1, 1]) * pixels, 0, (columns, rows, columns, rows))

    def logits(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw logits (n, n) of the model's square -> logits (rows, columns) of the picture."""
        return logits_to_picture(logits, self._frame, self.shape)

    def as_logits(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """A mask (rows, columns) as an earlier answer (n, n) of the model."""
        return mask_to_logits(mask, self._frame, self._segmenter.logits_size)

    def pixel_of_cell(self, column: int, row: int, *, cells: int) -> tuple[float, float]:
        """A cell of raw logits (cells, cells) -> the pixel (x, y), inside the picture, that its centre lies in."""
        center = (np.array([column, row]) + 0.5) * self._segmenter.image_size / cells
        x, y = np.clip(self._frame.to_picture(center) - 0.5, 0, np.array(self.shape[::-1]) - 1)
        return float(x), float(y)

    def _input(self, picture: NDArray[np.uint8]) -> SliceInput:
        return slice_input(picture, self.pixel_mm, self._segmenter.image_size, self._segmenter.preprocessing)
