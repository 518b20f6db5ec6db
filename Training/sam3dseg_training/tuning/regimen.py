"""What differs between the trainings of the families of models; `fit` runs them all alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ..configs.fit import FitConfig
from ..configs.options import refuse_changed
from ..data.cache import Cache
from ..data.splits import evenly
from ..judging import Validation
from ..learner import Balance
from ..loop import Batches
from ..stopping import leave_to_parent

# Keys and sections that not every family reads.
FAMILY_SETTINGS = ("data.crop", "loss.sdf", "clicks.box_share", "clicks.looseness", "slices", "proposals")


def nothing() -> None:
    """No preparations."""


@dataclass(frozen=True)
class Regimen:
    """A training, complete but for the loop.

    objective, groups, balance, batches, validation: as `Trainer` takes them.  about: what data.json says of the data.
    begin: what is made before the first step, such as encodings, when the network is on its device.
    """

    objective: nn.Module
    groups: Mapping[str, Sequence[nn.Parameter]]
    balance: Balance
    batches: Batches
    validation: Validation | None
    about: Mapping[str, Any]
    begin: Callable[[], None] = nothing


def about_data(
    cache: Cache, *, labels: Sequence[str], training: Sequence[str], validation: Sequence[str]
) -> dict[str, Any]:
    """The content of data.json: data sets, labels, and the cases (keys of the cache) with their digests."""
    digests = {record.key: record.digest for record in cache.records}
    return {
        "dataset": ", ".join(dict.fromkeys(key.partition("/")[0] for key in cache.keys)),
        "cache": str(cache.folder),
        "labels": list(labels),
        "training": [{"case": key, "digest": digests[key]} for key in training],
        "validation": [{"case": key, "digest": digests[key]} for key in validation],
    }


def held_out_batches(config: FitConfig, judged: Dataset, size: int, *, batch: int = 0) -> Validation:
    """Batches of the `size` held-out samples, at most `validate.windows` of them, spread evenly over all.

    Each process gets every world-th.  batch: as many as the training's where 0.
    """
    chosen = evenly(range(size), config.validate.windows)

    def share(rank: int, world: int) -> Iterable[dict[str, Any]]:
        return DataLoader(
            judged,
            batch_size=batch or config.batch,
            sampler=chosen[rank::world],
            num_workers=config.compute.workers,
            worker_init_fn=leave_to_parent,
            generator=torch.Generator(),  # the training's own random numbers stay where they are
        )

    return share


def refuse_unread(config: FitConfig, *, reads: Sequence[str], model: str) -> None:
    """Raise ValueError for a changed setting of another family; reads: those of FAMILY_SETTINGS that this one reads."""
    unread = [name for name in FAMILY_SETTINGS if name not in reads]
    refuse_changed(config, unread, f"has no effect on {model}: leave it out, or choose another model")
