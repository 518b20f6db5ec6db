"""The networks, by architecture name.

Every network has `encode_image(x)`, `encode_prompts(points, labels, mask_logits)` and
`decode_masks(embedding, sparse, dense, *, multimask)`; points are window voxel coordinates in tensor index order,
labels 1 foreground, 0 background, -1 no point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def _sam_med3d(**config: Any) -> nn.Module:
    from .sam_med3d import SamMed3D

    return SamMed3D(**config)


def _compact(**config: Any) -> nn.Module:
    from .compact import CompactNet

    return CompactNet(**config)


BUILDERS: dict[str, Callable[..., nn.Module]] = {"sam_med3d_vit_b_ori": _sam_med3d, "compact": _compact}


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
