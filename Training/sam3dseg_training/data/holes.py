"""NaN and infinite voxels of NIfTI files, which their readers turn into zeros without a word."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np

HEADERS = {348: ("h", 40, 70, "f", 108), 540: ("q", 16, 12, "q", 168)}  # size -> type and place of dim, type, offset
FLOATS = {16: "f4", 64: "f8"}


def nifti_holes(path: Path) -> int:
    """Voxels of a NIfTI file that are not finite; 0 for other files and for integers.

    The file is expected to be whole: `read_image` has refused it otherwise.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return 0
    with path.open("rb") as plain:
        is_compressed = plain.read(2) == b"\x1f\x8b"
    with gzip.open(path) if is_compressed else path.open("rb") as stream:
        header = stream.read(540)
        order = "<" if struct.unpack_from("<i", header)[0] in HEADERS else ">"
        dim_type, dim_at, type_at, offset_type, offset_at = HEADERS[struct.unpack_from(f"{order}i", header)[0]]
        kind = FLOATS.get(struct.unpack_from(f"{order}h", header, type_at)[0])
        if kind is None:
            return 0
        dim = struct.unpack_from(f"{order}8{dim_type}", header, dim_at)
        stream.seek(int(struct.unpack_from(f"{order}{offset_type}", header, offset_at)[0]))
        count = math.prod(dim[1 : 1 + dim[0]])
        values = np.frombuffer(stream.read(count * int(kind[1])), dtype=order + kind)
        return int(values.size - np.count_nonzero(np.isfinite(values)))
