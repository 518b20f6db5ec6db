"""One cached case: a file that holds it whole, says what it was made from, and can be looked at without reading it."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3dseg.atomic import replacing
from sam3dseg.geometry import Grid
from sam3dseg.imageio import Image

LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip member: lengths of its name and of its extra field
BLOCK = 2**20
UNREADABLE = (  # what numpy, zipfile and zlib raise for a damaged file
    OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error
)  # fmt: skip


class DamagedEntryError(ValueError):
    """A cache file that cannot be read."""


@dataclass(frozen=True, slots=True)
class StructureBox:
    """Where a structure lies: its label values, first and last canonical voxel per axis, and its voxel count."""

    values: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    voxels: int


@dataclass(frozen=True)
class CachedCase:
    """A case in canonical orientation: image (R, A, S) of its stored type, labels (R, A, S) uint8 or uint16.

    affine_ras: (4, 4), canonical voxel -> RAS mm. structures: name -> box. source: the files and settings it was made
    from. warnings: what is worth knowing about it.
    """

    key: str
    image: NDArray
    labels: NDArray
    spacing_mm: tuple[float, ...]
    affine_ras: NDArray[np.float64]
    structures: Mapping[str, StructureBox]
    source: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        return Grid(tuple(self.image.shape), self.spacing_mm)

    def mask(self, structure: str, region: tuple[slice, ...] = (slice(None),) * 3) -> NDArray[np.bool_]:
        """The structure's voxels, bool, in the whole grid or a region of it."""
        return mask_of(self.labels[region], self.structures[structure].values)

    def as_image(self) -> Image:
        """The case with its place in the patient."""
        i, j, k = self.spacing_mm
        direction = self.affine_ras[:3, :3] / np.array(self.spacing_mm)
        return Image(self.image, (i, j, k), direction, self.affine_ras[:3, 3], self.key)


def mask_of(labels: NDArray, values: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where labels are one of values."""
    mask = labels == values[0]
    for value in values[1:]:
        mask |= labels == value
    return mask


def write_entry(path: Path, case: CachedCase) -> None:
    """Write a case to `path` (.npz, not compressed, so that parts of it can be mapped) in one step."""
    about = {
        "key": case.key,
        "spacing_mm": case.spacing_mm,
        "structures": {
            name: {"values": box.values, "low": box.low, "high": box.high, "voxels": box.voxels}
            for name, box in case.structures.items()
        },
        "source": dict(case.source),
        "warnings": case.warnings,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        np.savez(
            temporary,
            image=case.image,
            labels=case.labels,
            affine_ras=case.affine_ras,
            about=np.array(json.dumps(about)),
        )


def read_entry(path: Path, *, mapped: bool = False) -> CachedCase:
    """Read a case; with mapped, voxels stay on disk until they are used, and damage to them goes unnoticed.

    Raises DamagedEntryError for a missing, cut or changed file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            affine = archive["affine_ras"]
            read = partial(_map_member, path, archive.zip) if mapped else archive.__getitem__
            image, labels = read("image"), read("labels")
        structures = {
            name: StructureBox(tuple(box["values"]), tuple(box["low"]), tuple(box["high"]), box["voxels"])
            for name, box in about["structures"].items()
        }
        return CachedCase(
            key=about["key"],
            image=image,
            labels=labels,
            spacing_mm=tuple(about["spacing_mm"]),
            affine_ras=affine,
            structures=structures,
            source=about["source"],
            warnings=tuple(about["warnings"]),
        )
    except UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedEntryError(
            f"cache entry {path} is damaged ({reason}); run sam3dseg-train prepare again with the same options: it "
            "rebuilds what is damaged"
        ) from error


def source_of(image: Path, label: Path, settings: str, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Path, size, time and SHA-256 of the two files, and the digest of the settings.

    The hashes are taken from `known` while size and time are equal. Raises OSError when a file cannot be read.
    """
    source: dict[str, Any] = {"settings": settings}
    for role, path in (("image", image), ("label", label)):
        stat = path.stat()
        facts = {"path": str(path), "bytes": stat.st_size, "changed_ns": stat.st_mtime_ns}
        before = (known or {}).get(role, {})
        same = all(before.get(name) == facts[name] for name in ("bytes", "changed_ns"))
        source[role] = {**facts, "sha256": before["sha256"] if same and "sha256" in before else _sha256(path)}
    return source


def same_source(known: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Whether two sources have equal files, wherever they lie and whenever they were written, and equal settings."""
    same_files = all(known.get(role, {}).get("sha256") == source[role]["sha256"] for role in ("image", "label"))
    return same_files and known.get("settings") == source["settings"]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _map_member(path: Path, archive: zipfile.ZipFile, member: str) -> NDArray:
    """Array of a stored (not compressed) member, mapped read-only."""
    info = archive.getinfo(f"{member}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member} is compressed")
    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        lengths = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
        stream.seek(info.header_offset + LOCAL_HEADER.size + sum(lengths))
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read_header(stream)
        offset = stream.tell()
    return np.memmap(str(path), dtype, "r", offset, shape, "F" if is_fortran else "C")
