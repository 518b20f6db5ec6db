"""The logit at which a mask is cut: where its border lies on edges of the image, or where it agrees with another mask.

On images of a kind that a network was not trained on, its logits know which voxels are likelier than others, but not at
which likelihood a structure ends.  How sure it is shows whether the images are of such a kind.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .masks import bounding_box, components_at

LEVELS = (0.0, -0.5, 0.5, -1.0, 1.0, -1.5, 1.5, -2.0, 2.0)  # of equally good ones, the first is taken
SMOOTHING = 0.5  # cells; of the picture, whose noise would count as edges
STEEPEST = 2.0  # a larger step of the logits across the border counts as this
FEWEST = 8  # cells; what is smaller has no border to speak of


def edge_level(logits: NDArray[np.float32], picture: NDArray[np.float32], cells: NDArray[np.int64]) -> float:
    """The level of logits (n, n, n) at which the border of the parts at `cells` (N, 3) lies best on edges.

    picture: (n, n, n), in which steps of equal size are equally good edges.  A border is the better the larger the step
    from its inside to its outside, over all its faces together, in the picture and in the logits; the two are
    multiplied.  0 where no level has a border.
    """
    box = bounding_box(components_at(logits > min(LEVELS), cells))
    if box is None:
        return 0.0
    box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
    cut, seeds = logits[box], cells - [s.start for s in box]
    smooth = ndimage.gaussian_filter(picture, SMOOTHING)[box]
    edges = [np.diff(smooth, axis=axis) for axis in range(3)]
    slopes = [np.minimum(np.abs(np.diff(cut, axis=axis)), STEEPEST) for axis in range(3)]

    def score(level: float) -> float:
        part = components_at(cut > level, seeds)
        if np.count_nonzero(part) < FEWEST:
            return 0.0
        inside = part.astype(np.float32)
        faces = [np.diff(inside, axis=axis) for axis in range(3)]  # 1 where the part begins, -1 where it ends
        count = sum(np.count_nonzero(face) for face in faces)
        edge = sum(float(np.vdot(face, step)) for face, step in zip(faces, edges, strict=True))
        slope = sum(float(np.vdot(np.abs(face), step)) for face, step in zip(faces, slopes, strict=True))
        return abs(edge) * slope / max(count, 1) ** 2

    return max(LEVELS, key=score)


def agreeing_level(answer: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """The level of an answer's logits (n, n, n) at which it agrees best with a mask, by Dice."""
    inside, size = answer[mask], int(np.count_nonzero(mask))

    def dice(level: float) -> float:
        return 2 * int(np.count_nonzero(inside > level)) / max(int(np.count_nonzero(answer > level)) + size, 1)

    return max(LEVELS, key=dice)


def sureness(logits: NDArray[np.float32]) -> float:
    """Dice of the mask at level 0 with what is there, if the logits (n, n, n) tell its probability; 0 for no mask."""
    mask = logits > 0
    if not mask.any():
        return 0.0
    probability = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return float(2 * probability[mask].sum() / (np.count_nonzero(mask) + probability.sum()))
