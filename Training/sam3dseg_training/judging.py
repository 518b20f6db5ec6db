"""Validation during a training: the averaged weights on samples that are not trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning_fabric import Fabric

from .devices import is_sharded, summed
from .learner import Learner

Validation = Callable[[int, int], Iterable[dict[str, Any]]]  # process, processes -> its share, always the same samples


def judge(learner: Learner, validation: Validation, *, clicks: int) -> dict[str, float]:
    """Means over all samples of all processes of "loss" and the measures, after `clicks` patient clicks.

    Raises ValueError when there are no samples.
    """
    fabric = learner.fabric
    together = is_sharded(fabric)  # then no process may be left alone in a forward: every one does all
    rank, world = (0, 1) if together else (fabric.global_rank, fabric.world_size)
    module: Any = learner.module if together else learner.objective
    sums: dict[str, float] = defaultdict(float)
    modes = [(part, part.training) for part in learner.objective.modules()]
    learner.objective.eval()
    with learner.average.in_place(), torch.no_grad(), fabric.autocast():
        for batch in validation(rank, world):
            numbers = batch["number"].tolist()
            loss, measures = module(fabric.to_device(batch), numbers, rounds=clicks)
            sums["count"] += len(numbers)
            for name, value in {"loss": float(loss), **measures}.items():
                sums[name] += value * len(numbers)
    for part, training in modes:
        part.training = training
    return _means(fabric, sums, world)


def _means(fabric: Fabric, sums: dict[str, float], world: int) -> dict[str, float]:
    if world > 1:
        names: list[set[str]] = [set()] * world
        torch.distributed.all_gather_object(names, set(sums))  # a process may have had nothing to do
        keys = sorted(set().union(*names))
        values = torch.tensor([sums.get(key, 0.0) for key in keys], dtype=torch.float64)
        sums = dict(zip(keys, summed(fabric, values).tolist(), strict=True))
    count = sums.pop("count", 0)
    if not count:
        raise ValueError("nothing to validate on: expected held-out cases; hold some out, or set validate.every=0")
    return {name: value / count for name, value in sums.items()}
