"""Corrections of a mask that the model made itself: which changes of its answer to a click are believed.

The simulated user clicks in the middle of what is wrong, and so does a careful one.  A change of the mask is therefore
the likelier right the nearer it lies to the click, in units of how deep the click lies; but a border that moves by a
cell is often right far away too.  A small network that is part of the model, the judge, weighs this up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .corrections import border_distance
from .levels import agreeing_level, sureness

FEATURES = (
    "logit",  # of the answer, in the direction of the change
    "confidence",  # absolute logit of the mask before
    "wanted",  # 1 for a change of the click's own kind
    "connected",  # 1 for one that hangs together with the click by changes of its kind
    "distance",  # from the click in multiples of its depth, logarithm
    "border",  # how many cells deep the border lies, face by face
    "border_share",  # the same, in multiples of the click's depth
    "depth",  # of the click in cells, logarithm
    "adds",  # 1 for a foreground click
    "clicks",  # corrections so far, logarithm
    "depth_share",  # of the click, in radii of the mask
    "radius",  # of a ball of the mask's volume in cells, logarithm
    "agreement",  # Dice of the mask before and the answer
    "sureness",  # Dice that the mask before expects of itself, by its own logits
    "growth",  # volume of the answer over that of the mask before, logarithm
)
NEAR = 1.5  # depths of the click within which a change is thought of, whatever the answer
DEEPEST = 7  # cells; a border that is further away counts as that far
SUREST = 8.0  # larger logits count as this
DOUBT = 4.0  # logit that the belief in a removal must exceed: a part that is lost costs more clicks than one too many
SURE = 0.85  # a mask that expects this Dice of itself comes of a network that knows such structures
SURE_DOUBT = 2.5  # the same as DOUBT, for a sure mask
TAKEN = 0.3  # least logit of a change that is believed
AGREEMENT = 0.5  # how far an answer goes towards the level at which it agrees with the mask before

Judge = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # features (K, F) -> logits (K,) that a change is right


@dataclass(frozen=True, slots=True)
class Changes:
    """Cells of a mask that may change: flat indices (K,), the features of each (K, F) float32."""

    cells: NDArray[np.intp]
    features: NDArray[np.float32]


def levelled(before: NDArray[np.float32], answer: NDArray[np.float32]) -> NDArray[np.float32]:
    """An answer's logits (n, n, n); an unsure one's moved towards the level at which the mask before was cut.

    What a click says is near it; that all of the border should lie elsewhere is the network's opinion alone.
    """
    if sureness(answer) >= SURE:
        return answer
    return answer - np.float32(AGREEMENT * agreeing_level(answer, before > 0))


def changes(
    before: NDArray[np.float32], answer: NDArray[np.float32], seed: NDArray[np.int64], adds: bool, count: int
) -> Changes | None:
    """What may change in logits (n, n, n) after correction number `count`, a click at cell `seed` (3,).

    adds: a foreground click.  None for a click that corrects nothing, and for a mask without a border.
    """
    mask, wanted = before > 0, answer > 0
    if mask[tuple(seed)] == adds or mask.all() or not mask.any():
        return None
    depth = max(border_distance(mask, seed) - 0.5, 0.5)
    differs = mask != wanted
    cells = np.flatnonzero(differs | _ball(mask, seed, NEAR * depth, kind=not adds))
    was = mask.ravel()[cells]
    parts, _ = ndimage.label(differs & (mask != adds))
    part = parts[tuple(seed)]
    own = was != adds
    direction = np.where(was, -1.0, 1.0)
    places = np.stack(np.unravel_index(cells, mask.shape), axis=1)
    distance = np.sqrt(np.square(places - seed).sum(axis=1)) / depth
    border = _border_cells(mask, places)
    size, new_size = np.count_nonzero(mask), np.count_nonzero(wanted)
    radius = np.cbrt(0.75 * size / np.pi)
    common = np.count_nonzero(mask & wanted)
    columns = (
        np.clip(direction * answer.ravel()[cells], -SUREST, SUREST),
        np.minimum(np.abs(before.ravel()[cells]), SUREST),
        own,
        own & (parts.ravel()[cells] == part) & bool(part),
        np.log(np.clip(distance, 0.1, 40.0)),
        border,
        np.minimum(border / depth, 6.0),
        np.log(depth),
        adds,
        np.log(count),
        min(depth / radius, 4.0),
        np.log(radius),
        2 * common / (size + new_size),
        sureness(before),
        np.log((new_size + 1) / (size + 1)),
    )
    features = np.empty((len(cells), len(FEATURES)), np.float32)
    for index, column in enumerate(columns):
        features[:, index] = column
    return Changes(cells, features)


def weighed(
    before: NDArray[np.float32],
    answer: NDArray[np.float32],
    seed: NDArray[np.int64],
    adds: bool,
    count: int,
    *,
    judge: Judge,
) -> NDArray[np.float32]:
    """Logits (n, n, n) after correction number `count` at cell `seed` (3,), from those before it and the answer.

    What the judge does not believe keeps its sign; the clicked cell always gets the click's. A click that corrects
    nothing takes only logits of the same sign.
    """
    found = changes(before, answer, seed, adds, count)
    return believed(before, answer, seed, found, None if found is None else judge(found.features))


def believed(
    before: NDArray[np.float32],
    answer: NDArray[np.float32],
    seed: NDArray[np.int64],
    found: Changes | None,
    belief: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """What `weighed` gives, from the changes found and what the judge says of each (K,); None where there are none."""
    merged = np.where((answer > 0) == (before > 0), answer, before).astype(np.float32)
    if found is None or belief is None:
        return merged
    was = before.ravel()[found.cells] > 0
    is_sure = found.features[0, FEATURES.index("sureness")] >= SURE
    belief = belief - np.where(was, SURE_DOUBT if is_sure else DOUBT, 0.0)
    clicked = np.ravel_multi_index(tuple(int(place) for place in seed), before.shape)
    belief = np.where(found.cells == clicked, np.maximum(belief, TAKEN), belief)
    taken = belief > 0
    cells = found.cells[taken]
    strength = np.clip(np.maximum(belief, found.features[:, FEATURES.index("logit")])[taken], TAKEN, SUREST)
    merged.ravel()[cells] = np.where(was[taken], -strength, strength)
    return merged


def _ball(mask: NDArray[np.bool_], seed: NDArray[np.int64], radius: float, *, kind: bool) -> NDArray[np.bool_]:
    """The cells of one kind within a radius of a cell."""
    low = np.maximum(seed - int(radius), 0)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, seed + int(radius) + 1, strict=True))
    squares = [np.square(np.arange(s.start, min(s.stop, n)) - p) for s, n, p in zip(box, mask.shape, seed, strict=True)]
    inside = squares[0][:, None, None] + squares[1][:, None] + squares[2] <= radius**2
    ball = np.zeros_like(mask)
    ball[box] = inside & (mask[box] == kind)
    return ball


def _border_cells(mask: NDArray[np.bool_], places: NDArray[np.intp]) -> NDArray[np.int64]:
    """Steps (K,) from cells (K, 3) to the nearest one of the other kind, face by face, at most DEEPEST."""
    low = np.maximum(places.min(axis=0) - DEEPEST, 0)
    high = places.max(axis=0) + DEEPEST + 1
    region = mask[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
    steps = np.full(region.shape, DEEPEST, np.int64)
    for kind in (region, ~region):
        left = kind
        for step in range(1, DEEPEST):
            inner = left.copy()  # cells beyond the region count as of the same kind
            for axis in range(3):
                ahead = (slice(None),) * axis + (slice(1, None),)
                behind = (slice(None),) * axis + (slice(None, -1),)
                inner[behind] &= left[ahead]
                inner[ahead] &= left[behind]
            steps[left & ~inner] = step
            left = inner
    return steps[tuple((places - low).T)]
