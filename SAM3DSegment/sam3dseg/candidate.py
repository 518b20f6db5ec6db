"""One of several masks that a model offers for the same prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Candidate:
    """One mask on offer and its predicted IoU; unpacks as (mask, iou). The mask (I, J, K) is made when read."""

    iou: float
    _make: Callable[[], NDArray[np.bool_]]

    @property
    def mask(self) -> NDArray[np.bool_]:
        return self._make()

    def __iter__(self) -> Iterator:
        yield self.mask
        yield self.iou
