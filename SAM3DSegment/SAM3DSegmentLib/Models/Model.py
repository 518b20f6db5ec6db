"""What is known of each model that can be chosen, read from this computer alone. No Qt, no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sam3dseg import catalogue
from sam3dseg.families import CLICKS_3D, PROPOSALS

from .ModelTransfer import RUNNING, ModelTransfer
from .WeightsFile import WeightsFile, inspectWeights

EMBEDDED, CATALOGUE, OWN = "embedded", "catalogue", "own"  # kinds; "embedded" is also the key of the one model
READY, ABSENT, PARTIAL, TRANSFERRING = "ready", "absent", "partial", "transferring"  # states
MISSING, DAMAGED = "missing", "damaged"
WEIGHTS_FOLDER = Path(__file__).parents[2] / "Resources" / "Weights"
CITATION = "SAM3DSegment contributors, SAM3DSegment, https://github.com/SAM3DSegment/SAM3DSegment"


@dataclass(frozen=True)
class Model:
    """One choice. key is what `load_segmenter` takes: "embedded", a catalogue name, or the path of an own file.

    family is one of sam3dseg.families, empty where only loading the file can tell.
    """

    key: str
    kind: str
    state: str
    title: str
    purpose: str = ""
    sizeBytes: int | None = None
    licence: str = ""
    citation: str = ""
    url: str = ""
    note: str = ""  # what is wrong
    weights: WeightsFile | None = None  # of an own file, what it says of itself
    family: str = CLICKS_3D

    @property
    def isUsable(self) -> bool:
        return self.state == READY

    @property
    def isForClicks(self) -> bool:
        """Whether it answers clicks; the others propose."""
        return self.family != PROPOSALS


def embeddedModel() -> Model:
    common = {"licence": "Apache-2.0", "citation": CITATION, "purpose": "any structure; small and quick on a CPU"}
    found = sorted(WEIGHTS_FOLDER.glob("*.safetensors"))
    if len(found) != 1:
        return Model(EMBEDDED, EMBEDDED, MISSING, "Embedded", note=f"not found in {WEIGHTS_FOLDER}", **common)
    return Model(EMBEDDED, EMBEDDED, READY, "Embedded", sizeBytes=found[0].stat().st_size, **common)


def catalogueModel(entry: catalogue.Entry, transfer: ModelTransfer | None) -> Model:
    place, size, note = catalogue.place_of(entry), None, ""
    if transfer is not None and transfer.state == RUNNING:
        state = TRANSFERRING
    elif place.is_file():
        state, size = READY, place.stat().st_size
        expected = catalogue.recorded(entry).get("bytes")
        if expected is not None and expected != size:
            state, note = DAMAGED, f"expected {expected} bytes, found {size}; remove it and download it again"
    else:
        state = PARTIAL if place.with_name(place.name + ".part").is_file() else ABSENT
        note = transfer.error if transfer is not None else ""
    if size is None and entry.size_mb is not None:
        size = entry.size_mb * 1_000_000
    return Model(
        key=entry.name,
        kind=CATALOGUE,
        state=state,
        title=entry.name,
        purpose=entry.purpose,
        sizeBytes=size,
        licence=entry.licence,
        citation=entry.citation,
        url=entry.url,
        note=note,
        family=entry.family,
    )


def ownModel(path: str) -> Model:
    title = Path(path).name
    try:
        weights = _inspected(path, _stamp(path))
    except ValueError as error:
        return Model(path, OWN, DAMAGED if Path(path).is_file() else MISSING, title, note=str(error))
    note = ""
    if weights.isAdapter and weights.base in _absentModels():
        note = f"needs the model {weights.base}, which is not on this computer: download it first"
    return Model(
        path,
        OWN,
        READY,
        title,
        sizeBytes=weights.sizeBytes,
        licence=weights.licence,
        note=note,
        weights=weights,
        family=weights.family,
    )


def _absentModels() -> set[str]:
    return {entry.name for entry in catalogue.ENTRIES if not catalogue.is_installed(entry)}


def _stamp(path: str) -> tuple[int, int]:
    """Changes when the file does."""
    try:
        status = Path(path).stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _inspected(path: str, stamp: tuple[int, int]) -> WeightsFile:
    """Read again only when the file has changed."""
    return inspectWeights(path)
