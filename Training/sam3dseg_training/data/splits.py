"""Which cases train, which are held out, and which of their structures are objects to click."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from .cache import Cache, CaseRecord

Case = TypeVar("Case")
Objects = Mapping[str, tuple[str, ...]]  # name -> the structures that make it up


def split_cases(
    cases: Sequence[Case], *, fold: int = 0, folds: int = 5, limit: int = 0
) -> tuple[list[Case], list[Case]]:
    """Training and held-out cases: held out are those whose index in the given (sorted) order is fold modulo folds.

    folds=1 trains on all and holds none out. limit: train on that many cases only, spread evenly over the order, for
    few-shot curves; 0 takes all. Raises ValueError for a fold that does not exist or when a side would be empty.
    """
    if not 0 <= fold < folds:
        raise ValueError(f"fold must be 0 to folds - 1 = {folds - 1}, received {fold}")
    if folds > len(cases):
        raise ValueError(f"expected at least folds={folds} cases, received {len(cases)}; give fewer folds")
    held_out = [case for index, case in enumerate(cases) if index % folds == fold] if folds > 1 else []
    training = [case for index, case in enumerate(cases) if index % folds != fold or folds == 1]
    if 0 < limit < len(training):
        training = [training[index * len(training) // limit] for index in range(limit)]
    return training, held_out


def objects_of(cache: Cache, labels: Sequence[str]) -> Objects:
    """Objects by name from labels such as "anterior+posterior", or each structure by itself when there are none.

    Upper and lower case are the same where only one name fits. Raises ValueError naming the nearest structure.
    """
    names = cache.structure_names
    if not labels:
        return {name: (name,) for name in names}
    objects = {}
    for label in labels:
        members = tuple(_named(part.strip(), names) for part in label.split("+"))
        objects["+".join(members)] = members
    return objects


def objects_in(record: CaseRecord, objects: Objects) -> list[str]:
    """The objects that a case has at least a part of."""
    return [name for name, members in objects.items() if any(member in record.structures for member in members)]


def _named(text: str, names: Sequence[str]) -> str:
    if text in names:
        return text
    alike = [name for name in names if name.lower() == text.lower()]
    if len(alike) == 1:
        return alike[0]
    near = difflib.get_close_matches(text.lower(), [name.lower() for name in names], n=1)
    hint = next((f"did you mean {name}?" for name in names if near and name.lower() == near[0]), "check the spelling")
    raise ValueError(
        f"unknown label {text!r}: expected one of {', '.join(names)}, or several of them joined by +; {hint}".rstrip(
            "; "
        )
    )


def evenly(items: Sequence[Case], most: int) -> list[Case]:
    """At most so many of them, evenly spread."""
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]
