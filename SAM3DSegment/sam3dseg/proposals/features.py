"""From a volume to the features that SAM-3D decodes: resampling, scaling of intensities, encoding slice by slice.

Slices lie one behind the other along axis 0 (D), their rows and columns (H, W) as `slice_view` shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..preprocessing import NORMALISATIONS, extract_block, normalise
from ..slices.preprocessing import METHODS, PIXEL_DEVIATION, PIXEL_MEAN, volume_window
from ..slices.view import SliceView
from ..windows import Block
from .label_grid import part_of

MULTIPLES = {"sam": (1, 16, 16), "medsam": (1, 16, 16), "robust_rank": (16,) * 3, "zscore_positive": (128,) * 3}
BATCH_PIXELS = 2**18  # encoded together
EMPTY = (1, 1, 1)


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """How volumes are cut: canonical axis across the slices, sample spacing of (slice, row, column), normalisation.

    "sam" and "medsam" scale a whole volume as for 8 bit and give each slice as SAM or MedSAM takes it; the methods of
    `preprocessing.normalise` are for encoders of volumes. Raises ValueError for anything else.
    """

    axis: int = 2
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    normalisation: str = "sam"

    def __post_init__(self) -> None:
        if self.axis not in (0, 1, 2):
            raise ValueError(f"axis must be 0 (sagittal), 1 (coronal) or 2 (axial), got {self.axis!r}")
        if self.normalisation not in MULTIPLES:
            raise ValueError(f"normalisation must be one of {', '.join(MULTIPLES)}, got {self.normalisation!r}")
        if len(self.spacing_mm) != 3 or not all(0 < value < np.inf for value in self.spacing_mm):
            raise ValueError(f"spacing_mm must be three positive finite numbers, got {self.spacing_mm!r}")

    @classmethod
    def from_config(cls, content: Mapping[str, Any]) -> VolumePlan:
        """The inverse of `as_config`; raises ValueError for entries that are missing or none of a plan."""
        try:
            return cls(**{**content, "spacing_mm": tuple(float(value) for value in content["spacing_mm"])})
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"the plan of a SAM-3D model must have axis, spacing_mm and normalisation, got {dict(content)!r}"
            ) from error

    def as_config(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "spacing_mm": list(self.spacing_mm)}

    @property
    def order(self) -> tuple[int, int, int]:
        """Canonical axes along slices, rows and columns."""
        columns, rows = SliceView(self.axis, 0).plane
        return self.axis, rows, columns

    def turned(self, volume: NDArray) -> NDArray:
        """Canonical (R, A, S) -> view (slices, rows, columns) of the same memory."""
        return volume.transpose(self.order)[:, ::-1, ::-1]

    def turned_back(self, slices: NDArray) -> NDArray:
        """The inverse of `turned`, a view too."""
        return slices[:, ::-1, ::-1].transpose(np.argsort(self.order))

    def block(self, shape: Sequence[int], spacing_mm: Sequence[float], *, at_least: Sequence[int] = EMPTY) -> Block:
        """The samples that cover a canonical volume, in the order of the slices.

        Each axis has `at_least` as many, and a multiple of what the encoder needs: those beyond the samples that cover
        the image, middle on middle, lie half on either side of it.
        """
        centers, sizes = [], []
        for place, axis in enumerate(self.order):
            step = self.spacing_mm[place] / spacing_mm[axis]
            count = max(int(np.ceil(shape[axis] / step - 1e-3)), 1)
            multiple = MULTIPLES[self.normalisation][place]
            size = -(-max(count, at_least[place]) // multiple) * multiple
            centers.append((shape[axis] - 1) / 2 + (size - count) % 2 / 2 * step)
            sizes.append(size)
        return Block(tuple(centers), self.spacing_mm, tuple(sizes))


class SlicedVolume:
    """A canonical volume as the slices of a plan, made when asked for: `volume[a:b]` is (b - a, C, H, W) float32.

    block, spacing_mm: the samples and the image's spacing, in the order of the slices.
    at_least: samples of each axis; what lies outside the image is zero after normalisation. C is 3, for encoders of
    volumes 1 or 2. Raises ValueError for slices of one row or column.
    """

    def __init__(
        self, image: NDArray, spacing_mm: Sequence[float], plan: VolumePlan, *, at_least: Sequence[int] = EMPTY
    ) -> None:
        self.plan = plan
        self.block = plan.block(image.shape, spacing_mm, at_least=at_least)
        self._turned = plan.turned(image)
        self.spacing_mm = tuple(spacing_mm[axis] for axis in plan.order)
        rows, columns = self._turned.shape[1:]
        if min(rows, columns) < 2:
            raise ValueError(
                f"expected slices of at least 2 x 2 voxels across canonical axis {plan.axis}, got {rows} x {columns}; "
                "load the whole volume, or use a model that was trained for another orientation"
            )
        self._range = volume_window(image) if plan.normalisation in METHODS else (0.0, 0.0)
        self._whole: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """D, H, W."""
        depth, height, width = self.block.shape
        return depth, height, width

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Voxels of the image in the order of the slices."""
        return self._turned.shape

    def __len__(self) -> int:
        return self.block.shape[0]

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        begin, end, _ = part.indices(len(self))
        if self.plan.normalisation in NORMALISATIONS:  # the intensities of all samples count
            if self._whole is None:
                values, valid = extract_block(self._turned, self.spacing_mm, self.block, antialias=True)
                self._whole = normalise(values, valid, self.plan.normalisation).swapaxes(0, 1)  # (D, C, H, W)
            return self._whole[begin:end]
        block = part_of(self.block, begin, end, self.spacing_mm)
        values, valid = extract_block(self._turned, self.spacing_mm, block, antialias=True)
        return _as_pictures(values, valid, self._range, self.plan.normalisation)


