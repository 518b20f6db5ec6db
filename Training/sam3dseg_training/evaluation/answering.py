"""The masks that a model gives of an object, one after every prompt that is judged."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3dseg import Session
from sam3dseg.families import CLICKS_2D, FAMILIES
from sam3dseg.prompts import Box
from sam3dseg.proposals.proposer import Proposer
from sam3dseg.slices.options import SliceOptions

from ..data.entries import CachedCase
from ..data.splits import Objects
from .clicking import Turn, play
from .prompting import SLICE_BOXES, Prompting


class Proposals:
    """A SAM-3D model's masks of one case: proposed once, all classes together."""

    def __init__(self, proposer: Proposer, case: CachedCase) -> None:
        start = time.perf_counter()
        self._labels = proposer.propose(case.image, spacing_mm=case.spacing_mm)
        self._seconds = time.perf_counter() - start
        self._classes = [structure.name for structure in proposer.classes]

    def turns(self, reference: NDArray[np.bool_], members: Sequence[str]) -> Iterator[Turn]:
        """The object that the structures `members` make up."""
        mask = np.isin(self._labels, class_numbers(self._classes, members))
        return iter([Turn(mask, seconds=self._seconds)])


class Answers:
    """A model's masks of one case.  slices: orientation and modality, for models of slices."""

    def __init__(
        self, segmenter: Any, case: CachedCase, *, prompting: Prompting, slices: Mapping[str, str] | None = None
    ) -> None:
        self.case, self.prompting = case, prompting
        options = None
        if FAMILIES.get(segmenter.architecture) == CLICKS_2D:
            direction = "none" if prompting.kind == SLICE_BOXES else "both"
            options = SliceOptions(direction=direction, **(slices or {}))
            self._axis = options.axis(case.grid)
        self._session = Session(segmenter, slices=options)
        self._session.set_image(case.image, spacing_mm=case.spacing_mm)

    def turns(self, reference: NDArray[np.bool_], members: Sequence[str]) -> Iterator[Turn]:
        """The object `reference` (I, J, K), not empty, segmented anew."""
        self._session.reset()
        if self.prompting.kind == SLICE_BOXES:
            return iter([self._boxed(reference)])
        return play(reference, self._session.add, clicks=self.prompting.answers)

    def _boxed(self, reference: NDArray[np.bool_]) -> Turn:
        boxes = slice_boxes(reference, self._axis)
        start = time.perf_counter()
        mask = self._session.add_many(boxes)
        return Turn(mask, seconds=time.perf_counter() - start)


def slice_boxes(reference: NDArray[np.bool_], axis: int) -> list[Box]:
    """The smallest box around what a bool mask (I, J, K) has in every slice across `axis`, where it has anything."""
    boxes = []
    for index in np.flatnonzero(reference.any(axis=tuple(a for a in range(3) if a != axis))):
        places = np.argwhere(reference.take(index, axis))
        low, high = (np.insert(corner, axis, index).tolist() for corner in (places.min(axis=0), places.max(axis=0)))
        boxes.append(Box(tuple(low), tuple(high)))
    return boxes


def answers_of(
    model: Any, case: CachedCase, *, prompting: Prompting, slices: Mapping[str, str] | None = None
) -> Answers | Proposals:
    """Masks of a segmenter or a proposer."""
    if isinstance(model, Proposer):
        return Proposals(model, case)
    return Answers(model, case, prompting=prompting, slices=slices)


def check_objects(model: Any, objects: Objects) -> None:
    """Raise ValueError, naming both, when a proposer has no classes for one of the objects."""
    if isinstance(model, Proposer):
        for members in objects.values():
            class_numbers([structure.name for structure in model.classes], members)


def class_numbers(classes: Sequence[str], members: Sequence[str]) -> list[int]:
    """Which of a model's classes, counted from 1, make up the object of the structures `members`.

    Raises ValueError, naming both, when none do.
    """
    wanted = set(members)
    parts = [set(name.split("+")) for name in classes]
    chosen = [number for number, part in enumerate(parts, start=1) if part <= wanted]
    if set().union(*(parts[number - 1] for number in chosen)) != wanted:
        raise ValueError(
            f"the model proposes {', '.join(classes)}, but {'+'.join(members)} is to be segmented: choose labels that "
            "are classes of the model, or cases of its data set"
        )
    return chosen
