"""What the tests of SAM-3D's training share: tiny encoders on disk, and the words of a quick run."""

from __future__ import annotations

from pathlib import Path

import proposal_networks
import torch
from tiny_networks import COMPACT, tiny_compact
from torch import nn

from sam3dseg.checkpoint import save_checkpoint
from sam3dseg.models import build

SMALL = {name: value for name, value in proposal_networks.SMALL.items() if name != "architecture"}


def slice_encoder(path: Path, seed: int = 0) -> Path:
    """A tiny random SAM as a weights file."""
    torch.manual_seed(seed)
    network = build("sam", **SMALL)
    for name, value in network.named_parameters():
        if "pos_embed" in name:
            nn.init.normal_(value)
    save_checkpoint(path, architecture="sam", config=SMALL, weights=network.state_dict(), provenance={})
    return path


def volume_encoder(path: Path) -> Path:
    """A tiny random 3D network as a weights file."""
    weights = tiny_compact().state_dict()
    save_checkpoint(path, architecture="compact", config=COMPACT, weights=weights, provenance={})
    return path


def words_of(place: Path, out: Path, *words: str) -> list[str]:
    """A `fit` of a few steps on the cache in `place`."""
    return [
        "fit",
        f"data={place / 'cache'}",
        "model=new:sam_3d",
        f"proposals.backbone={place / 'slices.safetensors'}",
        f"out={out}",
        *["proposals.spacing_mm=[2.5,1,1]", "proposals.patch=[4,16,16]", "proposals.variants=2"],
        *["steps=4", "data.folds=3", "batch=2", "compute.precision=float32", "compute.accelerator=cpu"],
        *["compute.workers=0", "validate.every=2", "record.every=1", "record.tensorboard=false"],
        *words,
    ]
