"""Models by name: those that there are, and new ones with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sam3dseg.checkpoint import Checkpoint
from sam3dseg.models import build
from sam3dseg.segmenter import load_weights

from ..configs.fit import FitConfig
from ..configs.options import refuse_changed

NEW = "new:"  # before the name of an architecture: a model with random weights
NEW_SLICES, NEW_PROPOSALS = f"{NEW}sam", f"{NEW}sam_3d"
NEW_SLICES_ONLY = ("slices.variant", "slices.preprocessing", "slices.size")


def base_checkpoint(model: str, seed: int, options: Mapping[str, Any] | None = None) -> Checkpoint:
    """The weights that `model` of a `fit` names; "new:ARCHITECTURE" has random ones that follow from the seed.

    options: the configuration of a new model.  Raises ValueError for a model that cannot be loaded.
    """
    if not model.startswith(NEW):
        return load_weights(model)
    architecture = model.removeprefix(NEW)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Checkpoint(architecture, build(architecture, **(options or {})).state_dict(), dict(options or {}))


def new_options(config: FitConfig) -> dict[str, Any]:
    """The configuration of the new model that `fit` asks for; raises ValueError for settings of another one."""
    slices = config.slices
    if config.init or config.model != NEW_SLICES:
        refuse_changed(config, NEW_SLICES_ONLY, f"needs model={NEW_SLICES}, and no init")
        return {}
    options: dict[str, Any] = {"variant": slices.variant, "preprocessing": slices.preprocessing}
    if slices.variant == "small":
        return {**options, "image_size": slices.size}
    refuse_changed(config, ("slices.size",), "needs slices.variant=small")
    return options


def is_new_proposals(config: FitConfig) -> bool:
    """Whether a `fit` makes a SAM-3D of a frozen encoder and a fresh decoder."""
    return config.model == NEW_PROPOSALS and not config.init
