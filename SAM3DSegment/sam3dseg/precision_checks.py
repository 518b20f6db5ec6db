"""Which precision a check of a model found good on this computer, kept from one start to the next.

A record holds for the same weights, processor, PyTorch and version of this software; where anything differs, or nothing
was checked, float32 is used.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from . import __version__, catalogue
from .atomic import replacing
from .checkpoint import Checkpoint
from .machine import processor_name
from .placement import Placement, placements_for

log = logging.getLogger(__name__)

FOLDER = "checks"  # beside the models
REFERENCE = "float32"
BARS = {"compact": 0.995}  # smallest Dice that counts as agreement, by architecture
BAR = 0.99  # for the others
WORTHWHILE = 0.95  # of the time in float32: what gains less stays in float32


@dataclass(frozen=True, slots=True)
class Measured:
    """What one precision cost and gave: seconds (medians), and Dice of its masks against those of float32."""

    precision: str
    encode_s: float
    click_s: float
    dice_smallest: float = 1.0
    dice_median: float = 1.0
    masks: int = 0

    @property
    def seconds(self) -> float:
        """Of a first click."""
        return self.encode_s + self.click_s


@dataclass(frozen=True, slots=True)
class Check:
    """The precisions measured for one model on one processor, float32 first."""

    weights: str
    architecture: str
    processor: str
    torch: str
    software: str
    measured: tuple[Measured, ...]

    @property
    def bar(self) -> float:
        return BARS.get(self.architecture, BAR)

    @property
    def best(self) -> Measured:
        """The fastest precision that agrees, float32 where no other is worthwhile."""
        good = [entry for entry in self.measured[1:] if self.agrees(entry) and self.is_faster(entry)]
        return min(good, key=lambda entry: entry.seconds, default=self.measured[0])

    def agrees(self, entry: Measured) -> bool:
        """Whether there were masks to compare, and every one is that of float32 up to the bar."""
        return entry.masks > 0 and entry.dice_smallest >= self.bar

    def is_faster(self, entry: Measured) -> bool:
        return entry.seconds <= WORTHWHILE * self.measured[0].seconds


def check_of(checkpoint: Checkpoint, device: str, measured: tuple[Measured, ...]) -> Check:
    """The measurements, made here and now, with what they hold for."""
    return Check(measured=measured, **_holds_for(checkpoint, device))


def placements_of(checkpoint: Checkpoint, device: str, precision: str) -> tuple[Placement, ...]:
    """`placements_for`, where precision auto is the best that a check of these weights found, float32 without one.

    Raises ValueError as `placements_for` does.
    """
    placements = placements_for(device, precision)
    found = recall(checkpoint, placements[0].device) if precision == "auto" else None
    if found is None or found.best.precision == REFERENCE:
        return placements
    first, *rest = placements_for(device, found.best.precision)
    return replace(first, reason=f"checked: Dice {found.best.dice_smallest:.3f}"), *rest


def remember(checkpoint: Checkpoint, check: Check) -> Path:
    """Keep a check for later starts, in place of an earlier one; gives the file. Raises OSError."""
    path = _path_of(checkpoint, check.processor)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(check), indent=1), encoding="utf-8")
    return path


def recall(checkpoint: Checkpoint, device: str) -> Check | None:
    """The check that holds for these weights here and now, or None; a record of anything else is left out and logged.

    The weights are read through only where a check of a model of this size was made.
    """
    path = _path_of(checkpoint, processor_name(device))
    if not path.is_file():
        return None
    try:
        check = _read(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the check of precisions in %s cannot be read (%s): going on with float32", path, error)
        return None
    wanted = _holds_for(checkpoint, device)
    differing = [name for name, value in wanted.items() if getattr(check, name) != value]
    if differing:
        log.info("the check of precisions in %s is of other %s: going on with float32", path, ", ".join(differing))
        return None
    return check


def forget(checkpoint: Checkpoint, device: str) -> bool:
    """Remove what is kept for this model here; gives whether there was anything."""
    path = _path_of(checkpoint, processor_name(device))
    if not path.is_file():
        return False
    path.unlink()
    return True


def _read(path: Path) -> Check:
    content = json.loads(path.read_text(encoding="utf-8"))
    measured = tuple(Measured(**entry) for entry in content.pop("measured"))
    check = Check(measured=measured, **content)
    numbers = [value for entry in measured for value in (entry.seconds, entry.dice_smallest, entry.dice_median)]
    if not measured or measured[0].precision != REFERENCE or not all(value >= 0 for value in numbers):
        raise ValueError("its measurements are not those of a check")
    return check


def _holds_for(checkpoint: Checkpoint, device: str) -> dict[str, Any]:
    return {
        "weights": _digest(checkpoint),
        "architecture": checkpoint.architecture,
        "processor": processor_name(device),
        "torch": str(torch.__version__),
        "software": __version__,
    }


def _path_of(checkpoint: Checkpoint, processor: str) -> Path:
    """Models of the same name, size and configuration share a place: the last one checked has it."""
    content = json.dumps([checkpoint.config, processor], sort_keys=True)
    size = sum(value.numel() for value in checkpoint.weights.values())
    mark = hashlib.sha256(content.encode()).hexdigest()[:8]
    return catalogue.models_folder() / FOLDER / f"{checkpoint.architecture}-{size}-{mark}.json"


def _digest(checkpoint: Checkpoint) -> str:
    """SHA-256 over the names and the values of all weights."""
    digest = hashlib.sha256()
    for name in sorted(checkpoint.weights):
        digest.update(name.encode())
        digest.update(checkpoint.weights[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
