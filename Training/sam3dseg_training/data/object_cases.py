"""The cases of a cache that hold an object to segment, and where the objects lie in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from .cache import Cache
from .entries import CachedCase
from .placing import Extent
from .splits import Objects, objects_in, objects_of

ORDER_STREAM = 3  # random numbers apart from those of the clicks and of the samples
KEPT_CASES = 64  # open at once in every worker


class Newest:
    """The newest values of a function of a key."""

    def __init__(self, make: Callable[[Any], Any], count: int) -> None:
        self._make, self._count = make, count
        self._values: OrderedDict[Any, Any] = OrderedDict()

    def __call__(self, key: Any) -> Any:
        if key not in self._values:
            self._values[key] = self._make(key)
            while len(self._values) > self._count:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]

    def __reduce__(self) -> tuple:
        return Newest, (self._make, self._count)  # open files do not go to another process


class ObjectCases(Dataset):
    """What samples of all kinds are cut from: the cases (keys of the cache) that hold one of the objects.

    labels: names of the objects, as the configuration gives them.
    Raises ValueError for unknown labels and when no case is left.
    """

    def __init__(self, cache: Cache, cases: Sequence[str], labels: Sequence[str]) -> None:
        self.cache = cache
        self.objects: Objects = objects_of(cache, labels)
        records = {record.key: record for record in cache.records}
        present = {key: objects_in(records[key], self.objects) for key in cases}
        self.present = {key: names for key, names in present.items() if names}
        self.keys = tuple(self.present)
        if not self.keys:
            raise ValueError(
                f"none of {len(cases)} cases holds {', '.join(self.objects)}: choose other labels, or more cases"
            )
        self.case = Newest(self._read, KEPT_CASES)

    def extent(self, case: CachedCase, name: str) -> Extent:
        """The object's box in a case."""
        return Extent.of([case.structures[part] for part in self.objects[name] if part in case.structures])

    def drawn_key(self, number: int, seed: int) -> str:
        """The case of sample `number`: every one once in len(keys) numbers, in ever new orders."""
        epoch, place = divmod(number, len(self.keys))
        order = np.random.default_rng((seed, ORDER_STREAM, epoch)).permutation(len(self.keys))
        return self.keys[order[place]]

    def _read(self, key: str) -> CachedCase:
        return self.cache.read(key, mapped=True)
