"""What earlier clicks gave, so that a decode costs its new clicks only."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

Maps = tuple[Tensor, ...]
DEPTH = 2  # sets of clicks remembered of a kind: the newest, and the one to which undo returns


class ClickMemory:
    """Maps that are the highest over a set of clicks, by the tensor they were made from, as long as that one lives.

    A maximum is the same in any order, and every click's maps are made alone: what comes out does not depend on what
    was asked before, bit by bit.  Maps that were given out are never changed.
    """

    def __init__(self) -> None:
        self._known: Any = WeakIdKeyDictionary()  # tensor -> {kind: ((clicks, maps), ...), the newest last}

    def highest(self, source: Tensor, kind: Hashable, clicks: Sequence[Hashable], make: Callable[[int], Maps]) -> Maps:
        """The maps of all `clicks`, at least one; `make` is asked for those of every new one, by its index."""
        wanted = frozenset(clicks)
        known = self._known.get(source, {})
        kept = known.get(kind, ())
        fitting = [entry for entry in kept if entry[0] <= wanted]
        seen, maps = max(fitting, key=lambda entry: len(entry[0]), default=(frozenset(), ()))
        for index, click in enumerate(clicks):
            if click not in seen:
                made = make(index)
                maps = tuple(map(torch.maximum, maps, made)) if maps else made
        others = tuple(entry for entry in kept if entry[0] != wanted)[1 - DEPTH :]
        self._known[source] = {**known, kind: (*others, (wanted, maps))}
        return maps

    def __deepcopy__(self, memo: dict[int, Any]) -> ClickMemory:
        return ClickMemory()  # another network remembers nothing

    def __reduce__(self) -> tuple[type[ClickMemory], tuple[()]]:
        return ClickMemory, ()