def _as_pictures(
    values: NDArray[np.float32], valid: NDArray[np.bool_] | None, limits: tuple[float, float], method: str
) -> NDArray[np.float32]:
    """Intensities (n, H, W) -> three channels (n, 3, H, W), zero outside the image."""
    low, high = limits
    level = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    if method == "sam":
        pictures = (255 * level[:, None] - PIXEL_MEAN.reshape(3, 1, 1)) / PIXEL_DEVIATION.reshape(3, 1, 1)
    else:
        pictures = np.repeat(_stretched(level, valid)[:, None], 3, axis=1)
    if valid is not None:
        pictures *= valid[:, None]
    return pictures.astype(np.float32, copy=False)


def _stretched(level: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Each slice's lowest and highest value become 0 and 1, as MedSAM has them."""
    inside = np.ones(level.shape, bool) if valid is None else valid
    lowest = level.min(axis=(1, 2), keepdims=True, where=inside, initial=1.0)
    highest = level.max(axis=(1, 2), keepdims=True, where=inside, initial=0.0)
    return (level - lowest) / np.maximum(highest - lowest, 1e-8)


@torch.no_grad()
def features_of(
    network: Any,
    slices: SlicedVolume | NDArray[np.float32] | Tensor,
    *,
    flips: Sequence[int] = (),
    check: Callable[[], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Slices (D, C, H, W) -> features (C', D, H/16, W/16) of a `Sam3D`, float32 on its device.

    flips: axes along which the volume is mirrored before it is encoded: 1 (rows), 2 (columns), 0 for encoders of
    volumes; the features are those of the mirrored volume. check is called before every encoding and may raise;
    on_progress gets slices done and in all.
    """
    device = next(network.parameters()).device
    count = len(slices)
    step = count
    if network.encodes_slices:
        step = max(1, BATCH_PIXELS // int(np.prod(slices.shape[-2:])))
    parts = []
    for begin in range(0, count, step):
        if check:
            check()
        batch = torch.as_tensor(np.ascontiguousarray(slices[begin : begin + step]), device=device)
        flipped = batch.flip([axis + (axis > 0) for axis in flips]) if flips else batch
        parts.append(network.encode_slices(flipped).float())
        if on_progress:
            on_progress(min(begin + step, count), count)
    return torch.cat(parts, dim=1)
