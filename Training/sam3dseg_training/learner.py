"""What learns: an objective on its devices, with optimisers and averaged weights, and how to save and restore them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from .averaging import Average
from .configs.optim import OptimConfig
from .run_state import check_optimiser, check_resumable, fill, frozen_checksum, load_optimiser, optimiser_state, whole
from .schedule import Schedule

NETWORK = "network."  # the attribute of an objective that holds the network
Balance = tuple[Sequence[nn.Parameter], float]  # parameters that weigh the loss, and their learning rate


class Learner:
    """An objective set up by Fabric; AdamW or SGD for the groups of parameters, Adam for those that balance the loss.

    module is what a training step calls, objective the same without Fabric around it.
    """

    def __init__(
        self,
        fabric: Fabric,
        objective: nn.Module,
        groups: Mapping[str, Sequence[nn.Parameter]],
        *,
        optim: OptimConfig,
        balance: Balance = ((), 0.0),
    ) -> None:
        self.fabric, self.optim = fabric, optim
        self._frozen = frozen_checksum(objective)
        names = {id(value): name for name, value in objective.named_parameters()}
        grouped = {group: [names[id(value)] for value in values] for group, values in groups.items()}
        weighing = [names[id(value)] for value in balance[0]]
        self.module = fabric.setup_module(objective)  # FSDP puts other parameters into the place of those given
        self.objective: nn.Module = self.module.module
        self.parameters = {name: self.objective.get_parameter(name) for part in grouped.values() for name in part}
        self.balance = {name: self.objective.get_parameter(name) for name in weighing}
        self.average = Average(self.parameters, optim.average)
        parts = [{"params": [self.parameters[name] for name in part], "name": group} for group, part in grouped.items()]
        self._optimisers: list[torch.optim.Optimizer] = [_optimiser(parts, optim)]
        if self.balance:
            self._optimisers.append(torch.optim.Adam(list(self.balance.values()), lr=balance[1]))
        self._wrapped: list[Any] = [fabric.setup_optimizers(optimiser) for optimiser in self._optimisers]

    def set_rates(self, schedule: Schedule, progress: float) -> None:
        """Give every group its learning rate."""
        for group in self._optimisers[0].param_groups:
            group["lr"] = schedule.rate_of(group["name"], progress)

    def backward(self, batch: dict[str, Any], *, draw: int, share: float, is_last: bool) -> dict[str, float]:
        """Add `share` of a batch's gradient; the processes exchange it with the last -> loss and measures."""
        numbers = batch["number"].tolist()
        with self.fabric.no_backward_sync(self.module, enabled=not is_last):
            loss, measures = self.module(self.fabric.to_device(batch), numbers, draw=draw)
            self.fabric.backward(loss * share)
        return {"loss": float(loss.detach()), **measures}

    def update(self, step: int) -> float:
        """Clip, take the step with this number, average -> norm of the gradient before.

        A step whose gradient is infinite or no number is left out.
        """
        clipped = self.fabric.clip_gradients(
            self.module, self._wrapped[0], max_norm=self.optim.clip, error_if_nonfinite=False
        )
        norm = float(whole(clipped))
        is_sound = math.isfinite(norm)
        for optimiser in self._wrapped:
            if is_sound or self.is_scaled:  # the scaler leaves the step out by itself, and scales less from then on
                optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if is_sound:
            self.average.update(step)
        return norm

    @property
    def is_scaled(self) -> bool:
        """Whether the loss is scaled up for fp16, by factors that are found by overflowing now and then."""
        return bool(self._precision_state())

    def averaged(self) -> dict[str, torch.Tensor]:
        """The averaged weights by the network's own names; every process must ask."""
        return {name.removeprefix(NETWORK): whole(value) for name, value in self.average.values.items()}

    def state(self) -> dict[str, Any]:
        """All that `load` needs; every process must ask."""
        names = {id(value): name for name, value in self._tensors().items()}
        return {
            "average": self.averaged(),
            "network": {name.removeprefix(NETWORK): whole(value) for name, value in self._tensors().items()},
            "frozen": self._frozen,
            "optimisers": [optimiser_state(optimiser, names) for optimiser in self._optimisers],
            "precision": self._precision_state(),
        }

    def load(self, state: Mapping[str, Any], path: Path) -> None:
        """Take up a state that was read from `path`; raises ValueError when it does not fit, and changes nothing."""
        tensors = self._tensors()
        here = {name.removeprefix(NETWORK): value for name, value in tensors.items()}
        check_resumable(state, path, here, self._frozen)
        check_optimiser(state, path, self.optim.kind)
        for name, value in here.items():
            fill(value, state["network"][name])
        for name, average in self.average.values.items():
            fill(average, state["average"][name.removeprefix(NETWORK)])
        for optimiser, moments in zip(self._optimisers, state["optimisers"], strict=True):
            load_optimiser(optimiser, moments, tensors)
        if state["precision"] and self._precision_state():
            self.fabric.strategy.precision.load_state_dict(state["precision"])

    def _tensors(self) -> dict[str, nn.Parameter]:
        return self.parameters | self.balance

    def _precision_state(self) -> dict[str, Any]:
        """Of the scaler of fp16; empty for other precisions."""
        return self.fabric.strategy.precision.state_dict()


def _optimiser(groups: list[dict[str, Any]], optim: OptimConfig) -> torch.optim.Optimizer:
    if optim.kind == "sgd":
        return torch.optim.SGD(groups, lr=optim.rate, weight_decay=optim.decay, momentum=optim.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=optim.rate, weight_decay=optim.decay, betas=(0.9, optim.beta))
