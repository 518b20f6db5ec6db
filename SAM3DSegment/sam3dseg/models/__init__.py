"""The networks, by architecture name.

Every promptable network has `encode_image(x)`, `encode_prompts(points, labels, ...)` and
`decode_masks(embedding, sparse, dense, *, multimask)`; labels are 1 foreground, 0 background, -1 no point.  In 3D the
points are window voxel coordinates in tensor index order and `mask_logits` follows; in 2D they are (x, y) in pixels of
the square, and `boxes` and `mask_logits` follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..families import CLICKS_2D, CLICKS_3D, FAMILIES, PROPOSALS


def _sam_med3d(**config: Any) -> nn.Module:
    from .sam_med3d import SamMed3D

    return SamMed3D(**config)


def _compact(**config: Any) -> nn.Module:
    from .compact import CompactNet

    return CompactNet(**config)


def _sam(**config: Any) -> nn.Module:
    from .sam import Sam

    return Sam(**config)


def _sam_3d(**config: Any) -> nn.Module:
    from .sam_3d import Sam3D

    return Sam3D(**config)


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "sam_med3d_vit_b_ori": _sam_med3d,
    "compact": _compact,
    "sam": _sam,
    "sam_3d": _sam_3d,
}

__all__ = ["BUILDERS", "CLICKS_2D", "CLICKS_3D", "FAMILIES", "PROPOSALS", "build"]


def build(name: str, **config: Any) -> nn.Module:
    """Network with fresh weights, for the architecture `name`; `config` holds what its constructor takes.

    Raises ValueError for an unknown architecture or an option that the architecture does not have.
    """
    if name not in BUILDERS:
        raise ValueError(f"unknown architecture {name!r}: expected one of {', '.join(sorted(BUILDERS))}")
    try:
        return BUILDERS[name](**config)
    except TypeError as error:
        raise ValueError(f"architecture {name!r} does not take this configuration: {error}") from error
