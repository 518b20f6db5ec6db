"""Signed distance fields of a case's structures, in mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sam3dseg.atomic import replacing

from .entries import UNREADABLE, CachedCase, DamagedEntryError

LIMIT_MM = 100.0  # half precision is still finer than 0.1 mm there


def signed_distance(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float32]:
    """Euclidean distance in mm to the surface of a bool mask (I, J, K), negative inside.

    As in DeepSDF (Park et al. 2019). Measured between voxel centres, less half the finest spacing on either side, so
    that the surface lies midway between the last voxel inside and the first outside. Clipped to ±LIMIT_MM; an empty
    mask gives LIMIT_MM everywhere.
    """
    if not mask.any():
        return np.full(mask.shape, LIMIT_MM, dtype=np.float32)
    half = min(spacing_mm) / 2
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm) if not mask.all() else LIMIT_MM
    signed = np.where(mask, half - inside, outside - half)
    return np.clip(signed, -LIMIT_MM, LIMIT_MM).astype(np.float32)


def write_distances(path: Path, case: CachedCase) -> None:
    """Write the fields of all structures, float16 (R, A, S), in one step; members are s0, s1 … in order of `names`."""
    fields = {
        f"s{index}": signed_distance(case.mask(name), case.spacing_mm).astype(np.float16)
        for index, name in enumerate(case.structures)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        np.savez_compressed(temporary, names=np.array(list(case.structures)), **fields)


def read_distances(path: Path) -> dict[str, NDArray[np.float16]]:
    """Structure name -> field (R, A, S) in mm. Raises DamagedEntryError when the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {str(name): archive[f"s{index}"] for index, name in enumerate(archive["names"])}
    except UNREADABLE as error:
        raise DamagedEntryError(
            f"signed distances {path} cannot be read ({error}); run prepare sdf=true again"
        ) from error
