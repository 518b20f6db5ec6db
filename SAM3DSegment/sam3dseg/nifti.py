"""What ITK's reader says nothing of: NIfTI files that lack bytes or are damaged, and voxels that are no numbers."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES, HEADER_BYTES_2 = 348, 540
READ_BYTES = 2**20  # a multiple of every voxel's size
FLOATS = {16: "f4", 64: "f8"}  # data type code -> numpy's name


@dataclass(frozen=True)
class _Layout:
    """Where the voxels lie: bytes before the first, their number, bits of each; numpy's name of them if floats."""

    offset: int = 0
    count: int = 0
    bits: int = 0
    floats: str = ""

    @property
    def end(self) -> int:
        return self.offset + self.count * self.bits // 8


def missing_voxels(path: Path) -> NDArray[np.bool_] | None:
    """Which voxels are NaN or infinite, flat with the first axis fastest, or None without any: ITK reads them as 0.

    Raises ValueError when voxels are missing or the compressed file is damaged, which ITK fills up with zeros, and for
    NIfTI-2, which it cannot read.
    """
    with path.open("rb") as plain:
        is_compressed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if is_compressed else plain
        try:
            header = stream.read(HEADER_BYTES)
            layout = _layout_of(header, path.name)
            if is_compressed or layout.floats:  # reading to the end compares the checksum too
                received, missing = _scan(stream, len(header), layout)
            else:
                received, missing = path.stat().st_size, None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path.name} is damaged or cut off ({error}): get the file again") from error
    if received < layout.end:
        raise ValueError(
            f"{path.name} is cut off: expected {layout.end} bytes, received {received}; get the file again"
        )
    return missing


def _layout_of(header: bytes, name: str) -> _Layout:
    """What the header says; an empty layout for a file of another kind."""
    for order in "<>":
        kind = header[:4]
        if kind == struct.pack(f"{order}i", HEADER_BYTES_2):
            raise ValueError(f"expected NIfTI-1, received NIfTI-2 in {name}: convert it first")
        if kind == struct.pack(f"{order}i", HEADER_BYTES) and len(header) == HEADER_BYTES:
            dim = struct.unpack_from(f"{order}8h", header, 40)
            code, bits = struct.unpack_from(f"{order}2h", header, 70)
            (offset,) = struct.unpack_from(f"{order}f", header, 108)
            floats = f"{order}{FLOATS[code]}" if code in FLOATS else ""
            return _Layout(int(offset) if math.isfinite(offset) else 0, math.prod(dim[1 : 1 + dim[0]]), bits, floats)
    return _Layout()


def _scan(stream: BinaryIO, received: int, layout: _Layout) -> tuple[int, NDArray[np.bool_] | None]:
    """Read to the end: the bytes in all, and the voxels that are not finite."""
    received += len(stream.read(max(layout.offset - received, 0)))
    missing, first = None, 0
    while block := stream.read(READ_BYTES):
        received += len(block)
        if not layout.floats or first >= layout.count:
            continue
        kind = np.dtype(layout.floats)
        values = np.frombuffer(block, kind, count=min(len(block) // kind.itemsize, layout.count - first))
        finite = np.isfinite(values)
        if not finite.all():
            missing = np.zeros(layout.count, dtype=bool) if missing is None else missing
            missing[first : first + len(values)] = ~finite
        first += len(values)
    return received, missing
