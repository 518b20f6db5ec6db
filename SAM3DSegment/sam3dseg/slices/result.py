"""What is remembered of an answer that was made slice by slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..masks import CroppedMask
from .propagation import Doubt


@dataclass(frozen=True, slots=True)
class KeySlice:
    """The chosen candidate of a prompted slice: raw logits (n, n) and predicted IoU."""

    logits: NDArray[np.float16]
    iou: float


@dataclass(frozen=True, slots=True)
class SliceResult:
    """Masks of all slices before cleaning, and what later requests need to go on from them.

    keys: prompted slices. untouched: slices that still hold the mask the session started from. stops: why a mask was
    not carried on to a slice. doubts: per slice.
    """

    mask: CroppedMask
    keys: Mapping[int, KeySlice] = field(default_factory=dict)
    untouched: frozenset[int] = frozenset()
    stops: Mapping[int, str] = field(default_factory=dict)
    doubts: Mapping[int, Doubt] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SliceOutcome:
    """What a request gave, and the `ground` it was given on, from which another candidate is carried on.

    answered: the prompted slices that the request answered, their newest last. alternatives (M, n, n) and iou (M,) are
    all candidates of that one. boxed: slices that were prompted with a deep box.
    """

    result: SliceResult
    ground: SliceResult
    answered: tuple[int, ...]
    boxed: frozenset[int]
    alternatives: NDArray[np.float16]
    iou: NDArray[np.float32]
    chosen: int = 0
