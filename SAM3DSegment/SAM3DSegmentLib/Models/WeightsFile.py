"""What a weights file says about itself, read without PyTorch and without executing anything."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sam3dseg.families import FAMILIES

ENDINGS = (".safetensors", ".pth", ".pt")
LARGEST_HEADER = 100_000_000  # bytes, the limit of the safetensors format
LARGEST_PICKLE = 16_000_000  # bytes of names and shapes in a .pth file that are looked at


@dataclass(frozen=True)
class WeightsFile:
    """A complete weights file. architecture is empty where only loading it can tell.

    base: of an adapter, the model that it belongs to. provenance: the model card in the header.
    """

    path: Path
    sizeBytes: int
    architecture: str = ""
    isAdapter: bool = False
    base: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """What it is for, as in sam3dseg.families; empty where only loading it can tell."""
        return FAMILIES.get(self.architecture, "")

    @property
    def licence(self) -> str:
        return str(self.provenance.get("licence", ""))

    @property
    def data(self) -> tuple[str, ...]:
        """Names of what it was trained on."""
        listed = self.provenance.get("data", ())
        listed = listed if isinstance(listed, list) else [listed] if listed else []
        return tuple(str(entry.get("name", "")) if isinstance(entry, dict) else str(entry) for entry in listed)

    @property
    def metrics(self) -> tuple[tuple[str, float], ...]:
        """What was measured, by name."""
        listed = self.provenance.get("metrics", {})
        pairs = listed.items() if isinstance(listed, dict) else ()
        return tuple((str(name), float(value)) for name, value in pairs if isinstance(value, int | float))


def inspectWeights(path: str | Path) -> WeightsFile:
    """Look at the head of a .safetensors, .pth or .pt file.

    Raises ValueError with the remedy when the file is missing, cut off, or of another kind. Whether the network is
    known is decided by the engine when it loads the file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no weights file at {path}: expected one ending in {', '.join(ENDINGS)}; choose another file")
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        if start.startswith(b"PK\x03\x04"):
            if not zipfile.is_zipfile(path):  # the table at its end is missing
                raise _incomplete(path)
            return WeightsFile(path, size, architecture=_architectureOf(_pickleIn(path)))
        isHeaderLength = start[4:] == bytes(4)  # of the safetensors format, and it may begin with the same byte
        if start.startswith(b"\x80") and not isHeaderLength:  # the older, bare form of torch.save
            return WeightsFile(path, size)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or not 2 <= length <= LARGEST_HEADER:
            raise ValueError(f"{path.name} is no weights file: expected {', '.join(ENDINGS)}; choose another file")
        header = _header(stream.read(length), length, path)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    ends = [entry["data_offsets"][1] for entry in tensors.values()]
    if 8 + length + max(ends, default=0) != size:
        raise _incomplete(path)
    metadata = header.get("__metadata__", {})
    provenance = _object(metadata.get("provenance", "{}"))
    return WeightsFile(
        path,
        size,
        architecture=str(metadata.get("architecture", "")) or _architectureOf(" ".join(tensors).encode()),
        isAdapter="adapter" in metadata or any("lora_" in name for name in tensors),
        base=str(metadata.get("base", "") or provenance.get("base", "")),
        provenance=provenance,
    )


def _pickleIn(path: Path) -> bytes:
    """The pickled names of a .pth file, as they are: nothing is unpickled."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith("data.pkl") and entry.file_size <= LARGEST_PICKLE:
                return archive.read(entry)
    return b""


def _architectureOf(names: bytes) -> str:
    """The architecture of a published checkpoint, by the names of its tensors; SAM's has no relative depth."""
    if b"image_encoder.blocks.0.attn.rel_pos_h" not in names:
        return ""
    return "sam_med3d_vit_b_ori" if b"image_encoder.blocks.0.attn.rel_pos_d" in names else "sam"


def _header(raw: bytes, length: int, path: Path) -> dict[str, Any]:
    if len(raw) < length:
        raise _incomplete(path)
    try:
        header = json.loads(raw)
    except (UnicodeDecodeError, json.JSONDecodeError):
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{path.name} is no weights file: expected {', '.join(ENDINGS)}; choose another file")
    return header


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _incomplete(path: Path) -> ValueError:
    return ValueError(f"{path.name} is incomplete: expected more bytes than it has; copy or download it again")
